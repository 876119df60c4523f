/** What has its turn behind all that was added before it. */
export interface Step {
  /** Nothing of its own keeps it from its turn; whoever makes it so calls `advance`. */
  readonly isReady: boolean;
  /** Its turn. Never throws or rejects; while there is a promise, those behind it wait. */
  take(): Promise<void> | null;
}

/** Steps that are taken one after the other; at once, and without a promise, where nothing holds them up. */
export class Turns {
  readonly #steps: Step[] = [];
  #added = 0;
  #taken = 0;
  #isTaking = false;
  #waiting: { readonly until: number; resolve(): void }[] = [];

  add(step: Step): void {
    this.#steps.push(step);
    this.#added++;
    this.advance();
  }

  /** Takes all steps that can be taken. */
  advance(): void {
    while (!this.#isTaking && this.#steps[0]?.isReady === true) {
      this.#isTaking = true;
      const taking = this.#steps.shift()!.take();
      if (taking === null) this.#took();
      else
        void taking.then(() => {
          this.#took();
          this.advance();
        });
    }
  }

  #took(): void {
    this.#isTaking = false;
    this.#taken++;
    while (this.#waiting.length > 0 && this.#waiting[0]!.until <= this.#taken)
      this.#waiting.shift()!.resolve();
  }

  /** Resolves when all that was added before has had its turn. */
  passed(): Promise<void> {
    const until = this.#added;
    if (until === this.#taken) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push({ until, resolve });
    });
  }
}
