import { Fifo } from '../../util/fifo.ts';

/**
 * Runs actions in the order in which they were submitted, each when its own input is there. An action whose input is there
 * and that has nothing ahead of it runs at once, without a promise.
 */
export class InOrder {
  readonly #queue = new Fifo<Entry>();

  get size(): number {
    return this.#queue.size;
  }

  /** Exactly one of `action` and `failed` is called; neither should throw. */
  submit<T>(input: T | Promise<T>, action: (input: T) => void, failed: (error: unknown) => void): void {
    if (!(input instanceof Promise)) {
      if (this.#queue.size === 0) action(input);
      else this.#queue.push({ run: () => action(input) });
      return;
    }
    const entry: Entry = { run: null };
    this.#queue.push(entry);
    input.then(
      (value) => this.#ready(entry, () => action(value)),
      (error: unknown) => this.#ready(entry, () => failed(error)),
    );
  }

  #ready(entry: Entry, run: () => void): void {
    entry.run = run;
    for (let next = this.#queue.first?.run; next; next = this.#queue.first?.run) {
      try {
        next();
      } finally {
        // Not before it has run: what it submits here goes behind all that was submitted earlier.
        this.#queue.take();
      }
    }
  }
}

interface Entry {
  run: (() => void) | null;
}
