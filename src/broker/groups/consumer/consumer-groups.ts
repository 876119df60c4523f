import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { ConsumerGroupHeartbeatRequest } from '../../../protocol/generated/consumer-group-heartbeat-request.ts';
import {
  type ConsumerGroupHeartbeatResponse,
  createConsumerGroupHeartbeatResponse,
} from '../../../protocol/generated/consumer-group-heartbeat-response.ts';
import type { HeartbeatRequest } from '../../../protocol/generated/heartbeat-request.ts';
import type { JoinGroupResponse } from '../../../protocol/generated/join-group-response.ts';
import type { MemberIdentity } from '../../../protocol/generated/leave-group-request.ts';
import type { MemberResponse } from '../../../protocol/generated/leave-group-response.ts';
import type { SyncGroupRequest } from '../../../protocol/generated/sync-group-request.ts';
import {
  createSyncGroupResponse,
  type SyncGroupResponse,
} from '../../../protocol/generated/sync-group-response.ts';
import { groupAppendError } from '../append-errors.ts';
import { joinResponse } from '../classic-group.ts';
import type { GroupClient } from '../group-client.ts';
import type { JoinCall } from '../join.ts';
import type { Reply } from '../member.ts';
import { ClassicMembers } from './classic-members.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import type { ConsumerContext } from './context.ts';
import { Conversion } from './conversion.ts';
import { Fencing } from './fencing.ts';
import { groupTombstones } from './group-records.ts';
import { Heartbeats } from './heartbeat.ts';
import { RegexRefresh } from './regex-refresh.ts';

/** The groups of the consumer protocol in one shard. */
export class ConsumerGroups {
  readonly #context: ConsumerContext;
  readonly #fencing: Fencing;
  readonly #heartbeats: Heartbeats;
  readonly #classicMembers: ClassicMembers;

  constructor(context: ConsumerContext) {
    this.#context = context;
    const conversion = new Conversion(context);
    const fencing = new Fencing(context, conversion);
    this.#fencing = fencing;
    this.#heartbeats = new Heartbeats(context, {
      fencing,
      conversion,
      regexRefresh: new RegexRefresh(context),
    });
    this.#classicMembers = new ClassicMembers(context, { fencing, conversion });
  }

  /** ConsumerGroupHeartbeat. */
  async heartbeat(
    request: ConsumerGroupHeartbeatRequest,
    client: GroupClient,
  ): Promise<ConsumerGroupHeartbeatResponse> {
    try {
      return await this.#heartbeats.heartbeat(request, client);
    } catch (error) {
      const errorCode = this.#codeOf(error);
      const errorMessage = error instanceof ApiError ? error.message : null;
      return createConsumerGroupHeartbeatResponse({ errorCode, errorMessage });
    }
  }

  /** JoinGroup of a member that uses the classic protocol. */
  join(group: ConsumerGroup, call: JoinCall): void {
    this.#answer<JoinGroupResponse>(this.#classicMembers.join(group, call), call.reply, (errorCode) =>
      joinResponse({ memberId: '', errorCode }),
    );
  }

  /** SyncGroup of a member that uses the classic protocol. */
  sync(group: ConsumerGroup, request: SyncGroupRequest, reply: Reply<SyncGroupResponse>): void {
    this.#answer(this.#classicMembers.sync(group, request), reply, (errorCode) =>
      createSyncGroupResponse({ errorCode }),
    );
  }

  /** Heartbeat of a member that uses the classic protocol. */
  classicHeartbeat(group: ConsumerGroup, request: HeartbeatRequest): ErrorCode {
    try {
      return this.#classicMembers.heartbeat(group, request);
    } catch (error) {
      return this.#codeOf(error);
    }
  }

  /** LeaveGroup. Rejects if it is not written. */
  classicLeave(group: ConsumerGroup, identities: readonly MemberIdentity[]): Promise<MemberResponse[]> {
    return this.#classicMembers.leave(group, identities);
  }

  /** Deletes a group without members, for a classic one that begins in its place. */
  makeRoom(group: ConsumerGroup): void {
    const { logger, writer } = this.#context;
    const { groupId } = group;
    logger.info({ group: groupId }, 'the empty consumer group becomes a classic one');
    writer.write({ groupId, records: groupTombstones(group) }).catch((error: unknown) => {
      logger.warn({ group: groupId, err: error }, 'the end of a consumer group was not written');
    });
  }

  /** A topic was created, deleted, or got partitions: groups that name it look at it with their next heartbeat. */
  topicChanged(name: string): void {
    for (const group of this.#context.groups.values())
      if (group.type === 'consumer' && group.isSubscribedTo(name)) group.metadataMayDiffer = true;
  }

  /** Starts the timers of a group that was read back. */
  revive(group: ConsumerGroup): void {
    this.#fencing.revive(group);
  }

  #answer<T>(response: Promise<T>, reply: Reply<T>, refused: (errorCode: ErrorCode) => T): void {
    response.then(reply, (error: unknown) => reply(refused(this.#codeOf(error))));
  }

  #codeOf(error: unknown): ErrorCode {
    if (typeof (error as { code?: unknown } | null)?.code !== 'number') {
      this.#context.logger.error({ err: error }, 'a request of a consumer group failed');
      return ErrorCode.UNKNOWN_SERVER_ERROR;
    }
    return groupAppendError(error);
  }
}
