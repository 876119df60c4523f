/** Runs asynchronous tasks one after another. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => {});
    return result;
  }
}

/** Runs asynchronous tasks of the same key one after another, and those of different keys at the same time. */
export class SerialQueues {
  readonly #last = new Map<string, Promise<void>>();

  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(key) ?? Promise.resolve()).then(task);
    const leave = () => {
      if (this.#last.get(key) === ended) this.#last.delete(key);
    };
    const ended = result.then(leave, leave);
    this.#last.set(key, ended);
    return result;
  }

  /** Resolves when what was given so far has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#last.values());
  }
}

/** Writes a state out: calls made while a write is under way are served together by the next one. */
export class CoalescedWrite {
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  readonly #write: () => Promise<void>;

  constructor(write: () => Promise<void>) {
    this.#write = write;
  }

  /** Resolves when a write that began after this call has ended. */
  request(): Promise<void> {
    // It may be about to begin, when nothing runs any more.
    if (this.#next) return this.#next;
    if (!this.#running) return this.#start();
    this.#next = this.#running
      .catch(() => {})
      .then(() => {
        this.#next = null;
        return this.#start();
      });
    return this.#next;
  }

  get isBusy(): boolean {
    return this.#running !== null || this.#next !== null;
  }

  /** Resolves when nothing is being written; rejects if the last write failed. */
  async idle(): Promise<void> {
    await (this.#next ?? this.#running);
  }

  #start(): Promise<void> {
    const running = this.#write().finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return running;
  }
}

/** Does something with every item, so many at the same time; rejects with the first failure when all that began have ended. */
export async function forEachParallel<T>(
  items: readonly T[],
  parallel: number,
  task: (item: T) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  let failure: { error: unknown } | null = null;
  const work = async () => {
    while (next < items.length && !failure) {
      try {
        await task(items[next++]!);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, work));
  if (failure) throw (failure as { error: unknown }).error;
}

/** Marks a promise whose rejection nobody may be waiting for. */
export function handled(promise: Promise<void> | null): Promise<void> | null {
  promise?.catch(() => {});
  return promise;
}
