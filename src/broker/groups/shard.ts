import { ErrorCode } from '../../protocol/errors.ts';
import type { HeartbeatRequest } from '../../protocol/generated/heartbeat-request.ts';
import type { MemberIdentity } from '../../protocol/generated/leave-group-request.ts';
import type { MemberResponse } from '../../protocol/generated/leave-group-response.ts';
import type { SyncGroupRequest } from '../../protocol/generated/sync-group-request.ts';
import {
  createSyncGroupResponse,
  type SyncGroupResponse,
} from '../../protocol/generated/sync-group-response.ts';
import { ProtocolError } from '../../protocol/wire/errors.ts';
import type { Clock, Timer } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { TransactionMarker } from '../transaction-marker.ts';
import { ClassicGroup, joinResponse } from './classic-group.ts';
import type { GroupConfig } from './config.ts';
import { ConsumerGroups } from './consumer/consumer-groups.ts';
import type { ConsumerConfig, Group } from './consumer/context.ts';
import type { ConsumerGroupRecord } from './consumer/group-records.ts';
import { consumerWriter, type GroupWriter } from './consumer/group-writer.ts';
import { parseConsumerRecord } from './consumer/record-codec.ts';
import type { Topics } from './consumer/topics.ts';
import type { GroupContext } from './group-context.ts';
import { type JoinCall, JoinPhase } from './join.ts';
import type { Reply } from './member.ts';
import { Membership } from './membership.ts';
import { OffsetOperations } from './offset-operations.ts';
import { Offsets } from './offsets.ts';
import type { OffsetsLog } from './ports.ts';
import { Rebalancer } from './rebalance.ts';
import { groupRecord, parseRecord } from './records.ts';
import { Retention } from './retention.ts';
import { ShardLog } from './shard-log.ts';
import type { SharePorts } from './share/context.ts';
import type { ShareGroupRecord } from './share/share-group.ts';
import { ShareGroups, shareWriter } from './share/share-groups.ts';
import { parseShareRecord } from './share/share-record-codec.ts';
import type { StreamsConfig } from './streams/context.ts';
import type { StreamsGroupRecord } from './streams/group-records.ts';
import { parseStreamsRecord } from './streams/record-codec.ts';
import { StreamsGroups, streamsWriter } from './streams/streams-groups.ts';
import { SyncPhase } from './sync.ts';

export interface ShardOptions {
  /** Of __consumer_offsets. */
  readonly partition: number;
  readonly clock: Clock;
  readonly config: GroupConfig;
  readonly logger: Logger;
  readonly log: OffsetsLog;
  readonly consumer: ConsumerConfig;
  readonly streams: StreamsConfig;
  readonly topics: Topics;
  readonly share: SharePorts;
  randomId(): string;
}

/** How long after a failure the log is read again. */
const LOAD_RETRY_MS = 1_000;

/**
 * The groups and offsets of one partition of __consumer_offsets: what its records say, and who is waiting.
 * While `unavailable` is not NONE only `load`, `close` and `unavailable` may be called.
 */
export class GroupShard {
  readonly groups = new Map<string, Group>();
  readonly offsets = new Offsets();
  readonly #options: ShardOptions;
  readonly #log: ShardLog;
  readonly #rebalancer: Rebalancer;
  readonly #joinPhase: JoinPhase;
  readonly #syncPhase: SyncPhase;
  readonly #membership: Membership;
  readonly #writer: GroupWriter<ConsumerGroupRecord>;
  readonly #shareWriter: GroupWriter<ShareGroupRecord>;
  readonly #streamsWriter: GroupWriter<StreamsGroupRecord>;
  /** The groups that use the consumer protocol. */
  readonly consumers: ConsumerGroups;
  /** The share groups. */
  readonly shares: ShareGroups;
  /** The streams groups. */
  readonly streams: StreamsGroups;
  readonly retention: Retention;
  readonly offsetOperations: OffsetOperations;
  #unavailable: ErrorCode = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
  /** The next attempt to load, later the next look for expired offsets. */
  #timer: Timer | null = null;

