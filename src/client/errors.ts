import { ErrorCode } from '../protocol/errors.ts';

/**
 * Stable codes of errors. `BROKER` errors carry Kafka's name in `broker`.
 *
 * INVALID_ARGUMENT: the call is wrong · INVALID_METADATA: the topic's validator refuses it · MODULE: a topic or group names a module that this
 * client does not allow, or that cannot be used · TIMEOUT: no answer in time · ABORTED: an AbortSignal · CLOSED: the client, producer or consumer is closed · CONNECTION: the gateway cannot be reached, or went away ·
 * NOT_DIRECT: the listener is not a direct one · BUFFER_FULL: too much waits to be sent · CHECKSUM: data arrived damaged ·
 * DELETED: the data is no longer there · EXPIRED: a reference has expired and its record cannot be found again · FENCED: another took over
 * the group membership or the producer's id · ABORTABLE: the transaction cannot be committed any more, abort it and begin anew ·
 * CONFLICT: what is stored is another than the call builds on ·
 * BROKER: the gateway refused.
 */
export type DirectErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_METADATA'
  | 'MODULE'
  | 'TIMEOUT'
  | 'ABORTED'
  | 'CLOSED'
  | 'CONNECTION'
  | 'NOT_DIRECT'
  | 'BUFFER_FULL'
  | 'CHECKSUM'
  | 'DELETED'
  | 'EXPIRED'
  | 'FENCED'
  | 'ABORTABLE'
  | 'CONFLICT'
  | 'BROKER';

export interface DirectErrorDetails {
  /** What was being done, for people: "push to fields". */
  doing: string;
  /** What to do about it, for people. */
  todo?: string;
  /** Kafka's name of the error, of BROKER errors. */
  broker?: string;
  /** Whether the same call may succeed later. */
  retriable?: boolean;
  cause?: unknown;
}

/** What to do about an error that says nothing else. */
const DEFAULT_ADVICE: Readonly<Partial<Record<DirectErrorCode, string>>> = {
  TIMEOUT: 'see whether the gateway is busy or the network slow; time-outs are options of the client',
  CONNECTION: 'see that the gateway runs, and can be reached at this address',
  CHECKSUM: 'see the log of the gateway; `kafabric payload verify` finds payload that is damaged',
  DELETED: 'retention or a deletion has removed it; go on with what is there',
  EXPIRED: 'pull the event again',
};

/** Every error of the client library. */
export class DirectError extends Error {
  readonly code: DirectErrorCode;
  readonly doing: string;
  readonly todo: string | null;
  readonly broker: string | null;
  readonly retriable: boolean;

  constructor(code: DirectErrorCode, message: string, details: DirectErrorDetails) {
    const { doing, todo = DEFAULT_ADVICE[code], broker, retriable, cause } = details;
    super(`${doing}: ${message}${todo ? `; ${todo}` : ''}`, cause === undefined ? undefined : { cause });
    this.name = 'DirectError';
    this.code = code;
    this.doing = doing;
    this.todo = todo ?? null;
    this.broker = broker ?? null;
    this.retriable = retriable ?? (code === 'TIMEOUT' || code === 'CONNECTION');
  }
}

const names = new Map<number, string>(Object.entries(ErrorCode).map(([name, code]) => [code, name]));

/** What clients of Kafka try again after. */
const RETRIABLE: ReadonlySet<number> = new Set([
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.REQUEST_TIMED_OUT,
  ErrorCode.NETWORK_EXCEPTION,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.NOT_COORDINATOR,
  // One transaction is still being ended.
  ErrorCode.CONCURRENT_TRANSACTIONS,
  ErrorCode.NOT_ENOUGH_REPLICAS,
  ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  ErrorCode.KAFKA_STORAGE_ERROR,
  // A transaction of which they are part has not ended.
  ErrorCode.UNSTABLE_OFFSET_COMMIT,
  // One before it is on its way again.
  ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
]);

const CODES: ReadonlyMap<number, DirectErrorCode> = new Map<number, DirectErrorCode>([
  [ErrorCode.OFFSET_OUT_OF_RANGE, 'DELETED'],
  // Of a reference.
  [ErrorCode.UNKNOWN_TOPIC_ID, 'DELETED'],
  [ErrorCode.DELEGATION_TOKEN_EXPIRED, 'EXPIRED'],
  [ErrorCode.PRODUCER_FENCED, 'FENCED'],
  [ErrorCode.FENCED_INSTANCE_ID, 'FENCED'],
  [ErrorCode.TRANSACTION_COORDINATOR_FENCED, 'FENCED'],
  [ErrorCode.INVALID_TXN_STATE, 'ABORTABLE'],
  [ErrorCode.TRANSACTION_ABORTABLE, 'ABORTABLE'],
  // As Kafka's clients take them: whether the producer was fenced is told when it aborts, or begins anew.
  [ErrorCode.INVALID_PRODUCER_EPOCH, 'ABORTABLE'],
  [ErrorCode.INVALID_PRODUCER_ID_MAPPING, 'ABORTABLE'],
  [ErrorCode.INVALID_UPDATE_VERSION, 'CONFLICT'],
]);

