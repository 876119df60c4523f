import { ErrorCode } from '../../protocol/errors.ts';
import { NO_PRODUCER_EPOCH, NO_PRODUCER_ID } from '../../protocol/records/batch-header.ts';

/** The states of a transactional id, with Kafka's names and, by their place, its numbers. */
export const TRANSACTION_STATES = [
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
] as const;

export type TransactionState = (typeof TRANSACTION_STATES)[number];

/** Versions of the transaction protocol: before and since KIP-890, in which the epoch rises with every transaction. */
export const TransactionVersion = { classic: 0, epochPerTransaction: 2 } as const;
export type TransactionVersion = (typeof TransactionVersion)[keyof typeof TransactionVersion];

/** An epoch that no client gets: it serves to fence the one before. */
export const NO_EPOCH_LEFT = 32767;
const NO_TIME = -1;

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** Partitions by topic. */
export type PartitionSet = ReadonlyMap<string, ReadonlySet<number>>;

/** What is known of a transactional id. Never changed: a step makes a new one. Times in milliseconds since the epoch. */
export interface Transaction extends ProducerIdentity {
  readonly state: TransactionState;
  /** The producer id before the present one; -1 if there was none. */
  readonly previousProducerId: bigint;
  /** The producer id from the end of the transaction on, because the epochs of the present one are used up; -1 otherwise. */
  readonly nextProducerId: bigint;
  readonly lastProducerEpoch: number;
  readonly timeoutMs: number;
  readonly partitions: PartitionSet;
  /** -1 before the first transaction. */
  readonly startMs: number;
  readonly updateMs: number;
  /** By which the client took the last step. */
  readonly version: TransactionVersion;
}

/** A step to be written down and then taken, or why there is none. */
export type Step = Transaction | ErrorCode;

const NO_PARTITIONS: PartitionSet = new Map();

/** A transactional id that is seen for the first time. */
export function newTransaction(producerId: bigint, timeoutMs: number, nowMs: number): Transaction {
  return {
    state: 'Empty',
    producerId,
    previousProducerId: NO_PRODUCER_ID,
    nextProducerId: NO_PRODUCER_ID,
    producerEpoch: NO_PRODUCER_EPOCH,
    lastProducerEpoch: NO_PRODUCER_EPOCH,
    timeoutMs,
    partitions: NO_PARTITIONS,
    startMs: NO_TIME,
    updateMs: nowMs,
    version: TransactionVersion.classic,
  };
}

/** Whether the producer needs another id: the last epoch is kept for fencing it. */
function isEpochExhausted(producerEpoch: number): boolean {
  return producerEpoch >= NO_EPOCH_LEFT - 1;
}

export function isPreparing({ state }: Transaction): boolean {
  return state === 'PrepareCommit' || state === 'PrepareAbort';
}

/** Whether the id may be forgotten when it is not used. */
export function mayExpire({ state }: Transaction): boolean {
  return state === 'Empty' || state === 'CompleteCommit' || state === 'CompleteAbort';
}

export function hasPartition({ partitions }: Transaction, { topic, partition }: TopicPartition): boolean {
  return partitions.get(topic)?.has(partition) ?? false;
}

export function* partitionsOf({ partitions }: Pick<Transaction, 'partitions'>): Generator<TopicPartition> {
  for (const [topic, indexes] of partitions) for (const partition of indexes) yield { topic, partition };
}

/** InitProducerId of a producer that claims to go on as `expected`: whether it may. */
export function mayGoOn(current: Transaction, expected: ProducerIdentity | null): boolean {
  if (expected === null || current.producerEpoch === NO_PRODUCER_EPOCH) return true;
  if (expected.producerId === current.producerId) return true;
  // Perhaps it did not hear of its new id.
  return expected.producerId === current.previousProducerId && isEpochExhausted(expected.producerEpoch);
}

/**
 * InitProducerId while no transaction is open: the next epoch, or with `newProducerId`, which is needed when the epochs are used up, that
 * id. Whoever repeats a request gets the answer again.
 */
