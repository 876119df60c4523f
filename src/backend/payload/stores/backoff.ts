/** Ever longer delays, each twice as long as the one before. */
export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  #delayMs: number;

  constructor(firstMs: number, longestMs: number) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
    this.#delayMs = firstMs;
  }

  /** How long to wait now, in milliseconds. */
  get delayMs(): number {
    return this.#delayMs;
  }

  /** It was in vain once more. */
  grow(): void {
    this.#delayMs = Math.min(this.#longestMs, 2 * this.#delayMs);
  }

  reset(): void {
    this.#delayMs = this.#firstMs;
  }
}
