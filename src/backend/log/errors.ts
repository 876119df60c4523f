/** Kafka's error codes that a log gives. */
export const LogErrorCode = {
  OFFSET_OUT_OF_RANGE: 1,
  CORRUPT_MESSAGE: 2,
  RECORD_LIST_TOO_LARGE: 18,
  NOT_ENOUGH_REPLICAS: 19,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  INVALID_PRODUCER_EPOCH: 47,
  INVALID_TXN_STATE: 48,
  TRANSACTION_COORDINATOR_FENCED: 52,
  KAFKA_STORAGE_ERROR: 56,
  INCONSISTENT_TOPIC_ID: 103,
} as const;

export type LogErrorCode = (typeof LogErrorCode)[keyof typeof LogErrorCode];

/** A refusal or failure of a log that has a Kafka error code; `cause` holds the error of the file system, if any. */
export class LogError extends Error {
  override readonly name = 'LogError';
  readonly code: LogErrorCode;

  constructor(code: LogErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

export function isStorageError(error: unknown): error is LogError {
  return error instanceof LogError && error.code === LogErrorCode.KAFKA_STORAGE_ERROR;
}

/** A `KAFKA_STORAGE_ERROR` that says what was attempted. */
export function storageError(action: string, cause: unknown): LogError {
  if (isStorageError(cause)) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new LogError(LogErrorCode.KAFKA_STORAGE_ERROR, `${action}: ${reason}`, cause);
}

const TRANSIENT: ReadonlySet<string> = new Set([
  'ENOSPC',
  'EDQUOT',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'ETIMEDOUT',
]);

/** Whether a failure may pass by itself (a full disk, too many open files or queued bytes, no memory, stores that are away), so that the directory stays in use. */
export function isTransient(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as { code?: unknown };
    if (code === LogErrorCode.NOT_ENOUGH_REPLICAS || TRANSIENT.has(String(code))) return true;
  }
  return false;
}

/** Whether a file or directory was not there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === 'ENOENT';
}
