import { ErrorCode } from '../../protocol/errors.ts';

/** What a producer is told when its transaction could not be written. */
export function transactionAppendError(error: unknown): ErrorCode {
  const code = (error as { code?: unknown } | null)?.code;
  switch (code) {
    case ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
    case ErrorCode.NOT_ENOUGH_REPLICAS:
    case ErrorCode.REQUEST_TIMED_OUT:
      return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    case ErrorCode.MESSAGE_TOO_LARGE:
    case ErrorCode.RECORD_LIST_TOO_LARGE:
      return ErrorCode.UNKNOWN_SERVER_ERROR;
    default:
      return ErrorCode.NOT_COORDINATOR;
  }
}
