import { LogError } from '../../backend/log/errors.ts';
import { releasePieces } from '../../native/pieces.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import type { Clock } from '../../util/clock.ts';
import type { FetchedPartition, FetchService } from '../partitions/fetch-service.ts';
import { FetchWait, type Isolation } from '../partitions/fetch-wait.ts';
import { abortedRanges } from './aborted-records.ts';
import type { ShareConfig } from './config.ts';
import {
  emptyShare,
  type FetchedShare,
  isGone,
  type SessionFetch,
  type ShareTarget,
} from './share-service.ts';

/** What was found in one partition, whose share partition is held until it is decided what becomes of that. */
interface Found {
  readonly target: ShareTarget;
  readonly from: bigint;
  readonly fetched: FetchedPartition;
}

/** A target as it was looked at. */
interface Seen {
  readonly target: ShareTarget;
  readonly changes: number;
  readonly visibleEnd: bigint;
  /** Whether new records could be given out. */
  readonly hasRoom: boolean;
  /** While somebody else looks for records: which turn that is. */
  busyTurn: number | null;
}

/** Takes records for members: reads what is available, waits for more, and acquires what goes out. */
export class ShareFetches {
  readonly #fetches: FetchService;
  readonly #config: ShareConfig;
  readonly #clock: Clock;

  constructor(fetches: FetchService, config: ShareConfig, clock: Clock) {
    this.#fetches = fetches;
    this.#config = config;
    this.#clock = clock;
  }

  /** One outcome for each target that has been acquired from, or cannot be read; if none, for all, unless no bytes are asked for. */
  async fetch(asked: SessionFetch, targets: readonly ShareTarget[]): Promise<FetchedShare[]> {
    const call = { ...asked, ...this.#fetches.limits(asked) };
    if (targets.length === 0 || call.maxBytes <= 0) return [];
    const { isolation } = this.#config.settingsOf(call.groupId);
    const deadline = this.#clock.now() + call.maxWaitMs;
    for (;;) {
      // Topics may be deleted, and states changed by others, while a fetch waits.
      const gone = targets.filter(({ log, share }) => log.isClosed || share.isClosed);
      if (gone.length > 0)
        return gone.map((target) => ({ ...emptyShare(target), errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER }));
      const waitMs = call.minBytes <= 0 ? 0 : deadline - this.#clock.now();
      const seen: Seen[] = [];
      const found = await this.#look(call, targets, isolation, seen);
      const bytes = found.reduce((total, { fetched }) => total + fetched.recordBytes, 0);
      const isEnough = waitMs <= 0 || bytes >= call.minBytes || found.some(hasFailed);
      if (!isEnough || isGone(call)) giveBack(found);
      else {
        const outcomes = await this.#acquire(call, found, isolation);
        if (outcomes.length > 0) return outcomes;
        // What was found belongs to aborted transactions: there may be more.
        if (found.length > 0 && waitMs > 0) continue;
      }
      if (isGone(call) || waitMs <= 0) return targets.map(emptyShare);
      if (seen.every((each) => !hasChanged(each, isolation)))
        await this.#wait(call, seen, call.minBytes - bytes, waitMs, isolation);
    }
  }

  /** Reads from each target that nobody else is reading from; their share partitions are held. */
  async #look(
    call: SessionFetch,
    targets: readonly ShareTarget[],
    isolation: Isolation,
    seen: Seen[],
  ): Promise<Found[]> {
    const found: Found[] = [];
    let restBytes = call.maxBytes;
    let restRecords = call.maxRecords;
    for (const target of targets) {
      const { log, share } = target;
      const wanted = restBytes > 0 && restRecords > 0 ? share.wanted(restRecords) : null;
      const hasRoom = wanted !== null && wanted.upTo >= share.inFlight.nextOffset;
      const visibleEnd = log.visibleEnd(isolation);
      const look: Seen = { target, changes: share.changes, visibleEnd, hasRoom, busyTurn: null };
      seen.push(look);
      if (wanted === null || wanted.from >= visibleEnd) continue;
      if (!share.beginFetch()) {
        look.busyTurn = share.turns;
        continue;
      }
      const fetched = await this.#read(target, wanted, restBytes, isolation, found.length > 0);
      if (fetched === null || (fetched.recordBytes === 0 && fetched.errorCode === ErrorCode.NONE)) {
        share.endFetch();
        continue;
      }
      found.push({ target, from: wanted.from, fetched });
      restBytes -= fetched.recordBytes;
      if (fetched.offsets !== null) restRecords -= Number(fetched.offsets.end - wanted.from);
    }
    return found;
  }

