import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  type ConsumerGroupDescribeResponseDescribedGroup,
  createConsumerGroupDescribeResponseDescribedGroup,
} from '../../protocol/generated/consumer-group-describe-response.ts';
import type { ConsumerGroupHeartbeatRequest } from '../../protocol/generated/consumer-group-heartbeat-request.ts';
import {
  type ConsumerGroupHeartbeatResponse,
  createConsumerGroupHeartbeatResponse,
} from '../../protocol/generated/consumer-group-heartbeat-response.ts';
import type { HeartbeatRequest } from '../../protocol/generated/heartbeat-request.ts';
import type { JoinGroupRequest } from '../../protocol/generated/join-group-request.ts';
import type { JoinGroupResponse } from '../../protocol/generated/join-group-response.ts';
import type { MemberIdentity } from '../../protocol/generated/leave-group-request.ts';
import { createMemberResponse, type MemberResponse } from '../../protocol/generated/leave-group-response.ts';
import type { ShareGroupDescribeResponseDescribedGroup } from '../../protocol/generated/share-group-describe-response.ts';
import type { ShareGroupHeartbeatRequest } from '../../protocol/generated/share-group-heartbeat-request.ts';
import {
  createShareGroupHeartbeatResponse,
  type ShareGroupHeartbeatResponse,
} from '../../protocol/generated/share-group-heartbeat-response.ts';
import {
  createStreamsGroupDescribeResponseDescribedGroup,
  type StreamsGroupDescribeResponseDescribedGroup,
} from '../../protocol/generated/streams-group-describe-response.ts';
import type { StreamsGroupHeartbeatRequest } from '../../protocol/generated/streams-group-heartbeat-request.ts';
import {
  createStreamsGroupHeartbeatResponse,
  type StreamsGroupHeartbeatResponse,
} from '../../protocol/generated/streams-group-heartbeat-response.ts';
import type { SyncGroupRequest } from '../../protocol/generated/sync-group-request.ts';
import {
  createSyncGroupResponse,
  type SyncGroupResponse,
} from '../../protocol/generated/sync-group-response.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { CoordinatorShards, type CoordinatorTopic, partitionOf } from '../coordinator-shards.ts';
import type { TransactionMarker } from '../transaction-marker.ts';
import { groupAppendError } from './append-errors.ts';
import { joinResponse } from './classic-group.ts';
import type { GroupConfig } from './config.ts';
import type { ConsumerConfig, Group } from './consumer/context.ts';
import { describeConsumerGroup } from './consumer/describe.ts';
import { checkHeartbeat } from './consumer/request-checks.ts';
import type { Topics } from './consumer/topics.ts';
import type { GroupClient } from './group-client.ts';
import type { OffsetsLog } from './ports.ts';
import { GroupShard } from './shard.ts';
import type { SharePorts } from './share/context.ts';
import { checkShareHeartbeat } from './share/request-checks.ts';
import { describeShareGroup } from './share/share-describe.ts';
import type { StreamsConfig } from './streams/context.ts';
import { describeStreamsGroup } from './streams/describe.ts';
import { type CreateTopics, InternalTopics } from './streams/internal-topics.ts';
import { checkHeartbeat as checkStreamsHeartbeat } from './streams/request-checks.ts';

export interface GroupCoordinatorOptions {
  readonly clock: Clock;
  readonly config: GroupConfig;
  readonly logger: Logger;
  readonly log: OffsetsLog;
  readonly topic: CoordinatorTopic;
  readonly consumer: ConsumerConfig;
  readonly streams: StreamsConfig;
  /** What members of the consumer protocol can subscribe to. */
  readonly topics: Topics;
  readonly share: SharePorts;
  /** Creates the internal topics of streams groups. */
  readonly createTopics: CreateTopics;
  /** A random UUID as text; part of new member ids. */
  randomId(): string;
}

