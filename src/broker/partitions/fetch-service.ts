import { LogError } from '../../backend/log/errors.ts';
import { isAlmostFull } from '../../backend/log/log-reader.ts';
import type { AbortedTransaction } from '../../backend/log/transaction-index.ts';
import { PayloadError } from '../../backend/payload/checked-reads.ts';
import { isLackOfMemory } from '../../backend/payload/lack-of-memory.ts';
import { type Piece, releasePieces } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Clock } from '../../util/clock.ts';
import { soon } from '../../util/soon.ts';
import { bytesToRead, findPart, readParts, type Signing, type SignReferences } from './fetch-parts.ts';
import { EMPTY_PLAN, type FetchPlan, planFetch } from './fetch-plan.ts';
import type { FetchRequestPartition } from './fetch-session.ts';
import { FetchWait, type Isolation } from './fetch-wait.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { Partition } from './partition.ts';

interface Limits {
  minBytes: number;
  maxBytes: number;
}

export interface FetchParameters extends Limits {
  maxWaitMs: number;
  isolation: Isolation;
  /** For direct clients: reference batches are returned as this makes them, in place of what they stand for. */
  signReferences?: SignReferences;
  /** Whoever asks holds what other fetches gave: where memory to read into has to be waited for, there is nothing to give. */
  holdsMemory?: boolean;
  /** Calls back when the client is gone, so that nothing waits for it; returns how to call that off. */
  onClosed(action: () => void): () => void;
}

/** One partition to fetch; `partition` is null if it does not exist, and then `errorCode` says why. */
export interface FetchTarget {
  request: FetchRequestPartition;
  partition: Partition | null;
  errorCode: number;
}

export interface FetchedPartition {
  errorCode: number;
  highWatermark: bigint;
  lastStableOffset: bigint;
  logStartOffset: bigint;
  divergingEpoch: { epoch: number; endOffset: bigint } | null;
  /** For read_committed: what the client has to leave out of the records. */
  abortedTransactions: AbortedTransaction[] | null;
  /** Each memory piece holds one reference, for whoever sends it. */
  records: Piece[];
  recordBytes: number;
  /** Where the first batch of the records begins, and the offset behind the last; null if not all that was found could be read. */
  offsets: { base: bigint; end: bigint } | null;
}

interface Planned extends Omit<FetchedPartition, 'records' | 'recordBytes' | 'offsets'> {
  partition: Partition | null;
  request: FetchRequestPartition;
  /** Where the plan had to stop; what lies behind became visible since. */
  visibleEnd: bigint;
  plan: FetchPlan;
}

/** The plans of the targets so far, and the bytes that they will give. */
interface Plans {
  readonly items: Planned[];
  bytes: number;
}

interface Call {
  readonly targets: readonly FetchTarget[];
  readonly parameters: FetchParameters;
  readonly maxBytes: number;
  readonly minBytes: number;
  readonly deadline: number;
}

export interface FetchServiceOptions {
  /** `fetch.max.bytes` */
  maxBytes: number;
}

/** Serves fetches over many partitions: waits for data, shares the byte limit among them, and reads payload back. */
export class FetchService {
  readonly #options: FetchServiceOptions;
  readonly #memory: MemoryBudget;
  readonly #clock: Clock;

  constructor(options: FetchServiceOptions, memory: MemoryBudget, clock: Clock) {
    this.#options = options;
    this.#memory = memory;
    this.#clock = clock;
  }

  /** What holds of the bytes that a request names: no more than the broker gives at once, and no wait for more than it may get. */
  limits({ minBytes, maxBytes }: Limits): Limits {
    const most = Math.min(maxBytes, this.#options.maxBytes);
    return { minBytes: Math.min(minBytes, most), maxBytes: most };
  }

  /** One result for each target, in their order; at once when nothing is to be waited for. */
  fetch(
    targets: readonly FetchTarget[],
    parameters: FetchParameters,
  ): FetchedPartition[] | Promise<FetchedPartition[]> {
    const { minBytes, maxBytes } = this.limits(parameters);
    const deadline = this.#clock.now() + parameters.maxWaitMs;
    return this.#serve({ targets, parameters, maxBytes, minBytes, deadline }, true);
  }

  /** Waits for more than there is only once. */
  #serve(call: Call, mayWait: boolean): FetchedPartition[] | Promise<FetchedPartition[]> {
    return soon(planAll(call, { items: [], bytes: 0 }), (plans) => {
      const waitMs = mayWait && !isSatisfied(plans, call.minBytes) ? call.deadline - this.#clock.now() : 0;
      if (waitMs <= 0) return this.#read(plans.items, call.parameters);
      return this.#wait(call, plans, waitMs);
    });
  }

