import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { StreamsGroupHeartbeatRequestTopology } from '../../../protocol/generated/streams-group-heartbeat-request.ts';
import { MemberState } from '../consumer/consumer-member.ts';
import { metadataHash } from '../consumer/topics.ts';
import { isAssignmentDue } from '../own-values.ts';
import { type AssignableMember, assignTasks } from './assignor/sticky.ts';
import { type ConfiguredTopology, configureTopology } from './configured-topology.ts';
import type { StreamsContext, StreamsGroupConfig } from './context.ts';
import { nextEpoch, type StreamsGroupRecord } from './group-records.ts';
import { reconcile } from './reconcile.ts';
import { Status } from './status.ts';
import { NO_TOPOLOGY_EPOCH, type StreamsGroup } from './streams-group.ts';
import { type StreamsMember, sameEntries, sameMetadata, sameProgress } from './streams-member.ts';
import { NO_ROLES, type OwnedTasks, sameRoles, type TaskRoles } from './tasks.ts';
import { requiredTopics, sameTopology, type Topology, topologyOf } from './topology.ts';

const STANDBY_REPLICAS = 'num.standby.replicas';

/** A target assignment, for the group or for one member. */
interface Target {
  readonly epoch: number;
  readonly tasks: TaskRoles;
}

/**
 * One step of one member, planned before anything changes: the member with its new metadata, the group's topology, its next epoch
 * and target assignment if they are due, and the member one step nearer to that. `records` say all of it.
 */
export class StreamsDraft {
  readonly group: StreamsGroup;
  readonly records: StreamsGroupRecord[] = [];
  /** What the member is to be told besides its tasks. */
  readonly status: { statusCode: Status; statusDetail: string }[] = [];
  /** The member as the step finds it. */
  readonly found: StreamsMember;
  updated: StreamsMember;
  readonly config: StreamsGroupConfig;
  readonly #context: StreamsContext;
  #configured: ConfiguredTopology | null = null;
  #groupEpoch: number;
  #assignmentConfigs: ReadonlyMap<string, string>;

  constructor(context: StreamsContext, group: StreamsGroup, found: StreamsMember) {
    this.#context = context;
    this.group = group;
    this.found = found;
    this.updated = found;
    this.config = context.config.of(group.groupId);
    this.#groupEpoch = group.groupEpoch;
    this.#assignmentConfigs = group.assignmentConfigs;
  }

  /** What the topology comes to; after `update`. */
  get configured(): ConfiguredTopology {
    return this.#configured!;
  }

  /** Whether the first assignment waits for more members. */
  get isDelayed(): boolean {
    return this.group.initialDelay !== null || this.startsDelay;
  }

  /** Whether the step begins to wait for more members. */
  get startsDelay(): boolean {
    return (
      this.group.size === 0 && this.group.initialDelay === null && this.config.initialRebalanceDelayMs > 0
    );
  }

