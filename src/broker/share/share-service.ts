import type { Piece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Uuid } from '../../protocol/wire/types.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { refuseIf } from '../groups/consumer/request-checks.ts';
import { FetchWait } from '../partitions/fetch-wait.ts';
import type { Partition } from '../partitions/partition.ts';
import type { PartitionManager } from '../partitions/partition-manager.ts';
import type { ShareConfig } from './config.ts';
import { type AcknowledgementBatch, AcknowledgeType, type Acquired } from './in-flight.ts';
import type { SharePartitionKey } from './partition-state.ts';
import type { ShareFetches } from './share-fetches.ts';
import type { SharePartition } from './share-partition.ts';
import type { SharePartitions } from './share-partitions.ts';
import {
  FINAL_EPOCH,
  INITIAL_EPOCH,
  partitionText,
  type SharedPartition,
  type ShareSession,
  type ShareSessions,
} from './share-sessions.ts';

/** Who calls, and until when. */
export interface ShareClient {
  readonly groupId: string;
  readonly memberId: string;
  readonly sessionEpoch: number;
  readonly closed: AbortSignal;
  /** The request says that it renews locks; others must not. */
  readonly isRenewal: boolean;
}

/** A partition and what a member says of its records. */
export interface PartitionAcknowledgement extends SharedPartition {
  readonly batches: readonly AcknowledgementBatch[];
}

export interface ShareFetchCall extends ShareClient {
  readonly maxWaitMs: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly maxRecords: number;
  /** At most so many records; otherwise the last batch is given as a whole. */
  readonly isStrict: boolean;
  readonly added: readonly SharedPartition[];
  readonly forgotten: readonly SharedPartition[];
  readonly acknowledgements: readonly PartitionAcknowledgement[];
}

export interface SessionFetch extends ShareFetchCall {
  readonly session: ShareSession;
}

/** What became of one partition of a request. */
export interface PartitionOutcome extends SharedPartition {
  errorCode: number;
  errorMessage: string | null;
}

export interface FetchedShare extends PartitionOutcome {
  acknowledgeErrorCode: number;
  acknowledgeErrorMessage: string | null;
  /** Each memory piece holds one reference, for whoever sends it. */
  records: Piece[];
  acquired: readonly Acquired[];
}

/** A partition that a fetch may take records of. */
export interface ShareTarget extends SharedPartition {
  readonly log: Partition;
  readonly share: SharePartition;
}

export interface ShareServiceOptions {
  readonly config: ShareConfig;
  readonly partitions: PartitionManager;
  readonly shares: SharePartitions;
  readonly sessions: ShareSessions;
  readonly fetches: ShareFetches;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often a fetch looks whether states have been loaded, in milliseconds. */
const LOADING_POLL_MS = 200;

/** ShareFetch and ShareAcknowledge: share sessions, what their members say of records, and what they get. */
export class ShareService {
  readonly #options: ShareServiceOptions;

  constructor(options: ShareServiceOptions) {
    this.#options = options;
  }

  get sessions(): ShareSessions {
    return this.#options.sessions;
  }

  get shares(): SharePartitions {
    return this.#options.shares;
  }

  lockDurationMs(groupId: string): number {
    return this.#options.config.settingsOf(groupId).lockDurationMs;
  }

  /** One outcome for each partition that there is something to say of, or the error of the request. */
  async fetch(call: ShareFetchCall): Promise<FetchedShare[] | ErrorCode> {
    const { groupId, memberId, sessionEpoch } = call;
    const session = this.#sessionOf(call);
    if (typeof session === 'number') return session;
    session.update(call.added, call.forgotten);
    const wanted = sessionEpoch === FINAL_EPOCH || call.maxRecords <= 0 ? [] : session.partitions();
    const acknowledged = await this.#acknowledgeAll(call, call.acknowledgements);
    if (sessionEpoch === FINAL_EPOCH) {
      await this.#release(groupId, memberId);
      return acknowledged.map((outcome) => acknowledgedShare(outcome));
    }
    const { fetches, clock } = this.#options;
    const outcomes: FetchedShare[] = [];
    const deadline = clock.now() + call.maxWaitMs;
    const targets = await this.#loaded({ ...call, session }, wanted, outcomes, deadline);
    const maxWaitMs = deadline - clock.now();
    outcomes.push(...(await fetches.fetch({ ...call, session, maxWaitMs }, targets)));
    return merged(acknowledged, outcomes, sessionEpoch === INITIAL_EPOCH);
  }