  /** Null if there is nothing to read now. */
  async #read(
    { topicId, partition, log }: ShareTarget,
    wanted: { from: bigint; upTo: bigint },
    maxBytes: number,
    isolation: Isolation,
    holdsMemory: boolean,
  ): Promise<FetchedPartition | null> {
    // If not everything could be read the first batch is asked for alone: either it is there, or it is what fails.
    for (let enoughOffset = wanted.upTo; ; enoughOffset = wanted.from) {
      const request = {
        ...{ topic: topicId, partition, currentLeaderEpoch: -1, lastFetchedEpoch: -1, logStartOffset: -1n },
        ...{ fetchOffset: wanted.from, maxBytes, enoughOffset },
      };
      const [fetched] = await this.#fetches.fetch([{ request, partition: log, errorCode: ErrorCode.NONE }], {
        ...{ minBytes: 0, maxBytes, maxWaitMs: 0, isolation, holdsMemory, onClosed: () => () => undefined },
      });
      // The log begins later meanwhile: the next look sees that.
      if (fetched!.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) return null;
      if (fetched!.offsets !== null || enoughOffset === wanted.from) return fetched!;
      releasePieces(fetched!.records);
    }
  }

  async #acquire(call: SessionFetch, found: readonly Found[], isolation: Isolation): Promise<FetchedShare[]> {
    const outcomes: FetchedShare[] = [];
    let left = call.maxRecords;
    for (const { target, from, fetched } of found) {
      const outcome = emptyShare(target);
      try {
        if (fetched.offsets === null || fetched.errorCode !== ErrorCode.NONE) {
          outcome.errorCode = fetched.errorCode;
          if (fetched.errorCode !== ErrorCode.NONE) outcomes.push(outcome);
          continue;
        }
        const { base, end } = fetched.offsets;
        const aborted =
          isolation === 'read_committed' && fetched.abortedTransactions?.length
            ? await abortedRanges(target.log.log, fetched.abortedTransactions, from, end)
            : [];
        if (isGone(call)) continue;
        const most = call.isStrict ? left : Number.MAX_SAFE_INTEGER;
        outcome.acquired = target.share.acquire(call.memberId, { from, base, end, aborted, most });
        if (outcome.acquired.length === 0) continue;
        for (const { firstOffset, lastOffset } of outcome.acquired)
          left -= Number(lastOffset - firstOffset) + 1;
        outcome.records = fetched.records;
        outcomes.push(outcome);
      } catch (error) {
        // What was found elsewhere goes out nevertheless.
        outcome.errorCode = error instanceof LogError ? error.code : ErrorCode.KAFKA_STORAGE_ERROR;
        outcomes.push(outcome);
        const { topicId, partition, log } = target;
        log.logger.error({ topicId, partition, err: error }, 'Aborted records could not be looked for');
      } finally {
        if (outcome.acquired.length === 0) releasePieces(fetched.records);
        target.share.endFetch();
      }
    }
    return outcomes;
  }

  async #wait(
    call: SessionFetch,
    seen: readonly Seen[],
    missingBytes: number,
    waitMs: number,
    isolation: Isolation,
  ): Promise<void> {
    const wait = new FetchWait(missingBytes, waitMs, this.#clock, isolation);
    for (const { target, hasRoom, busyTurn } of seen) {
      if (hasRoom) wait.watch(target.log);
      if (busyTurn !== null) wait.watch(target.share.turn);
      wait.watch(target.share);
    }
    wait.watch(call.session);
    const finish = () => wait.finish();
    call.closed.addEventListener('abort', finish);
    await wait.done;
    call.closed.removeEventListener('abort', finish);
  }
}

function hasFailed({ fetched }: Found): boolean {
  return fetched.errorCode !== ErrorCode.NONE;
}

/** Whether there may be more than when it was looked at. */
function hasChanged({ target, changes, visibleEnd, hasRoom, busyTurn }: Seen, isolation: Isolation): boolean {
  const { log, share } = target;
  if (log.isClosed || share.changes !== changes) return true;
  if (busyTurn !== null && share.turns !== busyTurn) return true;
  return hasRoom && log.visibleEnd(isolation) > visibleEnd;
}

function giveBack(found: readonly Found[]): void {
  for (const { target, fetched } of found) {
    releasePieces(fetched.records);
    target.share.endFetch();
  }
}
