import { ErrorCode } from '../../protocol/errors.ts';

/** What a version of a request knows of transactions, and what it is told while the coordinator is not to be reached. */
export interface RefusalForm {
  /** The broker adds partitions to the transaction itself (KIP-890), and the client knows CONCURRENT_TRANSACTIONS. */
  readonly addsPartitions: boolean;
  readonly knowsAbortable: boolean;
  readonly notReady: ErrorCode;
}

/** How Kafka's broker answers when it cannot make sure that what was sent belongs to a transaction. */
export function transactionRefusal(
  error: ErrorCode,
  { addsPartitions, knowsAbortable, notReady }: RefusalForm,
): ErrorCode {
  switch (error) {
    case ErrorCode.PRODUCER_FENCED:
      return ErrorCode.INVALID_PRODUCER_EPOCH;
    case ErrorCode.CONCURRENT_TRANSACTIONS:
      return addsPartitions ? error : notReady;
    case ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
    case ErrorCode.COORDINATOR_NOT_AVAILABLE:
    case ErrorCode.NOT_COORDINATOR:
      return notReady;
    case ErrorCode.TRANSACTION_ABORTABLE:
      return knowsAbortable ? error : ErrorCode.INVALID_TXN_STATE;
    default:
      return error;
  }
}