/**
 * The group coordinator of this broker: it leads every partition of __consumer_offsets, one shard each.
 * The byte fields of requests are kept, so they must be the coordinator's own.
 */
export class GroupCoordinator {
  readonly #options: GroupCoordinatorOptions;
  readonly #shards: CoordinatorShards<GroupShard>;
  readonly #internalTopics: InternalTopics;

  constructor(options: GroupCoordinatorOptions) {
    this.#options = options;
    const { clock, config, logger, log, topic, consumer, share, streams, topics, createTopics } = options;
    const randomId = () => options.randomId();
    this.#shards = new CoordinatorShards(
      topic,
      logger,
      (partition) =>
        new GroupShard({ partition, clock, config, logger, log, consumer, share, streams, topics, randomId }),
    );
    this.#internalTopics = new InternalTopics({ clock, logger, createTopics });
  }

  /** Begins to load all groups if the topic exists; resolves when every shard has been tried once. */
  start(): Promise<void> {
    return this.#shards.start();
  }

  /**
   * Makes sure that the group's shard exists, creating __consumer_offsets with the first group.
   * Returns NONE, or what is told to who needs it.
   */
  prepare(): Promise<ErrorCode> {
    return this.#shards.prepare();
  }

  /** What a client is told that looks for the coordinator of a group: NONE, when it is this broker. */
  find(groupId: string): Promise<ErrorCode> {
    return this.#shards.find(groupId);
  }

  /** See `CoordinatorShards.topicCreated`. */
  topicCreated(): Promise<void> {
    return this.#shards.topicCreated();
  }

  /** See `CoordinatorShards.resign`. */
  resign(partition: number): void {
    this.#shards.resign(partition);
  }

  /** Answers everybody who waits; nothing is served afterwards. */
  close(): void {
    this.#shards.close();
  }

  get shards(): readonly GroupShard[] {
    return this.#shards.all;
  }

  /** The shard of a group, or the error that its clients get for now. */
  shardOf(groupId: string): GroupShard | ErrorCode {
    return this.#shards.of(groupId);
  }

  /** The partition of __consumer_offsets that a group belongs to; null while there is none. */
  partitionOf(groupId: string): number | null {
    const { length } = this.#shards.all;
    return length === 0 ? null : partitionOf(groupId, length);
  }

  /**
   * Resolves when the offsets of groups that are being written are, or could not be in time. A client may ask for offsets before it is
   * answered that it has committed them; Kafka takes up no request of a connection before those ahead of it are answered.
   */
  async offsetsWritten(groupIds: Iterable<string>): Promise<void> {
    const written = Array.from(new Set(groupIds), (groupId) => {
      const shard = this.shardOf(groupId);
      return typeof shard === 'number' ? undefined : shard.offsetsWritten(groupId);
    });
    await Promise.all(written);
  }

  /** Ends a transaction in a partition of __consumer_offsets. Rejects with an error that has a Kafka error code. */
  async endTransaction(partition: number, marker: TransactionMarker): Promise<void> {
    const shard = this.#shards.all[partition];
    const error = shard?.unavailable ?? ErrorCode.NOT_COORDINATOR;
    if (error !== ErrorCode.NONE) throw new ApiError(error);
    await shard!.endTransaction(marker);
  }

  join(request: JoinGroupRequest, apiVersion: number, client: GroupClient): Promise<JoinGroupResponse> {
    return new Promise((reply) => {
      const { groupId, memberId, sessionTimeoutMs } = request;
      const shard = groupId === '' ? ErrorCode.INVALID_GROUP_ID : this.shardOf(groupId);
      const { minSessionTimeoutMs, maxSessionTimeoutMs } = this.#options.config;
      if (typeof shard === 'number') reply(joinResponse({ memberId, errorCode: shard }));
      else if (sessionTimeoutMs < minSessionTimeoutMs || sessionTimeoutMs > maxSessionTimeoutMs)
        reply(joinResponse({ memberId, errorCode: ErrorCode.INVALID_SESSION_TIMEOUT }));
      else shard.join({ request: normalized(request, apiVersion), apiVersion, ...client, reply });
    });
  }

  sync(request: SyncGroupRequest): Promise<SyncGroupResponse> {
    return new Promise((reply) => {
      const shard = request.groupId === '' ? ErrorCode.INVALID_GROUP_ID : this.shardOf(request.groupId);
      if (typeof shard !== 'number') shard.sync(request, reply);
      // A member cannot sync with what is not loaded: it should join anew.
      else if (shard === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        reply(createSyncGroupResponse({ errorCode: ErrorCode.REBALANCE_IN_PROGRESS }));
      else reply(createSyncGroupResponse({ errorCode: shard }));
    });
  }

  heartbeat(request: HeartbeatRequest): ErrorCode {
    const shard = request.groupId === '' ? ErrorCode.INVALID_GROUP_ID : this.shardOf(request.groupId);
    if (typeof shard !== 'number') return shard.heartbeat(request);
    // Sessions begin when loading ends, so the member is not late.
    return shard === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS ? ErrorCode.NONE : shard;
  }

  /** One response for each identity, or the error of the request as a whole. */
  async leave(groupId: string, identities: readonly MemberIdentity[]): Promise<MemberResponse[] | ErrorCode> {
    const shard = groupId === '' ? ErrorCode.INVALID_GROUP_ID : this.shardOf(groupId);
    if (typeof shard === 'number') return shard;
    try {
      const left = await shard.leave(groupId, identities);
      if (left !== null) return left;
    } catch (error) {
      return groupAppendError(error);
    }
    return identities.map(({ memberId, groupInstanceId }) =>
      createMemberResponse({ memberId, groupInstanceId, errorCode: ErrorCode.UNKNOWN_MEMBER_ID }),
    );
  }

  /** ConsumerGroupHeartbeat: answered when what the answer says is written. */
  async consumerHeartbeat(
    request: ConsumerGroupHeartbeatRequest,
    apiVersion: number,
    client: GroupClient,
  ): Promise<ConsumerGroupHeartbeatResponse> {
    const { enabled, assignors } = this.#options.consumer;
    if (!enabled) return createConsumerGroupHeartbeatResponse({ errorCode: ErrorCode.UNSUPPORTED_VERSION });
    try {
      checkHeartbeat(request, apiVersion, assignors);
    } catch (error) {
      const { code: errorCode, message: errorMessage } = error as ApiError;
      return createConsumerGroupHeartbeatResponse({ errorCode, errorMessage });
    }
    const shard = this.shardOf(request.groupId);
    if (typeof shard === 'number') return createConsumerGroupHeartbeatResponse({ errorCode: shard });
    return shard.consumers.heartbeat(request, client);
  }

  /** A group of the consumer protocol with its members. */
  describeConsumerGroup(groupId: string): ConsumerGroupDescribeResponseDescribedGroup {
    const { consumer, topics } = this.#options;
    if (!consumer.enabled)
      return createConsumerGroupDescribeResponseDescribedGroup({
        groupId,
        errorCode: ErrorCode.UNSUPPORTED_VERSION,
      });
    return describeConsumerGroup(this, topics, groupId, consumer.assignors[0]!);
  }

  /** ShareGroupHeartbeat: answered when what the answer says is written. */
  async shareHeartbeat(
    request: ShareGroupHeartbeatRequest,
    client: GroupClient,
  ): Promise<ShareGroupHeartbeatResponse> {
    try {
      checkShareHeartbeat(request);
    } catch (error) {
      const { code: errorCode, message: errorMessage } = error as ApiError;
      return createShareGroupHeartbeatResponse({ errorCode, errorMessage });
    }
    const shard = this.shardOf(request.groupId);
    if (typeof shard === 'number') return createShareGroupHeartbeatResponse({ errorCode: shard });
    return shard.shares.heartbeat(request, client);
  }

  /** A share group with its members. */
  describeShareGroup(groupId: string): ShareGroupDescribeResponseDescribedGroup {
    return describeShareGroup(this, this.#options.topics, groupId);
  }

  /** StreamsGroupHeartbeat: answered when what the answer says is written; internal topics are created behind it. */
  async streamsHeartbeat(
    request: StreamsGroupHeartbeatRequest,
    client: GroupClient,
  ): Promise<StreamsGroupHeartbeatResponse> {
    const refuse = (errorCode: ErrorCode, errorMessage: string | null = null) =>
      createStreamsGroupHeartbeatResponse({ errorCode, errorMessage });
    if (!this.#options.streams.enabled) return refuse(ErrorCode.UNSUPPORTED_VERSION);
    try {
      checkStreamsHeartbeat(request);
    } catch (error) {
      const { code, message } = error as ApiError;
      return refuse(code, message);
    }
    const shard = this.shardOf(request.groupId);
    if (typeof shard === 'number') return refuse(shard);
    const { response, missingTopics } = await shard.streams.heartbeat(request, client);
    this.#internalTopics.request(missingTopics, response);
    return response;
  }

  /** A streams group with its members. */
  describeStreamsGroup(groupId: string): StreamsGroupDescribeResponseDescribedGroup {
    if (!this.#options.streams.enabled)
      return createStreamsGroupDescribeResponseDescribedGroup({
        groupId,
        errorCode: ErrorCode.UNSUPPORTED_VERSION,
      });
    return describeStreamsGroup(this, groupId);
  }

  /** How many groups there are in each state of a protocol. */
  states(type: Group['type']): Map<string, number> {
    const states = new Map<string, number>();
    for (const { groups } of this.#shards.all)
      for (const group of groups.values())
        if (group.type === type) states.set(group.state, (states.get(group.state) ?? 0) + 1);
    return states;
  }

  /** A topic was created, deleted, or got partitions. */
  topicChanged(name: string): void {
    for (const shard of this.#shards.all) {
      shard.consumers.topicChanged(name);
      shard.shares.topicChanged(name);
      shard.streams.topicChanged(name);
    }
  }

  /** Deletes a group without members and its offsets. */
  async deleteGroup(groupId: string): Promise<ErrorCode> {
    const shard = this.shardOf(groupId);
    if (typeof shard === 'number') return shard;
    const group = shard.groups.get(groupId);
    return group?.type === 'share' ? shard.shares.delete(group) : shard.retention.deleteGroup(groupId);
  }

  /** Removes what groups committed for a topic that was deleted. Failures are logged: the next start removes the rest. */
  async topicDeleted(topic: string): Promise<void> {
    this.topicChanged(topic);
    // At the same time: whoever changes the metadata waits for all of it.
    await Promise.all(this.#shards.all.map((shard) => this.#topicDeletedIn(shard, topic)));
  }

  async #topicDeletedIn(shard: GroupShard, topic: string): Promise<void> {
    if (shard.unavailable !== ErrorCode.NONE) return;
    await shard.shares.offsets.topicDeleted(topic);
    try {
      await shard.offsetOperations.deleteTopic(topic);
    } catch (error) {
      const errorCode = groupAppendError(error);
      this.#options.logger.warn({ topic, errorCode, err: error }, 'offsets of a deleted topic remain');
    }
  }
}

/** Version 0 had one time-out for both; a protocol that is named twice counts once. */
function normalized(request: JoinGroupRequest, apiVersion: number): JoinGroupRequest {
  const names = new Set<string>();
  const protocols = request.protocols.filter(({ name }) => !names.has(name) && names.add(name));
  const rebalanceTimeoutMs = apiVersion === 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs;
  return { ...request, protocols, rebalanceTimeoutMs };
}