  /** One outcome for each partition, or the error of the request. */
  async acknowledge(
    call: ShareClient,
    acknowledgements: readonly PartitionAcknowledgement[],
  ): Promise<PartitionOutcome[] | ErrorCode> {
    const { groupId, memberId, sessionEpoch } = call;
    if (sessionEpoch === INITIAL_EPOCH) return ErrorCode.INVALID_SHARE_SESSION_EPOCH;
    const session = this.#sessionOf(call);
    if (typeof session === 'number') return session;
    const outcomes = await this.#acknowledgeAll(call, acknowledgements);
    if (sessionEpoch === FINAL_EPOCH) await this.#release(groupId, memberId);
    return outcomes;
  }

  /** What the group has read of the topics, has been changed or is gone; its members begin anew there. */
  forget(groupId: string, topicIds: readonly Uuid[]): void {
    this.#options.shares.forget(groupId, topicIds);
  }

  close(): void {
    this.#options.shares.close();
  }

  #sessionOf({ groupId, memberId, sessionEpoch, closed }: ShareClient): ShareSession | ErrorCode {
    const { sessions } = this.#options;
    if (sessionEpoch === FINAL_EPOCH) return sessions.end(groupId, memberId);
    if (sessionEpoch !== INITIAL_EPOCH) return sessions.next(groupId, memberId, sessionEpoch);
    const session = sessions.begin(groupId, memberId);
    if (typeof session === 'number') return session;
    // Whoever is gone keeps nothing.
    const end = () => {
      if (sessions.endIfCurrent(session)) void this.#release(groupId, memberId);
    };
    closed.addEventListener('abort', end, { once: true });
    session.ended = () => closed.removeEventListener('abort', end);
    if (closed.aborted) end();
    return session;
  }

  /** Takes back what the member has; nothing is left of a group without sessions. */
  async #release(groupId: string, memberId: string): Promise<void> {
    const { shares, sessions, logger } = this.#options;
    const released = shares.ofGroup(groupId).map((share) => share.releaseAll(memberId));
    // Their time will be up.
    for (const outcome of await Promise.allSettled(released))
      if (outcome.status === 'rejected')
        logger.warn({ groupId, memberId, err: outcome.reason }, 'records of a member that left stay locked');
    if (sessions.has(groupId)) return;
    if (shares.ofGroup(groupId).every(({ inFlight }) => inFlight.acquiredCount === 0)) shares.forget(groupId);
  }

  async #acknowledgeAll(
    { groupId, memberId, isRenewal }: ShareClient,
    acknowledgements: readonly PartitionAcknowledgement[],
  ): Promise<PartitionOutcome[]> {
    // As in Kafka, what is said last of a partition holds.
    const last = new Map(acknowledgements.map((each) => [partitionText(each), each]));
    return Promise.all(
      [...last.values()].map(async ({ topicId, partition, batches }) => {
        const outcome = { topicId, partition, errorCode: 0, errorMessage: null };
        try {
          checkBatches(batches, isRenewal);
          this.#logOf(topicId, partition);
          const share = this.#options.shares.find({ groupId, topicId, partition });
          // Nobody of the group has fetched from it.
          if (share === null) throw new ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
          await share.acknowledge(memberId, batches);
        } catch (error) {
          this.#refuse(outcome, error);
        }
        return outcome;
      }),
    );
  }

  /**
   * The partitions that the group's state is known of; `outcomes` tells of those that cannot be read. Consumers do not know states that are
   * being loaded: while there are no others it waits, and then there is nothing to tell.
   */
  async #loaded(
    call: SessionFetch,
    wanted: readonly SharedPartition[],
    outcomes: FetchedShare[],
    deadline: number,
  ): Promise<ShareTarget[]> {
    const { clock } = this.#options;
    for (;;) {
      const targets = await this.#targets(call.groupId, wanted, outcomes);
      const waitMs = deadline - clock.now();
      const isLoading = wanted.length > 0 && targets.length + outcomes.length === 0;
      if (!isLoading || waitMs <= 0 || isGone(call)) return targets;
      const wait = new FetchWait(1, Math.min(waitMs, LOADING_POLL_MS), clock);
      wait.watch(call.session);
      await wait.done;
    }
  }

  async #targets(
    groupId: string,
    wanted: readonly SharedPartition[],
    outcomes: FetchedShare[],
  ): Promise<ShareTarget[]> {
    const targets: ShareTarget[] = [];
    for (const { topicId, partition } of wanted) {
      try {
        const log = this.#logOf(topicId, partition);
        const share = await this.#open({ groupId, topicId, partition }, log);
        targets.push({ topicId, partition, log, share });
      } catch (error) {
        if (error instanceof ApiError && error.code === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) continue;
        const outcome = emptyShare({ topicId, partition });
        this.#refuse(outcome, error);
        outcomes.push(outcome);
      }
    }
    return targets;
  }

  /** Where there is no state Kafka fails with an error that its consumers survive. Rejects with an ApiError. */
  async #open(key: SharePartitionKey, log: Partition): Promise<SharePartition> {
    try {
      return await this.#options.shares.open(key, log);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === ErrorCode.INVALID_REQUEST)) throw error;
      throw new ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, error.message);
    }
  }

  /** @throws ApiError */
  #logOf(topicId: string, partition: number): Partition {
    const { partitions } = this.#options;
    const found = partitions.findById(topicId, partition);
    if (found === null) throw new ApiError(partitions.errorOfMissingById(topicId, partition) as ErrorCode);
    return found;
  }

  #refuse(outcome: PartitionOutcome, error: unknown): void {
    if (error instanceof ApiError) {
      outcome.errorCode = error.code;
      outcome.errorMessage = error.message;
      return;
    }
    this.#options.logger.error({ err: error }, 'a request of a share group failed');
    outcome.errorCode = ErrorCode.UNKNOWN_SERVER_ERROR;
  }
}

