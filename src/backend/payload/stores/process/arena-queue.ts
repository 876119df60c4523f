import { NativeMemory } from '../../../../native/arena.ts';
import type { Clock, Timer } from '../../../../util/clock.ts';
import { StoreError } from '../messages.ts';

/** How often the arena is asked again when what others have was not given back through here. */
const RETRY_MS = 5;
/** Requests that may wait. */
const MAX_WAITING = 65_536;
/** How many of those behind one that does not fit are tried in its place, and how often it is passed before nothing passes it. */
const LOOK_AHEAD = 64;
const MAX_PASSED = 64;

interface Waiting {
  readonly bytes: number;
  readonly deadlineMs: number;
  readonly isWanted: () => boolean;
  passed: number;
  resolve(memory: NativeMemory): void;
  reject(error: Error): void;
}

/**
 * Memory for what is to come: at most so much at a time, so that reads find some too. Served in the order in which it was asked for, but smaller
 * requests may pass one that does not fit, a limited number of times: so one large request neither stops all others, nor waits for ever.
 */
export class ArenaQueue {
  readonly #clock: Clock;
  readonly #limitBytes: number;
  readonly #waiting: Waiting[] = [];
  #heldBytes = 0;
  #timer: Timer | null = null;

  /** @param limitBytes what may be handed out and not given back, at least 1 */
  constructor(clock: Clock, limitBytes: number) {
    this.#clock = clock;
    this.#limitBytes = limitBytes;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Handed out and not given back. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Without a promise where there is some. Whoever gets memory says `freed` when it is not needed any more, beside releasing it. Rejects with ENOMEM
   * when there is none before the deadline or ever, with ENOBUFS when too many wait, and with ENOTCONN soon after it is not wanted any more.
   */
  allocate(
    bytes: number,
    deadlineMs: number,
    isWanted: () => boolean = () => true,
  ): NativeMemory | Promise<NativeMemory> {
    const memory = this.#waiting.length === 0 ? this.#take(bytes) : null;
    if (memory !== null) return memory;
    if (bytes > this.#limitBytes) return Promise.reject(lack(bytes));
    if (this.#waiting.length >= MAX_WAITING)
      return Promise.reject(new StoreError('ENOBUFS', `${MAX_WAITING} requests wait for memory already`));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ bytes, deadlineMs, isWanted, passed: 0, resolve, reject });
      this.#serve();
    });
  }

  freed(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#serve();
  }

  #serve(): void {
    let blocked: Waiting | null = null;
    for (let i = 0; i < this.#waiting.length && i < LOOK_AHEAD; ) {
      const next = this.#waiting[i]!;
      const memory = this.#take(next.bytes);
      if (memory === null) {
        blocked ??= next;
        if (blocked.passed >= MAX_PASSED) break;
        i++;
        continue;
      }
      if (blocked !== null) blocked.passed++;
      this.#waiting.splice(i, 1);
      next.resolve(memory);
      if (blocked !== null && blocked.passed >= MAX_PASSED) break;
    }
    if (this.#waiting.length > 0) this.#later();
  }

  #take(bytes: number): NativeMemory | null {
    if (this.#heldBytes + bytes > this.#limitBytes) return null;
    const memory = NativeMemory.allocate(bytes);
    if (memory !== null) this.#heldBytes += bytes;
    return memory;
  }

  #later(): void {
    this.#timer ??= this.#clock.setTimer(RETRY_MS, () => {
      this.#timer = null;
      this.#expire();
      this.#serve();
    });
  }

  #expire(): void {
    const now = this.#clock.now();
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const { deadlineMs, bytes, reject, isWanted } = this.#waiting[i]!;
      const isGone = !isWanted();
      if (now < deadlineMs && !isGone) continue;
      this.#waiting.splice(i, 1);
      reject(isGone ? new StoreError('ENOTCONN', 'the gateway is gone') : lack(bytes));
    }
  }
}

function lack(bytes: number): StoreError {
  return new StoreError('ENOMEM', `the store has no memory for ${bytes} bytes: arena.bytes is too small`);
}
