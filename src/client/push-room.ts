import { MAX_TIMER_MS } from '../util/clock.ts';
import { aborted, DirectError } from './errors.ts';

interface Entry {
  readonly bytes: number;
  readonly enter: () => void;
}

/** The bytes that were pushed and are not acknowledged: pushes wait, first come first served, while there are too many. */
export class PushRoom {
  readonly #maxBytes: number;
  readonly #maxBlockMs: number;
  readonly #waiting: Entry[] = [];
  #bytes = 0;
  /** Those that wait are being let in. */
  #isAdmitting = false;

  constructor(maxBytes: number, maxBlockMs: number) {
    this.#maxBytes = maxBytes;
    this.#maxBlockMs = maxBlockMs;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isWaitedFor(): boolean {
    return this.#waiting.length > 0;
  }

  /** Takes room if there is some, and nobody waits for it. */
  takeNow(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) return false;
    this.#bytes += bytes;
    return true;
  }

  /**
   * Takes room when there is some. Rejects with BUFFER_FULL when that takes too long, or ABORTED.
   * @param enter called as soon as there is: what takes room after that comes behind it. What it resolves to
   */
  take<T>(
    bytes: number,
    doing: string,
    signal: AbortSignal | undefined,
    enter: () => Promise<T>,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (action: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        const at = this.#waiting.indexOf(entry);
        if (at >= 0) this.#waiting.splice(at, 1);
        action();
      };
      const entry = { bytes, enter: () => settle(() => resolve(enter())) };
      const fail = (error: DirectError) => {
        settle(() => reject(error));
        // Those behind it may want less.
        this.#admit();
      };
      const onAbort = () => fail(aborted(doing, signal!));
      const onTimeout = () =>
        fail(
          new DirectError('BUFFER_FULL', `no room for ${bytes} bytes in ${this.#maxBlockMs} ms`, {
            doing,
            todo: 'push less at a time, or raise maxBufferedBytes',
            retriable: true,
          }),
        );
      const timer = setTimeout(onTimeout, Math.min(this.#maxBlockMs, MAX_TIMER_MS));
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(entry);
    });
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
    this.#admit();
  }

  #admit(): void {
    // Who enters may give room back at once.
    if (this.#isAdmitting) return;
    this.#isAdmitting = true;
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#bytes += next.bytes;
      next.enter();
    }
    this.#isAdmitting = false;
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#maxBytes;
  }
}