/** Nobody would hear of records that were acquired, or acknowledge them. */
export function isGone({ closed, session }: SessionFetch): boolean {
  return closed.aborted || session.isEnded;
}

export function emptyShare({ topicId, partition }: SharedPartition): FetchedShare {
  return {
    ...{ topicId, partition, errorCode: 0, errorMessage: null },
    ...{ acknowledgeErrorCode: 0, acknowledgeErrorMessage: null, records: [], acquired: [] },
  };
}

function acknowledgedShare(outcome: PartitionOutcome, share = emptyShare(outcome)): FetchedShare {
  share.acknowledgeErrorCode = outcome.errorCode;
  share.acknowledgeErrorMessage = outcome.errorMessage;
  return share;
}

/** What was acknowledged and what was fetched; later answers of a session leave out partitions with nothing to say. */
function merged(
  acknowledged: readonly PartitionOutcome[],
  fetched: readonly FetchedShare[],
  isFirst: boolean,
): FetchedShare[] {
  const all = new Map<string, FetchedShare>();
  for (const share of fetched)
    if (isFirst || share.errorCode !== 0 || share.acquired.length > 0) all.set(partitionText(share), share);
  for (const outcome of acknowledged) {
    const key = partitionText(outcome);
    all.set(key, acknowledgedShare(outcome, all.get(key)));
  }
  return [...all.values()];
}

/** @throws ApiError INVALID_REQUEST or INVALID_RECORD_STATE for batches that contradict themselves or each other */
function checkBatches(batches: readonly AcknowledgementBatch[], isRenewal: boolean): void {
  const lastType = isRenewal ? AcknowledgeType.RENEW : AcknowledgeType.REJECT;
  let previous = -1n;
  for (const { firstOffset, lastOffset, acknowledgeTypes } of batches) {
    refuseIf(
      firstOffset < 0n || firstOffset > lastOffset,
      'First offset is greater than last offset in acknowledgement batch.',
    );
    refuseIf(firstOffset < previous, 'Acknowledgement batches are not in order, or overlap.');
    // As in Kafka, for which a record is not acquired any more when it comes to the second.
    if (firstOffset === previous)
      throw new ApiError(ErrorCode.INVALID_RECORD_STATE, 'A record is acknowledged twice.');
    refuseIf(acknowledgeTypes.length === 0, 'Acknowledge types are empty.');
    const count = BigInt(acknowledgeTypes.length);
    refuseIf(
      count > 1n && count !== lastOffset - firstOffset + 1n,
      'The number of acknowledge types is not that of the offsets.',
    );
    refuseIf(
      acknowledgeTypes.some((type) => type < 0 || type > lastType),
      'The acknowledge type is unknown.',
    );
    previous = lastOffset;
  }
}
