const INTERVAL_MS = 2000;

/** A line on the error stream every two seconds of long work; nothing of short work, so that scripts see only errors there. */
export class Progress {
  readonly #what: string;
  readonly #isShown: boolean;
  #events = 0;
  #bytes = 0;
  #shownAt = Date.now();

  /** @param what was done with events: "pushed" */
  constructor(what: string, isShown = true) {
    this.#what = what;
    this.#isShown = isShown;
  }

  add(bytes: number): void {
    this.#events++;
    this.#bytes += bytes;
    if (!this.#isShown || Date.now() - this.#shownAt < INTERVAL_MS) return;
    this.#shownAt = Date.now();
    process.stderr.write(`${this.#events} events ${this.#what}, ${(this.#bytes / 1e6).toFixed(1)} MB\n`);
  }
}