  /**
   * The member's new metadata and topology, and what follows for the group.
   * @throws ApiError INVALID_REQUEST, STREAMS_INVALID_TOPOLOGY, which change nothing
   */
  update(updated: StreamsMember, brought: StreamsGroupHeartbeatRequestTopology | null): void {
    const { group, found } = this;
    const { memberId } = updated;
    this.updated = updated;
    const isNew = group.member(memberId) === undefined;
    const hasChanged = isNew || !sameMetadata(found, updated);
    if (hasChanged) this.records.push({ kind: 'member', memberId, value: updated });
    const topology = this.#topology(brought);
    if (updated.topologyEpoch < topology.epoch)
      this.#tell(
        Status.STALE_TOPOLOGY,
        `The member's topology epoch ${updated.topologyEpoch} is behind the group's topology epoch ${topology.epoch}.`,
      );
    this.#updateEpoch(topology, hasChanged);
  }

  #topology(brought: StreamsGroupHeartbeatRequestTopology | null): Topology {
    const { topology: known, groupId } = this.group;
    const topology = brought === null ? null : topologyOf(brought);
    if (topology === null) {
      if (known === null) throw new ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, 'The group has no topology.');
      return known;
    }
    if (known === null) {
      this.#context.logger.info(
        { group: groupId, epoch: topology.epoch },
        'the streams group has a topology',
      );
      this.records.push({ kind: 'topology', value: topology });
      return topology;
    }
    if (known.epoch <= topology.epoch && !sameTopology(known, topology))
      throw new ApiError(ErrorCode.INVALID_REQUEST, 'Topology updates are not supported yet.');
    return known;
  }

  /** The group's next epoch, if the member, the topology, the topics, or the configuration is another one. */
  #updateEpoch(topology: Topology, hasMemberChanged: boolean): void {
    const { group } = this;
    const { topics } = this.#context;
    let hash = group.metadataHash;
    let { configured } = group;
    if (configured === null || group.topicsMayDiffer) {
      hash = metadataHash(topics, requiredTopics(topology));
      if (configured === null || hash !== group.metadataHash)
        configured = configureTopology(topology, topics);
    }
    this.#configured = configured;
    const validatedTopologyEpoch = configured.problem === null ? topology.epoch : NO_TOPOLOGY_EPOCH;
    this.#assignmentConfigs = new Map([[STANDBY_REPLICAS, String(this.config.standbyReplicas)]]);
    const bumps =
      hasMemberChanged ||
      hash !== group.metadataHash ||
      validatedTopologyEpoch !== group.validatedTopologyEpoch ||
      !sameEntries(this.#assignmentConfigs, group.assignmentConfigs);
    if (!bumps) return;
    this.#groupEpoch++;
    const assignmentConfigs = this.#assignmentConfigs;
    this.records.push(nextEpoch(group, { metadataHash: hash, validatedTopologyEpoch, assignmentConfigs }));
  }

  /** The member one step nearer to the target assignment, which is made anew if that is due. */
  advance(owned: OwnedTasks | null): void {
    const { updated } = this;
    const { epoch, tasks } = this.#target();
    if (updated.state === MemberState.UNKNOWN && (owned === null || Object.values(owned).flat().length > 0))
      throw new ApiError(
        ErrorCode.FENCED_MEMBER_EPOCH,
        'The streams group member is in a unknown state. The member must abandon all its tasks and rejoin.',
      );
    const next = reconcile(updated, {
      targetEpoch: epoch,
      target: tasks,
      owned,
      processesOf: (role, subtopologyId, partition) => this.group.processesOf(role, subtopologyId, partition),
    });
    if (sameProgress(next, updated)) return;
    this.updated = next;
    this.records.push({ kind: 'current', memberId: next.memberId, value: next });
  }

  #target(): Target {
    const { group, updated } = this;
    const { assignmentEpoch: epoch } = group;
    const last = { epoch, tasks: group.targetOf(updated.memberId) };
    if (epoch >= this.#groupEpoch) return last;
    if (this.isDelayed) {
      this.#tell(
        Status.ASSIGNMENT_DELAYED,
        'Assignment delayed due to the configured initial rebalance delay.',
      );
      return { epoch, tasks: NO_ROLES };
    }
    if (!isAssignmentDue(this.#context.clock, group, this.config)) {
      this.#tell(Status.ASSIGNMENT_DELAYED, 'Assignment delayed due to the configured assignment interval.');
      return last;
    }
    const members = [...group.members()].filter(({ memberId }) => memberId !== updated.memberId);
    const records = targetRecords(this.#context, group, {
      epoch: this.#groupEpoch,
      members: [...members, updated],
      configured: this.configured,
      standbyReplicas: this.config.standbyReplicas,
    });
    this.records.push(...records);
    const own = records.find((record) => record.kind === 'target' && record.memberId === updated.memberId);
    return { epoch: this.#groupEpoch, tasks: own?.kind === 'target' ? own.value! : last.tasks };
  }

  #tell(statusCode: Status, statusDetail: string): void {
    this.status.push({ statusCode, statusDetail });
  }
}

/** A new target assignment for all members of a group, as far as it differs; without a topology that suits, nobody gets anything. */
export function targetRecords(
  { clock, logger }: StreamsContext,
  group: StreamsGroup,
  assignment: {
    readonly epoch: number;
    readonly members: readonly StreamsMember[];
    readonly configured: ConfiguredTopology;
    readonly standbyReplicas: number;
  },
): StreamsGroupRecord[] {
  const { epoch, members, configured, standbyReplicas } = assignment;
  const subtopologies = configured.problem === null ? [...(configured.subtopologies?.values() ?? [])] : [];
  const targets = assignTasks({
    members: members.map(
      ({ memberId, processId }): AssignableMember => ({
        memberId,
        processId,
        former: group.targetOf(memberId),
      }),
    ),
    subtopologies: subtopologies.map(({ id, taskCount, changelogTopics }) => ({
      id,
      taskCount,
      isStateful: changelogTopics.length > 0,
    })),
    standbyReplicas,
  });
  const records: StreamsGroupRecord[] = [];
  for (const { memberId } of members) {
    const value = targets.get(memberId)!;
    if (!group.hasTarget(memberId) || !sameRoles(group.targetOf(memberId), value))
      records.push({ kind: 'target', memberId, value });
  }
  records.push({ kind: 'target-epoch', value: { epoch, timestampMs: clock.now() } });
  logger.info(
    { group: group.groupId, epoch, members: members.length },
    'streams group has a new target assignment',
  );
  return records;
}
