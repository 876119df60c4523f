import type { KafabricConfig } from '../../config/index.ts';

/** What the transaction coordinator needs from the configuration; times in milliseconds. */
export interface TransactionConfig {
  readonly maxTimeoutMs: number;
  readonly idExpirationMs: number;
  readonly abortTimedOutIntervalMs: number;
  readonly removeExpiredIntervalMs: number;
  /** Whether batches of clients that use the classic protocol are only taken for partitions of their transaction. */
  readonly verifiesPartitions: boolean;
}

/** @param current the configuration now: one key may change while the broker runs */
export function transactionConfig(current: () => KafabricConfig): TransactionConfig {
  const config = current();
  return {
    maxTimeoutMs: config.get('transaction.max.timeout.ms'),
    idExpirationMs: config.get('transactional.id.expiration.ms'),
    abortTimedOutIntervalMs: config.get('transaction.abort.timed.out.transaction.cleanup.interval.ms'),
    removeExpiredIntervalMs: config.get('transaction.remove.expired.transaction.cleanup.interval.ms'),
    get verifiesPartitions() {
      return current().get('transaction.partition.verification.enable');
    },
  };
}