const WHAT_TO_DO: ReadonlyMap<number, string> = new Map([
  [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 'create the topic first'],
  [
    ErrorCode.MESSAGE_TOO_LARGE,
    'raise max.message.bytes of the topic, or direct.max.request.bytes or arena.bytes of the gateway',
  ],
  [ErrorCode.TOPIC_ALREADY_EXISTS, 'open it instead'],
  [ErrorCode.INVALID_RECORD, 'see the message for the record at fault'],
  [ErrorCode.GROUP_ID_NOT_FOUND, '`kafabric groups list` shows those that there are'],
  [ErrorCode.NON_EMPTY_GROUP, 'stop its consumers first'],
  [
    ErrorCode.INVALID_PRODUCER_EPOCH,
    'abort the transaction and begin anew: it took longer than transactionTimeoutMs, or another producer has the id',
  ],
  [
    ErrorCode.INVALID_TRANSACTION_TIMEOUT,
    'lower transactionTimeoutMs, or raise transaction.max.timeout.ms of the gateway',
  ],
]);

/** An answer of the gateway as an error. @param todo where the call knows better than the code */
export function brokerError(
  code: number,
  message: string | null,
  doing: string,
  todo = WHAT_TO_DO.get(code),
): DirectError {
  const broker = names.get(code) ?? `error ${code}`;
  return new DirectError(CODES.get(code) ?? 'BROKER', message ? `${message} (${broker})` : broker, {
    doing,
    broker,
    retriable: RETRIABLE.has(code),
    ...(todo === undefined ? {} : { todo }),
  });
}

/** Errors that are none of this library's are those of a program: they keep their cause. @param code of such an error */
export function asDirectError(error: unknown, doing: string, code: DirectErrorCode = 'BROKER'): DirectError {
  return error instanceof DirectError ? error : new DirectError(code, textOf(error), { doing, cause: error });
}

/** Code of applications may throw anything, also what has no text. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return 'something without a text was thrown';
  }
}

/**
 * What code of the application has returned, which is used at once.
 * @param what for people, in errors: "the data selector"
 * @throws DirectError INVALID_ARGUMENT for a promise; should that reject, nobody else is told
 */
export function atOnce<T>(returned: T, what: string): T {
  if (!(returned instanceof Promise)) return returned;
  returned.catch(() => undefined);
  throw new DirectError('INVALID_ARGUMENT', 'it returned a promise', {
    doing: `call ${what}`,
    todo: 'it has to return its result itself, and cannot be asynchronous',
  });
}

/** Whether a topic, or a partition of it, was not found. */
export function isUnknownTopic(error: unknown): error is DirectError {
  return error instanceof DirectError && error.broker === 'UNKNOWN_TOPIC_OR_PARTITION';
}

/** As an error that may pass: the topic was there a moment ago, and may have been made anew. Others as they are. */
export function mayPass(error: unknown): unknown {
  if (!isUnknownTopic(error)) return error;
  const { doing, broker } = error;
  const details = { doing, cause: error, retriable: true, ...(broker !== null && { broker }) };
  return new DirectError(error.code, 'the topic was deleted meanwhile', details);
}

export function aborted(doing: string, signal: AbortSignal): DirectError {
  return new DirectError('ABORTED', 'aborted', { doing, cause: signal.reason });
}

/** @throws DirectError ABORTED when the signal says so, INVALID_ARGUMENT for what is none, its controller for instance */
export function checkSignal(signal: AbortSignal | undefined, doing: string): void {
  if (signal === undefined) return;
  if (typeof signal?.addEventListener !== 'function')
    throw new DirectError('INVALID_ARGUMENT', 'the signal is no AbortSignal', {
      doing,
      todo: 'give the `signal` of the controller',
    });
  if (signal.aborted) throw aborted(doing, signal);
}

/**
 * What an action resolves to, or ABORTED as soon as the signal says so: then it is not begun, or what it has begun ends unseen.
 * @param onLate takes what it resolved to after that
 */
export function unlessAborted<T>(
  action: () => Promise<T>,
  doing: string,
  signal: AbortSignal | undefined,
  onLate?: (value: T) => void,
): Promise<T> {
  if (signal === undefined) return action();
  return new Promise((resolve, reject) => {
    checkSignal(signal, doing);
    const onAbort = () => reject(aborted(doing, signal));
    signal.addEventListener('abort', onAbort, { once: true });
    action()
      .then((value) => {
        if (signal.aborted) onLate?.(value);
        resolve(value);
      }, reject)
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Of calls that wait for the gateway. */
export interface Abortable {
  /** Ends the wait, with ABORTED; what was asked for may still happen. */
  readonly signal?: AbortSignal | undefined;
}
