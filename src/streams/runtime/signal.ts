/** Wakes who waits; a call while nobody waits wakes the next one at once. */
export class Signal {
  #given = false;
  #wake: (() => void) | null = null;

  give(): void {
    this.#given = true;
    this.#wake?.();
  }

  /** Resolves when it is given, or after `ms`. One may wait at a time. */
  async wait(ms: number): Promise<void> {
    if (!this.#given) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
    this.#given = false;
  }

  /** As `wait`, whatever it is given for meanwhile, unless it is over then. */
  async waitUnless(isOver: () => boolean, ms: number): Promise<void> {
    const untilMs = performance.now() + ms;
    for (let left = ms; left > 0 && !isOver(); left = untilMs - performance.now()) await this.wait(left);
  }
}