  #wait(
    call: Call,
    { items, bytes }: Plans,
    waitMs: number,
  ): FetchedPartition[] | Promise<FetchedPartition[]> {
    const { isolation } = call.parameters;
    // Something became visible while the plan was made.
    if (items.some((item) => hasChanged(item, isolation))) return this.#serve(call, true);
    const wait = new FetchWait(call.minBytes - bytes, waitMs, this.#clock, isolation);
    for (const { partition } of items) if (partition !== null) wait.watch(partition);
    const stopListening = call.parameters.onClosed(() => wait.finish());
    return wait.done.then(() => {
      stopListening();
      return this.#serve(call, false);
    });
  }

  /** Takes what is in memory, and reads the rest when there is room for it. */
  #read(
    items: readonly Planned[],
    parameters: FetchParameters,
  ): FetchedPartition[] | Promise<FetchedPartition[]> {
    const sign = parameters.signReferences ?? null;
    const found = items.map(({ partition, plan }) =>
      plan.parts.map((part) => findPart(partition!, part, sign)),
    );
    let missingBytes = 0;
    for (let i = 0; i < items.length; i++) {
      const { parts } = items[i]!.plan;
      for (let j = 0; j < parts.length; j++)
        if (found[i]![j] === null) missingBytes += bytesToRead(parts[j]!);
    }
    if (missingBytes > 0) {
      if (!parameters.holdsMemory) return this.#readMissing(items, found, missingBytes, sign);
      if (this.#memory.tryAcquire(missingBytes)) return this.#readInto(items, found, missingBytes, sign);
      for (const pieces of found.flat()) if (pieces !== null) releasePieces(pieces);
      return items.map((item) => fetched(item, [], false));
    }
    return items.map((item, i) => fetched(item, joined(found[i] as Piece[][])));
  }

  async #readMissing(
    items: readonly Planned[],
    found: readonly (Piece[] | null)[][],
    missingBytes: number,
    sign: Signing,
  ): Promise<FetchedPartition[]> {
    const room = this.#memory.acquire(missingBytes);
    if (room !== undefined) await room;
    return this.#readInto(items, found, missingBytes, sign);
  }

  /** With memory that was acquired. */
  async #readInto(
    items: readonly Planned[],
    found: readonly (Piece[] | null)[][],
    missingBytes: number,
    sign: Signing,
  ): Promise<FetchedPartition[]> {
    try {
      return await Promise.all(items.map((item, i) => this.#readPartition(item, found[i]!, sign)));
    } finally {
      this.#memory.taken(missingBytes);
    }
  }

  /** Reads what was not found of one partition. What precedes a part that cannot be read is still given. */
  async #readPartition(
    item: Planned,
    found: readonly (Piece[] | null)[],
    sign: Signing,
  ): Promise<FetchedPartition> {
    const records: Piece[] = [];
    let failed = false;
    for (const result of await readParts(item.partition!, item.plan.parts, found, sign)) {
      if (result instanceof Error) {
        if (!failed && records.length === 0) item.errorCode = errorCodeOf(result, item);
        failed = true;
      } else if (failed) {
        releasePieces(result);
      } else {
        records.push(...result);
      }
    }
    return fetched(item, records, !failed);
  }
}

/** Plans for the targets that have none yet, one behind the other: they share the byte limit. */
function planAll(call: Call, plans: Plans): Plans | Promise<Plans> {
  const { targets, parameters } = call;
  for (let i = plans.items.length; i < targets.length; i++) {
    const item = startPlan(targets[i]!, parameters.isolation);
    plans.items.push(item);
    if (item.partition === null || item.errorCode !== ErrorCode.NONE || item.divergingEpoch !== null)
      continue;
    const plan = planOf(item, call, plans);
    if (plan instanceof Promise)
      return plan.then((found) => {
        // With segments that went meanwhile has gone which of their transactions were aborted: it is planned anew.
        if (isBelowStart(item)) plans.items.pop();
        else adopt(plans, item, found, parameters.isolation);
        return planAll(call, plans);
      });
    adopt(plans, item, plan, parameters.isolation);
  }
  return plans;
}

function isBelowStart({ partition, request }: Planned): boolean {
  return request.fetchOffset < partition!.logStartOffset;
}

/** What can be given of one partition; nothing, and why, when that cannot be found out. */
function planOf(
  item: Planned,
  { parameters, maxBytes }: Call,
  { bytes }: Plans,
): FetchPlan | Promise<FetchPlan> {
  const { fetchOffset, maxBytes: partitionMaxBytes, enoughOffset } = item.request;
  const failed = (error: unknown) => {
    item.errorCode = errorCodeOf(error, item);
    return EMPTY_PLAN;
  };
  try {
    const plan = planFetch(
      item.partition!,
      fetchOffset,
      item.visibleEnd,
      Math.min(partitionMaxBytes, isAlmostFull(bytes, maxBytes) ? 0 : maxBytes - bytes),
      bytes === 0,
      parameters.signReferences !== undefined,
      enoughOffset ?? null,
    );
    return plan instanceof Promise ? plan.catch(failed) : plan;
  } catch (error) {
    return failed(error);
  }
}

