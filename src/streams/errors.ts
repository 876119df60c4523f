/**
 * Stable codes of errors of the streams API.
 *
 * INVALID_ARGUMENT: a call is wrong · INVALID_TOPOLOGY: what was built cannot run · MISSING_TOPIC: a source topic does not exist ·
 * NOT_COPARTITIONED: topics that are joined have different numbers of partitions · SERIALIZATION, DESERIALIZATION: a serde refuses ·
 * PROCESSING: a function of the application threw · STORE_FULL: state is larger than allowed · NO_CLIENT: @platformatic/kafka is not
 * installed · BROKER: the brokers refuse, or what they answer cannot be read, and trying again would not help · CLOSED: the application is
 * closed.
 */
export type StreamsErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_TOPOLOGY'
  | 'MISSING_TOPIC'
  | 'NOT_COPARTITIONED'
  | 'SERIALIZATION'
  | 'DESERIALIZATION'
  | 'PROCESSING'
  | 'STORE_FULL'
  | 'NO_CLIENT'
  | 'BROKER'
  | 'CLOSED';

/** Every error that the streams API throws on purpose. The message says what happened, and after a semicolon what to do. */
export class StreamsError extends Error {
  readonly code: StreamsErrorCode;

  constructor(code: StreamsErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StreamsError';
    this.code = code;
  }
}

export function invalid(message: string): StreamsError {
  return new StreamsError('INVALID_ARGUMENT', message);
}

/** @throws StreamsError INVALID_ARGUMENT unless `value` is a whole number from `min` to `max` */
export function checkWhole(name: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  const upper = max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`;
  throw invalid(`${name} is ${value}; give a whole number from ${min}${upper}`);
}
