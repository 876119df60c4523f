interface PendingWrite {
  readonly endOffset: bigint;
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  state: 'pending' | 'done' | 'failed';
}

/**
 * Lets the writes of a log finish in offset order, whichever file they go to. After one has failed, all behind it fail; the log then
 * goes back to `endOffset` and calls `restart`.
 */
export class WriteOrder {
  /** Every batch below it survives the death of the process. */
  endOffset: bigint;
  readonly #pending: PendingWrite[] = [];
  #failure: { readonly error: unknown } | null = null;
  #unsettled = 0;
  readonly #idle: (() => void)[] = [];
  readonly #onFailure: (error: unknown) => void;

  /** `onFailure` is called once for a failure, when nothing is under way any more. */
  constructor(endOffset: bigint, onFailure: (error: unknown) => void) {
    this.endOffset = endOffset;
    this.#onFailure = onFailure;
  }

  get failed(): boolean {
    return this.#failure !== null;
  }

  /**
   * Takes in a write that ends at `endOffset`; `done` is null for one that is done. What it returns settles in the order of the
   * calls; null: all are done.
   */
  add(endOffset: bigint, done: Promise<void> | null): Promise<void> | null {
    if (done === null && this.#pending.length === 0 && this.#failure === null) {
      this.endOffset = endOffset;
      return null;
    }
    let resolve = () => {};
    let reject: (error: unknown) => void = () => {};
    const promise = new Promise<void>((onDone, onError) => {
      resolve = onDone;
      reject = onError;
    });
    // Not everybody waits for it.
    promise.catch(() => {});
    const write: PendingWrite = { endOffset, promise, resolve, reject, state: 'pending' };
    this.#pending.push(write);
    this.#unsettled++;
    (done ?? Promise.resolve()).then(
      () => this.#finish(write, null),
      (error: unknown) => this.#finish(write, { error }),
    );
    return promise;
  }

  /** Resolves when every write added so far is in its file; rejects if one of them failed. */
  written(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure.error);
    return this.#pending.at(-1)?.promise ?? Promise.resolve();
  }

  /** Resolves when no write is under way. */
  async idle(): Promise<void> {
    while (this.#unsettled > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Starts anew at the end to which the log went back. */
  restart(endOffset: bigint): void {
    this.endOffset = endOffset;
    this.#failure = null;
  }

  #finish(write: PendingWrite, failure: { error: unknown } | null): void {
    this.#unsettled--;
    write.state = failure ? 'failed' : 'done';
    this.#failure ??= failure;
    this.#settleInOrder();
    if (this.#unsettled > 0) return;
    for (const wake of this.#idle.splice(0)) wake();
    if (this.#failure) this.#onFailure(this.#failure.error);
  }

  #settleInOrder(): void {
    let settled = 0;
    for (const write of this.#pending) {
      if (write.state !== 'done') break;
      this.endOffset = write.endOffset;
      write.resolve();
      settled++;
    }
    this.#pending.splice(0, settled);
    if (this.#pending[0]?.state !== 'failed') return;
    for (const write of this.#pending.splice(0)) write.reject(this.#failure?.error);
  }
}
