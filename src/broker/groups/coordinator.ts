import { ErrorCode } from '../../protocol/errors.ts';
import type { HeartbeatRequest } from '../../protocol/generated/heartbeat-request.ts';
import type { JoinGroupRequest } from '../../protocol/generated/join-group-request.ts';
import type { JoinGroupResponse } from '../../protocol/generated/join-group-response.ts';
import type { MemberIdentity } from '../../protocol/generated/leave-group-request.ts';
import { createMemberResponse, type MemberResponse } from '../../protocol/generated/leave-group-response.ts';
import type { SyncGroupRequest } from '../../protocol/generated/sync-group-request.ts';
import {
  createSyncGroupResponse,
  type SyncGroupResponse,
} from '../../protocol/generated/sync-group-response.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { groupAppendError } from './append-errors.ts';
import { joinResponse } from './classic-group.ts';
import type { GroupConfig } from './config.ts';
import { partitionOf } from './partitioner.ts';
import type { OffsetsLog, OffsetsTopic } from './ports.ts';
import { GroupShard } from './shard.ts';

export interface GroupCoordinatorOptions {
  readonly clock: Clock;
  readonly config: GroupConfig;
  readonly logger: Logger;
  readonly log: OffsetsLog;
  readonly topic: OffsetsTopic;
  /** A random UUID as text; part of new member ids. */
  randomId(): string;
}

/** Who sends a JoinGroup. */
export interface GroupClient {
  readonly clientId: string;
  readonly clientHost: string;
}

/**
 * The group coordinator of this broker: it leads every partition of __consumer_offsets, one shard each.
 * The byte fields of requests are kept, so they must be the coordinator's own.
 */
export class GroupCoordinator {
  readonly #options: GroupCoordinatorOptions;
  #shards: readonly GroupShard[] = [];
  #closed = false;
  #preparing: Promise<ErrorCode> | null = null;

  constructor(options: GroupCoordinatorOptions) {
    this.#options = options;
  }

  /** Begins to load all groups if the topic exists; resolves when every shard has been tried once. */
  async start(): Promise<void> {
    const count = this.#options.topic.partitionCount();
    if (count !== null) await this.#open(count);
  }

  /**
   * Makes sure that the group's shard exists, creating __consumer_offsets with the first group.
   * Returns NONE or what a client that looks for its coordinator is told.
   */
  prepare(): Promise<ErrorCode> {
    if (this.#closed) return Promise.resolve(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    if (this.#shards.length > 0) return Promise.resolve(ErrorCode.NONE);
    // One at a time: the topic is known before its partitions can be read.
    this.#preparing ??= this.#prepare().finally(() => {
      this.#preparing = null;
    });
    return this.#preparing;
  }

  async #prepare(): Promise<ErrorCode> {
    try {
      const count = await this.#options.topic.ensure();
      if (this.#shards.length === 0 && !this.#closed) await this.#open(count);
      return ErrorCode.NONE;
    } catch (error) {
      this.#options.logger.error({ err: error }, '__consumer_offsets could not be created');
      return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    }
  }

  /** Answers everybody who waits; nothing is served afterwards. */
  close(): void {
    this.#closed = true;
    for (const shard of this.#shards) shard.close();
    this.#shards = [];
  }

  get shards(): readonly GroupShard[] {
    return this.#shards;
  }

  /** The shard of a group, or the error that its clients get for now. */
  shardOf(groupId: string): GroupShard | ErrorCode {
    if (this.#shards.length === 0) return ErrorCode.NOT_COORDINATOR;
    const shard = this.#shards[partitionOf(groupId, this.#shards.length)]!;
    return shard.unavailable === ErrorCode.NONE ? shard : shard.unavailable;
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
  leave(groupId: string, identities: readonly MemberIdentity[]): MemberResponse[] | ErrorCode {
    const shard = groupId === '' ? ErrorCode.INVALID_GROUP_ID : this.shardOf(groupId);
    if (typeof shard === 'number') return shard;
    return (
      shard.leave(groupId, identities) ??
      identities.map(({ memberId, groupInstanceId }) =>
        createMemberResponse({ memberId, groupInstanceId, errorCode: ErrorCode.UNKNOWN_MEMBER_ID }),
      )
    );
  }

  /** Deletes a group without members and its offsets. */
  async deleteGroup(groupId: string): Promise<ErrorCode> {
    const shard = this.shardOf(groupId);
    return typeof shard === 'number' ? shard : shard.retention.deleteGroup(groupId);
  }

  /** Removes what groups committed for a topic that was deleted. Failures are logged: retention removes the rest. */
  async topicDeleted(topic: string): Promise<void> {
    for (const shard of this.#shards) {
      if (shard.unavailable !== ErrorCode.NONE) continue;
      try {
        await shard.offsetOperations.deleteTopic(topic);
      } catch (error) {
        const errorCode = groupAppendError(error);
        this.#options.logger.warn({ topic, errorCode, err: error }, 'offsets of a deleted topic remain');
      }
    }
  }

  async #open(count: number): Promise<void> {
    const { clock, config, logger, log } = this.#options;
    const randomId = () => this.#options.randomId();
    this.#shards = Array.from(
      { length: count },
      (_, partition) => new GroupShard({ partition, clock, config, logger, log, randomId }),
    );
    await Promise.all(this.#shards.map((shard) => shard.load()));
  }
}

/** Version 0 had one time-out for both; a protocol that is named twice counts once. */
function normalized(request: JoinGroupRequest, apiVersion: number): JoinGroupRequest {
  const names = new Set<string>();
  const protocols = request.protocols.filter(({ name }) => !names.has(name) && names.add(name));
  const rebalanceTimeoutMs = apiVersion === 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs;
  return { ...request, protocols, rebalanceTimeoutMs };
}