function adopt(plans: Plans, item: Planned, plan: FetchPlan, isolation: Isolation): void {
  item.plan = plan;
  plans.bytes += plan.bytes;
  if (isolation === 'read_committed' && item.errorCode === ErrorCode.NONE)
    item.abortedTransactions = abortedIn(item.partition!, item);
}

function startPlan({ request, partition, errorCode }: FetchTarget, isolation: Isolation): Planned {
  const item: Planned = {
    errorCode,
    highWatermark: -1n,
    lastStableOffset: -1n,
    logStartOffset: -1n,
    divergingEpoch: null,
    abortedTransactions: null,
    partition,
    request,
    visibleEnd: 0n,
    plan: EMPTY_PLAN,
  };
  if (partition === null) return item;
  item.errorCode = partition.isClosed
    ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    : partition.checkEpoch(request.currentLeaderEpoch);
  if (item.errorCode !== ErrorCode.NONE) return item;
  item.visibleEnd = partition.visibleEnd(isolation);
  const { fetchOffset, lastFetchedEpoch } = request;
  const { log } = partition;
  const known = lastFetchedEpoch < 0 ? null : log.endOffsetForEpoch(lastFetchedEpoch);
  // A client that lies ahead of the log after records were lost is told from where on, so that it need not begin anew.
  const hasParted = known !== null && (known.leaderEpoch < lastFetchedEpoch || known.endOffset < fetchOffset);
  const isAhead = fetchOffset > log.logEndOffset && !hasParted;
  if (fetchOffset < partition.logStartOffset || isAhead || (known !== null && known.leaderEpoch < 0)) {
    item.errorCode = ErrorCode.OFFSET_OUT_OF_RANGE;
    return item;
  }
  item.highWatermark = partition.highWatermark;
  item.lastStableOffset = partition.lastStableOffset;
  item.logStartOffset = partition.logStartOffset;
  if (hasParted) item.divergingEpoch = { epoch: known.leaderEpoch, endOffset: known.endOffset };
  return item;
}

function abortedIn({ log }: Partition, { request, plan }: Planned): AbortedTransaction[] {
  return plan.bytes === 0 ? [] : log.abortedTransactions(request.fetchOffset, plan.endOffset);
}

function isSatisfied({ items, bytes }: Plans, minBytes: number): boolean {
  if (items.length === 0 || bytes >= minBytes) return true;
  return items.some((item) => item.errorCode !== ErrorCode.NONE || item.divergingEpoch !== null);
}

/** Whether there is something to tell that the plan does not know of. */
function hasChanged({ partition, visibleEnd }: Planned, isolation: Isolation): boolean {
  return partition !== null && (partition.isClosed || partition.visibleEnd(isolation) > visibleEnd);
}

/** The pieces of all parts, in order. */
function joined(parts: readonly Piece[][]): Piece[] {
  if (parts.length === 1) return parts[0]!;
  const pieces: Piece[] = [];
  for (const part of parts) pieces.push(...part);
  return pieces;
}

function errorCodeOf(error: unknown, { partition, request }: Planned): number {
  if (error instanceof LogError && error.code === ErrorCode.CORRUPT_MESSAGE) partition?.reportDamage(error);
  if (error instanceof LogError || error instanceof ApiError) return error.code;
  // The client gets nothing this time and asks again.
  if (isLackOfMemory(error)) return ErrorCode.NONE;
  if (!(error instanceof PayloadError)) {
    const fields = {
      topic: request.topic,
      partition: request.partition,
      offset: request.fetchOffset,
      err: error,
    };
    partition?.logger.error(fields, 'A partition could not be read');
  }
  return ErrorCode.KAFKA_STORAGE_ERROR;
}

function fetched(item: Planned, records: Piece[], isComplete = true): FetchedPartition {
  const { errorCode, highWatermark, lastStableOffset, logStartOffset, divergingEpoch, plan } = item;
  const { abortedTransactions } = item;
  let recordBytes = 0;
  for (const piece of records) recordBytes += piece.byteLength;
  return {
    errorCode,
    highWatermark,
    lastStableOffset,
    logStartOffset,
    divergingEpoch,
    abortedTransactions,
    records,
    recordBytes,
    offsets: isComplete ? { base: plan.baseOffset, end: plan.endOffset } : null,
  };
}