export function initialize(
  current: Transaction,
  expected: ProducerIdentity | null,
  newProducerId: bigint | null,
  timeoutMs: number,
  nowMs: number,
): Step {
  const reset = {
    state: 'Empty',
    timeoutMs,
    partitions: NO_PARTITIONS,
    startMs: NO_TIME,
    updateMs: nowMs,
  } as const;
  const { producerId: previousProducerId, producerEpoch: epoch, lastProducerEpoch } = current;
  if (newProducerId !== null) {
    const last = expected === null ? NO_PRODUCER_EPOCH : epoch;
    const identity = {
      producerId: newProducerId,
      producerEpoch: 0,
      previousProducerId,
      lastProducerEpoch: last,
    };
    return { ...current, ...reset, ...identity };
  }
  const from = { ...current, ...reset, previousProducerId };
  if (expected === null) return { ...from, producerEpoch: epoch + 1, lastProducerEpoch: NO_PRODUCER_EPOCH };
  if (epoch === NO_PRODUCER_EPOCH || expected.producerEpoch === epoch)
    return { ...from, producerEpoch: epoch + 1, lastProducerEpoch: epoch };
  return expected.producerEpoch === lastProducerEpoch ? from : ErrorCode.PRODUCER_FENCED;
}

/** Whether the rotation of the producer id is due in `initialize`. */
export function needsNewProducerId(current: Transaction, expected: ProducerIdentity | null): boolean {
  if (!isEpochExhausted(current.producerEpoch)) return false;
  return expected === null || expected.producerEpoch === current.producerEpoch;
}

/** Of an epoch before the one that the transaction has, whatever becomes of it. */
export function isFenced(current: Transaction, { producerId, producerEpoch }: ProducerIdentity): boolean {
  return current.producerId === producerId && producerEpoch < current.producerEpoch;
}

/** Adds partitions to the open transaction, or begins one with them. NONE: they are in it. */
export function addPartitions(
  current: Transaction,
  { producerId, producerEpoch }: ProducerIdentity,
  added: Iterable<TopicPartition>,
  version: TransactionVersion,
  nowMs: number,
): Step {
  // First: the producer may know of an id that comes with the end of the transaction before.
  if (isPreparing(current)) return ErrorCode.CONCURRENT_TRANSACTIONS;
  if (current.producerId !== producerId) return ErrorCode.INVALID_PRODUCER_ID_MAPPING;
  if (current.producerEpoch !== producerEpoch) return ErrorCode.PRODUCER_FENCED;
  const missing = [...added].filter((partition) => !hasPartition(current, partition));
  if (current.state === 'Ongoing' && missing.length === 0) return ErrorCode.NONE;
  const grown = new Map<string, Set<number>>();
  for (const { topic, partition } of missing) {
    const indexes = grown.get(topic) ?? new Set(current.partitions.get(topic));
    grown.set(topic, indexes.add(partition));
  }
  const partitions = new Map([...current.partitions, ...grown]);
  return {
    ...current,
    state: 'Ongoing',
    previousProducerId: producerId,
    partitions,
    startMs: current.state === 'Ongoing' ? current.startMs : nowMs,
    updateMs: nowMs,
    version,
  };
}

/** How a transaction is to end. */
export interface EndRequest extends ProducerIdentity {
  readonly commit: boolean;
  readonly version: TransactionVersion;
  /** For the case that the epochs are used up. */
  readonly nextProducerId: bigint;
}

/**
 * EndTxn: prepares the end. NONE: it has ended so already, and the answer says with which id and epoch the producer goes on.
 * The classic protocol tells a repeated request by the state, the newer one by the epoch, which rises with every end.
 */
export function prepareEnd(current: Transaction, request: EndRequest, nowMs: number): Step {
  return request.version === TransactionVersion.classic
    ? prepareClassicEnd(current, request, nowMs)
    : prepareEndWithNextEpoch(current, request, nowMs);
}