  constructor(options: ShardOptions) {
    this.#options = options;
    const { clock, config, logger } = options;
    this.#log = new ShardLog({
      log: options.log,
      partition: options.partition,
      offsets: this.offsets,
      clock,
      timeoutMs: config.commitTimeoutMs,
    });
    const context: GroupContext = {
      clock,
      config,
      logger,
      randomId: () => options.randomId(),
      persist: async (group, assignments) => this.#log.append([groupRecord(group, assignments)]),
    };
    this.#rebalancer = new Rebalancer(context);
    this.#joinPhase = new JoinPhase(context, this.#rebalancer);
    this.#syncPhase = new SyncPhase(context, this.#rebalancer);
    this.#membership = new Membership(context, this.#rebalancer);
    const { groups, offsets } = this;
    const rebalancer = this.#rebalancer;
    const { topics } = options;
    const written = { groups, log: this.#log, failed: (error: unknown) => this.#reload(error) };
    const writer = consumerWriter(written);
    this.#writer = writer;
    this.#streamsWriter = streamsWriter(written);
    this.consumers = new ConsumerGroups({
      ...{ clock, logger, topics, groups, writer, rebalancer },
      config: options.consumer,
      classicMaxSize: config.maxSize,
      randomId: () => options.randomId(),
    });
    this.#shareWriter = shareWriter(written);
    this.shares = new ShareGroups({
      ...options.share,
      ...{ clock, logger, topics, groups, writer: this.#shareWriter },
    });
    this.streams = new StreamsGroups({
      ...{ clock, logger, topics, groups },
      config: options.streams,
      writer: this.#streamsWriter,
    });
    const shared = {
      ...{ clock, config, groups, offsets, topics, writer, rebalancer, log: this.#log },
      streamsWriter: this.#streamsWriter,
    };
    this.offsetOperations = new OffsetOperations(shared);
    this.retention = new Retention(shared);
  }

  /** NONE while the shard serves, else what its callers are told. */
  get unavailable(): ErrorCode {
    return this.#unavailable;
  }

  /**
   * Reads the shard back from its log and begins to serve. A log that cannot be read is tried again later; meanwhile the
   * groups are loading. Resolves after the first attempt.
   */
  async load(): Promise<void> {
    const { clock, log, partition, logger } = this.#options;
    try {
      await log.replay(partition, {
        record: (key, value, producerId) => this.#replay(key, value, producerId),
        transactionEnded: (producerId, commit) => this.offsets.endTransaction(producerId, commit),
      });
    } catch (error) {
      this.#forget();
      if (this.#isClosed) return;
      logger.error({ partition, err: error }, 'the groups of a partition could not be loaded');
      this.#timer = clock.setTimer(LOAD_RETRY_MS, () => void this.load());
      return;
    }
    if (this.#isClosed) {
      this.#forget();
      return;
    }
    for (const groupId of this.offsets.groupIds())
      if (!this.groups.has(groupId)) this.groups.set(groupId, new ClassicGroup(groupId, clock.now()));
    this.#unavailable = ErrorCode.NONE;
    for (const group of this.groups.values()) this.#revive(group);
    this.#scheduleExpiry();
    this.offsetOperations.deleteFormer().catch((error: unknown) => {
      logger.warn({ partition, err: error }, 'offsets of deleted topics remain');
    });
    logger.info({ partition, groups: this.groups.size }, 'groups loaded');
  }

  /** Ends serving: waiting members are sent elsewhere, no timer stays. Writes under way finish without effect. */
  close(): void {
    this.#unavailable = ErrorCode.NOT_COORDINATOR;
    this.#log.close();
    this.#timer?.cancel();
    this.#timer = null;
    this.#abandon();
  }

  /**
   * What is not written must not be believed, nor what was built on it: the shard is read again. Members wait, as for one that
   * moves to another broker.
   */
  #reload(error: unknown): void {
    if (this.#unavailable !== ErrorCode.NONE) return;
    const { partition, logger } = this.#options;
    logger.error({ partition, err: error }, 'groups could not be written: they are read again');
    this.#unavailable = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;
    this.#timer?.cancel();
    this.#timer = null;
    this.#abandon();
    void this.#log.idle().then(() => {
      if (this.#isClosed) return;
      this.#forget();
      this.#writer.reset();
      this.#shareWriter.reset();
      this.#streamsWriter.reset();
      return this.load();
    });
  }

  /** Drops what was read back, for which no timer runs yet and nobody waits. */
  #forget(): void {
    this.groups.clear();
    this.offsets.clear();
  }

  /** Sends waiting members elsewhere and ends all timers of groups. */
  #abandon(): void {
    for (const group of this.groups.values()) {
      if (group.type === 'classic') this.#rebalancer.bury(group, ErrorCode.NOT_COORDINATOR);
      else if (group.type === 'streams') group.cancelTimers();
      else group.timers.cancelAll();
    }
    this.groups.clear();
  }

  join(call: JoinCall): void {
    const { groupId, memberId } = call.request;
    let group = this.groups.get(groupId);
    if (group?.type === 'consumer' && group.size > 0) {
      this.consumers.join(group, call);
      return;
    }
    if (group?.type === 'share' || (group?.type === 'streams' && group.size > 0)) {
      call.reply(joinResponse({ errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL }));
      return;
    }
    if (group?.type !== 'classic') {
      if (memberId !== '') {
        call.reply(joinResponse({ memberId, errorCode: ErrorCode.UNKNOWN_MEMBER_ID }));
        return;
      }
      if (group?.type === 'streams') this.streams.makeRoom(group);
      else if (group !== undefined) this.consumers.makeRoom(group);
      group = new ClassicGroup(groupId, this.#options.clock.now());
      this.groups.set(groupId, group);
      this.#joinPhase.join(group, call);
      // Whoever was turned away leaves nothing behind, but offsets of the group before need one.
      const isUnused = group.size === 0 && group.pendingMembers.size === 0;
      if (isUnused && this.offsets.entries(groupId).next().done) this.groups.delete(groupId);
      return;
    }
    this.#joinPhase.join(group, call);
  }

  sync(request: SyncGroupRequest, reply: Reply<SyncGroupResponse>): void {
    const group = this.groups.get(request.groupId);
    if (group?.type === 'consumer') this.consumers.sync(group, request, reply);
    else if (group?.type === 'classic') this.#syncPhase.sync(group, request, reply);
    else reply(createSyncGroupResponse({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID }));
  }

  heartbeat(request: HeartbeatRequest): ErrorCode {
    const group = this.groups.get(request.groupId);
    if (group?.type === 'consumer') return this.consumers.classicHeartbeat(group, request);
    return group?.type === 'classic'
      ? this.#membership.heartbeat(group, request)
      : ErrorCode.UNKNOWN_MEMBER_ID;
  }

  /** One response for each identity; null if there is no such group. Rejects if a leave that must be written is not. */
  async leave(groupId: string, identities: readonly MemberIdentity[]): Promise<MemberResponse[] | null> {
    const group = this.groups.get(groupId);
    if (group?.type === 'consumer') return this.consumers.classicLeave(group, identities);
    return group?.type === 'classic' ? this.#membership.leave(group, identities) : null;
  }

  /** See `GroupCoordinator.offsetsWritten`. */
  async offsetsWritten(groupId: string): Promise<void> {
    if (this.offsets.isWriting(groupId)) await this.#log.settled();
  }

  /** Appends what ends a transaction; its offsets take effect, or are forgotten. Rejects with an error that has a Kafka code. */
  endTransaction(marker: TransactionMarker): Promise<void> {
    return this.#log.endTransaction(marker);
  }

  get #isClosed(): boolean {
    return this.#unavailable === ErrorCode.NOT_COORDINATOR;
  }

  #replay(key: Uint8Array, value: Uint8Array | null, producerId: bigint | null): void {
    const { partition, logger } = this.#options;
    try {
      const consumer = parseConsumerRecord(key, value);
      if (consumer !== null) {
        this.#writer.replay(consumer.groupId, consumer.record);
        return;
      }
      const share = parseShareRecord(key, value);
      if (share !== null) {
        this.#shareWriter.replay(share.groupId, share.record);
        return;
      }
      const streams = parseStreamsRecord(key, value);
      if (streams !== null) {
        this.#streamsWriter.replay(streams.groupId, streams.record);
        return;
      }
      const record = parseRecord(key, value);
      if (record.kind === 'unknown') {
        logger.debug({ partition, type: record.type }, 'a record of a type that is not served was skipped');
      } else if (record.kind === 'offset') {
        this.offsets.replay(record, producerId);
      } else if (record.value === null) {
        if (this.groups.get(record.groupId)?.type === 'classic') this.groups.delete(record.groupId);
      } else {
        this.groups.set(record.groupId, ClassicGroup.restore(record.groupId, record.value));
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      logger.error({ partition, err: error }, 'a record of __consumer_offsets is malformed and was skipped');
    }
  }

  /** Starts the sessions of a group that was read back. */
  #revive(group: Group): void {
    if (group.type === 'consumer') {
      this.consumers.revive(group);
      return;
    }
    if (group.type === 'share') {
      this.shares.revive(group);
      return;
    }
    if (group.type === 'streams') {
      this.streams.revive(group);
      return;
    }
    for (const member of group.members()) this.#rebalancer.restartSession(group, member);
    if (group.size > this.#options.config.maxSize)
      this.#rebalancer.prepare(group, 'the group is larger than group.max.size');
  }

  #scheduleExpiry(): void {
    const { clock, config, logger, partition } = this.#options;
    this.#timer = clock.setTimer(config.offsetsRetentionCheckIntervalMs, () => {
      this.#scheduleExpiry();
      this.retention.expire().catch((error: unknown) => {
        logger.warn({ partition, err: error }, 'expired offsets could not be removed');
      });
    });
  }
}
