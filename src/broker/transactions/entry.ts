import type { Transaction } from './transaction.ts';

/** A transactional id in memory: what is written of it, and whether a step is being written. */
export class TransactionEntry {
  readonly transactionalId: string;
  /** As the log has it; the epoch may be ahead when a producer is being fenced. */
  current: Transaction;
  /** A step that is being written; others have to wait. */
  isChanging = false;
  /** The epoch was raised to fence the producer, but that could not be written: it need not rise again. */
  fencedUnwritten = false;
  #waiting: (() => void)[] = [];

  constructor(transactionalId: string, current: Transaction) {
    this.transactionalId = transactionalId;
    this.current = current;
  }

  /** Resolves when the next step is taken, or has failed. */
  get changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  notify(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