function prepareClassicEnd(current: Transaction, request: EndRequest, nowMs: number): Step {
  if (current.producerId !== request.producerId) return ErrorCode.INVALID_PRODUCER_ID_MAPPING;
  if (current.producerEpoch !== request.producerEpoch) return ErrorCode.PRODUCER_FENCED;
  switch (current.state) {
    case 'Ongoing':
      return prepared(current, request, nowMs);
    case 'CompleteCommit':
    case 'CompleteAbort':
      return endsAs(current, request.commit) ? ErrorCode.NONE : ErrorCode.INVALID_TXN_STATE;
    case 'PrepareCommit':
    case 'PrepareAbort':
      return ErrorCode.CONCURRENT_TRANSACTIONS;
    default:
      return ErrorCode.INVALID_TXN_STATE;
  }
}

function prepareEndWithNextEpoch(current: Transaction, request: EndRequest, nowMs: number): Step {
  const { producerId, producerEpoch, commit } = request;
  if (isPreparing(current)) return ErrorCode.CONCURRENT_TRANSACTIONS;
  const rotated =
    current.previousProducerId === producerId &&
    producerEpoch === NO_EPOCH_LEFT - 1 &&
    current.producerEpoch === 0;
  if (current.producerId !== producerId && !rotated) return ErrorCode.INVALID_PRODUCER_ID_MAPPING;
  // Behind the end of a classic transaction the next epoch is another producer's.
  const isRaised = current.version === request.version && current.producerEpoch === producerEpoch + 1;
  const isRepeated = rotated || isRaised;
  const isNext = producerEpoch === current.producerEpoch && current.producerId === producerId;
  switch (current.state) {
    case 'Ongoing':
      return isNext ? prepared(current, request, nowMs) : ErrorCode.PRODUCER_FENCED;
    case 'CompleteCommit':
    case 'CompleteAbort':
      if (isRepeated) return endsAs(current, commit) ? ErrorCode.NONE : ErrorCode.INVALID_TXN_STATE;
      return isNext ? emptyEnd(current, request, nowMs) : ErrorCode.PRODUCER_FENCED;
    default:
      return isNext ? emptyEnd(current, request, nowMs) : ErrorCode.PRODUCER_FENCED;
  }
}

/** A producer may abort a transaction of which nothing has arrived: its epoch rises, so that nothing arrives later. */
function emptyEnd(current: Transaction, request: EndRequest, nowMs: number): Step {
  if (request.commit) return ErrorCode.INVALID_TXN_STATE;
  return prepared({ ...current, startMs: nowMs }, request, nowMs);
}

function endsAs({ state }: Transaction, commit: boolean): boolean {
  return commit === (state === 'CompleteCommit');
}

function prepared(
  current: Transaction,
  { commit, version, nextProducerId }: EndRequest,
  nowMs: number,
): Transaction {
  const { producerId, producerEpoch: epoch } = current;
  const raised = { producerEpoch: Math.min(epoch + 1, NO_EPOCH_LEFT), lastProducerEpoch: epoch };
  return {
    ...current,
    ...(version === TransactionVersion.classic ? {} : raised),
    state: commit ? 'PrepareCommit' : 'PrepareAbort',
    previousProducerId: producerId,
    nextProducerId:
      isEpochExhausted(epoch) && version !== TransactionVersion.classic ? nextProducerId : NO_PRODUCER_ID,
    updateMs: nowMs,
    version,
  };
}

/** The end of a transaction whose markers are in all its partitions. */
export function completed(current: Transaction, nowMs: number): Transaction {
  const { producerId, nextProducerId } = current;
  const rotates = nextProducerId !== NO_PRODUCER_ID;
  return {
    ...current,
    ...(rotates ? { producerId: nextProducerId, producerEpoch: 0 } : {}),
    state: current.state === 'PrepareCommit' ? 'CompleteCommit' : 'CompleteAbort',
    previousProducerId: producerId,
    nextProducerId: NO_PRODUCER_ID,
    partitions: NO_PARTITIONS,
    updateMs: nowMs,
  };
}
