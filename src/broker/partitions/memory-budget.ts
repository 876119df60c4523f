import type { Clock, Timer } from '../../util/clock.ts';

/** How often waiting answers look whether memory has been freed: the network frees it without telling. */
const POLL_MS = 5;
/** Who has waited for so long may go beyond the share: else those who write would keep out those who read for as long as they are as fast. */
const PATIENCE_MS = 1_000;
/** Of the memory, that may be in use then. */
const PATIENT_SHARE = 0.875;

export interface MemoryGauge {
  readonly capacityBytes: number;
  readonly usedBytes: number;
}

interface Waiting {
  readonly bytes: number;
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly isGone: () => boolean;
  readonly settle: (granted: boolean) => void;
}

/**
 * Lets fetch answers take native memory only while enough of it is free, so that slow consumers cannot take what produce
 * requests need. Who finds no room waits, first come first served; nothing is polled while nobody waits.
 */
export class MemoryBudget {
  readonly #gauge: () => MemoryGauge;
  /** The share of the memory that may be in use, by whomever, when an answer takes some. */
  readonly #share: number;
  readonly #clock: Clock;
  readonly #waiting: Waiting[] = [];
  /** Granted, but not yet seen in the gauge. */
  #promisedBytes = 0;
  #timer: Timer | null = null;

  constructor(gauge: () => MemoryGauge, share: number, clock: Clock) {
    this.#gauge = gauge;
    this.#share = share;
    this.#clock = clock;
  }

  get waiters(): number {
    return this.#waiting.length;
  }

  /** A promise if the bytes have to be waited for. Call `taken` when they have been allocated, or will not be. */
  acquire(bytes: number): Promise<void> | undefined {
    if (this.tryAcquire(bytes)) return undefined;
    return this.#wait(bytes, Number.POSITIVE_INFINITY).then(() => undefined);
  }

  /**
   * As `acquire`, but for so many milliseconds at most: false when there was no room in that time, and nothing is to be given back.
   * @param isGone whether nobody wants it any more: it waits no longer then
   */
  acquireWithin(bytes: number, timeoutMs: number, isGone = () => false): Promise<boolean> | true {
    return this.tryAcquire(bytes) || this.#wait(bytes, this.#clock.now() + timeoutMs, isGone);
  }

  /** As `acquire`, without a wait: false when there is no room, or others wait, and nothing is to be given back. */
  tryAcquire(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#hasRoomFor(bytes)) return false;
    this.#promisedBytes += bytes;
    return true;
  }

  #wait(bytes: number, untilMs: number, isGone = () => false): Promise<boolean> {
    return new Promise((settle) => {
      this.#waiting.push({ bytes, sinceMs: this.#clock.now(), untilMs, isGone, settle });
      this.#timer ??= this.#clock.setTimer(POLL_MS, () => this.#poll());
    });
  }

  taken(bytes: number): void {
    this.#promisedBytes -= bytes;
  }

  #poll(): void {
    this.#timer = null;
    this.#giveUp();
    for (
      let next = this.#waiting[0];
      next !== undefined && (this.#hasRoomFor(next.bytes) || this.#isDue(next));
      next = this.#waiting[0]
    ) {
      this.#waiting.shift();
      this.#promisedBytes += next.bytes;
      next.settle(true);
    }
    if (this.#waiting.length > 0) this.#timer = this.#clock.setTimer(POLL_MS, () => this.#poll());
  }

  /** Those that have waited for long enough, or are gone, leave, also from behind others. */
  #giveUp(): void {
    const now = this.#clock.now();
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const { untilMs, isGone } = this.#waiting[i]!;
      if (untilMs > now && !isGone()) continue;
      const [late] = this.#waiting.splice(i, 1);
      late!.settle(false);
    }
  }

  /** Whether it has waited for long, and fits; one at a time. */
  #isDue({ bytes, sinceMs }: Waiting): boolean {
    const { capacityBytes, usedBytes } = this.#gauge();
    const isPatient = this.#clock.now() - sinceMs >= PATIENCE_MS;
    return isPatient && this.#promisedBytes === 0 && usedBytes + bytes <= capacityBytes * PATIENT_SHARE;
  }

  /**
   * An answer above half of the share, which others would wait behind for long, gets it once nothing else is promised and it fits; one that
   * never can does not hold up the others.
   */
  #hasRoomFor(bytes: number): boolean {
    const { capacityBytes, usedBytes } = this.#gauge();
    const limit = capacityBytes * this.#share;
    const needed = usedBytes + this.#promisedBytes + bytes;
    if (bytes > capacityBytes) return this.#promisedBytes === 0;
    return needed <= limit || (bytes > limit / 2 && this.#promisedBytes === 0 && needed <= capacityBytes);
  }
}
