interface PendingWrite {
  readonly endOffset: bigint;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  state: 'pending' | 'done' | 'failed';
}

/**
 * Lets the writes of a log finish in offset order, whichever file they go to. After one has failed, all behind it fail; the log then
 * goes back to `endOffset` and calls `restart`.
 */
export class WriteOrder {
  /** Every batch below it is in its file. */
  endOffset: bigint;
  readonly #pending: PendingWrite[] = [];
  #failure: { readonly error: unknown } | null = null;
  #unsettled = 0;
  readonly #onFailure: (error: unknown) => void;
  #settled: (() => void)[] = [];

  /** `onFailure` is called once, when nothing is under way any more. */
  constructor(endOffset: bigint, onFailure: (error: unknown) => void) {
    this.endOffset = endOffset;
    this.#onFailure = onFailure;
  }

  get failed(): boolean {
    return this.#failure !== null;
  }

  /** Takes in a write that ends at `endOffset`; what it returns settles in the order of the calls. */
  add(endOffset: bigint, done: Promise<void>): Promise<void> {
    this.#unsettled++;
    return new Promise((resolve, reject) => {
      const write: PendingWrite = { endOffset, resolve, reject, state: 'pending' };
      this.#pending.push(write);
      done.then(
        () => this.#finish(write, null),
        (error: unknown) => this.#finish(write, { error }),
      );
    });
  }

  /** Resolves when every write added so far is in its file; rejects if one of them failed. */
  async written(): Promise<void> {
    if (this.#failure) throw this.#failure.error;
    const last = this.#pending.at(-1);
    if (!last) return;
    const { endOffset } = last;
    while (this.endOffset < endOffset) {
      await new Promise<void>((resolve) => this.#settled.push(resolve));
      if (this.#failure) throw (this.#failure as { error: unknown }).error;
    }
  }

  /** Starts anew at the end to which the log went back. */
  restart(endOffset: bigint): void {
    this.endOffset = endOffset;
    this.#failure = null;
  }

  #finish(write: PendingWrite, failure: { error: unknown } | null): void {
    this.#unsettled--;
    write.state = failure ? 'failed' : 'done';
    if (failure && !this.#failure) this.#failure = failure;
    this.#settleInOrder();
    const waiting = this.#settled;
    this.#settled = [];
    for (const wake of waiting) wake();
    if (this.#failure && this.#unsettled === 0) this.#onFailure(this.#failure.error);
  }

  #settleInOrder(): void {
    while (this.#pending.length > 0) {
      const head = this.#pending[0]!;
      if (head.state === 'pending') break;
      if (head.state === 'failed') {
        for (const write of this.#pending.splice(0)) write.reject(this.#failure?.error);
        break;
      }
      this.#pending.shift();
      this.endOffset = head.endOffset;
      head.resolve();
    }
  }
}
