import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { StreamsGroupHeartbeatRequest } from '../../../protocol/generated/streams-group-heartbeat-request.ts';
import { createStreamsGroupHeartbeatResponse } from '../../../protocol/generated/streams-group-heartbeat-response.ts';
import { groupAppendError } from '../append-errors.ts';
import { GroupWriter, type GroupWriterOptions, replayOf } from '../consumer/group-writer.ts';
import type { GroupClient } from '../group-client.ts';
import type { StreamsContext } from './context.ts';
import { StreamsFencing } from './fencing.ts';
import { apply, groupTombstones, type StreamsGroupRecord } from './group-records.ts';
import { type StreamsHeartbeatResult, StreamsHeartbeats } from './heartbeat.ts';
import { encodeStreamsRecord } from './record-codec.ts';
import { StreamsGroup } from './streams-group.ts';

/** Writes the records of streams groups. */
export function streamsWriter(
  options: Pick<GroupWriterOptions<StreamsGroupRecord>, 'groups' | 'log' | 'failed'>,
): GroupWriter<StreamsGroupRecord> {
  return new GroupWriter({
    ...options,
    encode: encodeStreamsRecord,
    replay: replayOf<StreamsGroupRecord, StreamsGroup>(options.groups, {
      type: 'streams',
      create: (groupId) => new StreamsGroup(groupId),
      apply,
      cancelTimers: (group) => group.cancelTimers(),
    }),
  });
}

/** The streams groups (KIP-1071) in one shard. */
export class StreamsGroups {
  readonly #context: StreamsContext;
  readonly #fencing: StreamsFencing;
  readonly #heartbeats: StreamsHeartbeats;

  constructor(context: StreamsContext) {
    this.#context = context;
    this.#fencing = new StreamsFencing(context);
    this.#heartbeats = new StreamsHeartbeats(context, this.#fencing);
  }

  /** StreamsGroupHeartbeat, and the internal topics that the group waits for. */
  async heartbeat(
    request: StreamsGroupHeartbeatRequest,
    client: GroupClient,
  ): Promise<StreamsHeartbeatResult> {
    try {
      return await this.#heartbeats.heartbeat(request, client);
    } catch (error) {
      const errorMessage = error instanceof ApiError ? error.message : null;
      const response = createStreamsGroupHeartbeatResponse({ errorCode: this.#codeOf(error), errorMessage });
      return { response, missingTopics: [] };
    }
  }

  /** Deletes a group without members, for a classic one that begins in its place. */
  makeRoom(group: StreamsGroup): void {
    const { logger, writer } = this.#context;
    const { groupId } = group;
    logger.info({ group: groupId }, 'the empty streams group becomes a classic one');
    writer.write({ groupId, records: groupTombstones(group) }).catch((error: unknown) => {
      logger.warn({ group: groupId, err: error }, 'the end of a streams group was not written');
    });
  }

  /** A topic was created, deleted, or got partitions: groups that need it look at it with their next heartbeat. */
  topicChanged(name: string): void {
    for (const group of this.#context.groups.values())
      if (group.type === 'streams' && group.needs(name)) group.topicsMayDiffer = true;
  }

  /** Starts the timers of a group that was read back. */
  revive(group: StreamsGroup): void {
    this.#fencing.revive(group);
  }

  #codeOf(error: unknown): ErrorCode {
    if (typeof (error as { code?: unknown } | null)?.code !== 'number') {
      this.#context.logger.error({ err: error }, 'a request of a streams group failed');
      return ErrorCode.UNKNOWN_SERVER_ERROR;
    }
    return groupAppendError(error);
  }
}
