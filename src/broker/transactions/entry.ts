import type { Transaction } from './transaction.ts';

/** A transactional id in memory: what is written of it, and whether a step is being written. */
export class TransactionEntry {
  readonly transactionalId: string;
  /** As the log has it. */
  current: Transaction;
  /** A step that is being written; others have to wait. */
  isChanging = false;
  readonly #waiting = new Set<() => void>();

  constructor(transactionalId: string, current: Transaction) {
    this.transactionalId = transactionalId;
    this.current = current;
  }

  /** Calls `wake` when the next step is taken, or has failed. @returns how to take that back */
  onChange(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => this.#waiting.delete(wake);
  }

  notify(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}
