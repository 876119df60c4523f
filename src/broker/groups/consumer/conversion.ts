import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import { ProtocolError } from '../../../protocol/wire/errors.ts';
import { ClassicGroup } from '../classic-group.ts';
import { ClassicMember } from '../member.ts';
import type { OffsetsRecord } from '../ports.ts';
import { groupRecord, groupTombstone } from '../records.ts';
import { CONSUMER_PROTOCOL_TYPE, subscribedTopicsOf } from '../subscription.ts';
import { type Assignment, NO_EPOCH_PARTITIONS, NO_PARTITIONS, withEpoch } from './assignment.ts';
import { ConsumerGroup } from './consumer-group.ts';
import { type ConsumerMember, MemberState } from './consumer-member.ts';
import { encodeAssignment, parseAssignment, parseSubscription, toTopicIds } from './consumer-protocol.ts';
import type { ConsumerContext } from './context.ts';
import { type ConsumerGroupRecord, groupCreation, groupTombstones } from './group-records.ts';
import { metadataHash } from './topics.ts';

/** A group of the consumer protocol that a classic one is to become. */
export interface Upgrade {
  readonly group: ConsumerGroup;
  /** Records that end the classic group, and that make the new one. */
  readonly before: readonly OffsetsRecord[];
  readonly creation: readonly ConsumerGroupRecord[];
}

/** A static member that takes the place of the last one of the consumer protocol. */
export interface Takeover {
  readonly former: ConsumerMember;
  readonly joining: ConsumerMember;
}

/** Groups change their protocol while members are in them (KIP-848's migration). */
export class Conversion {
  readonly #context: ConsumerContext;

  constructor(context: ConsumerContext) {
    this.#context = context;
  }

  /** Plans the upgrade of a classic group, which changes nothing. @throws ApiError GROUP_ID_NOT_FOUND if it is not allowed */
  toConsumer(classic: ClassicGroup): Upgrade {
    const { groupId } = classic;
    const before = [groupTombstone(groupId)];
    if (classic.size === 0 && classic.state === 'Empty')
      return { group: new ConsumerGroup(groupId), before, creation: [] };
    this.#checkUpgrade(classic);
    const group = this.#consumerGroupOf(classic);
    return { group, before, creation: groupCreation(group) };
  }

  /** Whether the group becomes a classic one when this member is replaced by one that uses the classic protocol. */
  canDowngradeBy(group: ConsumerGroup, replaced: ConsumerMember): boolean {
    const others = group.size - 1;
    return replaced.classic === null && group.classicSize === others && this.#canDowngrade(group, group.size);
  }

  /**
   * The group goes on as a classic one that rebalances, if all that stay use the classic protocol. Resolves when that is written.
   * Null: the group stays as it is.
   */
  downgradeWithout(group: ConsumerGroup, leaving: readonly ConsumerMember[]): Promise<void> | null {
    const leavingClassic = leaving.filter(({ classic }) => classic !== null).length;
    const remaining = group.size - leaving.length;
    if (remaining === 0 || group.classicSize - leavingClassic !== remaining) return null;
    if (!this.#canDowngrade(group, remaining)) return null;
    const gone = new Set(leaving);
    const staying = [...group.members()].filter((member) => !gone.has(member));
    const downgraded = this.#downgrade(group, staying, null);
    if (downgraded === null) return null;
    this.#context.rebalancer.prepare(downgraded.classic, 'the last member of the consumer protocol left');
    return downgraded.written;
  }

  /**
   * The group goes on as a classic one, and rebalances if its assignment is out of date or not everybody has got it. Resolves when
   * that is written. Null: the group stays as it is.
   */
  downgradeBy(group: ConsumerGroup, takeover: Takeover, rebalances: boolean): Promise<void> | null {
    const staying = [...group.members()].filter((member) => member !== takeover.former);
    const downgraded = this.#downgrade(group, [...staying, takeover.joining], takeover);
    if (downgraded === null) return null;
    const { classic, written } = downgraded;
    if (rebalances)
      this.#context.rebalancer.prepare(
        classic,
        'the group was converted before everybody had a new assignment',
      );
    return written;
  }

  #checkUpgrade(classic: ClassicGroup): void {
    const { migrationPolicy, maxSize } = this.#context.config;
    const refuse = (reason: string): never => {
      this.#context.logger.info({ group: classic.groupId, reason }, 'a classic group was not converted');
      throw new ApiError(
        ErrorCode.GROUP_ID_NOT_FOUND,
        `Cannot upgrade classic group ${classic.groupId} to consumer group because ${reason}.`,
      );
    };
    if (migrationPolicy !== 'bidirectional' && migrationPolicy !== 'upgrade')
      refuse('online upgrade is disabled');
    if (!classic.isConsumerGroup) refuse('the group does not use the consumer embedded protocol');
    // Its first rebalance is under way, and what its members subscribe to is not known yet. Kafka fails here for good.
    if (classic.protocolName === null)
      throw new ApiError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, 'The classic group is about to begin.');
    if (classic.size > maxSize) refuse('the group size exceeds the consumer group maximum size');
  }

  /** Every member has what it was assigned last, in the epoch that is the last generation. */
  #consumerGroupOf(classic: ClassicGroup): ConsumerGroup {
    const { topics, logger } = this.#context;
    const group = new ConsumerGroup(classic.groupId);
    group.assignmentEpoch = classic.generationId;
    // In a rebalance the last assignment is not for those who are in the group now: the next one is due.
    group.groupEpoch = classic.state === 'Stable' ? classic.generationId : classic.generationId + 1;
    try {
      for (const member of classic.members()) {
        const target = this.#assignmentOf(classic.groupId, member);
        group.setTarget(member.memberId, target);
        group.setMember(consumerMember(member, classic, target));
      }
    } catch (error) {
      if (!(error instanceof ProtocolError) && !(error instanceof ApiError)) throw error;
      logger.warn({ group: classic.groupId, err: error }, 'a classic group was not converted');
      if (error instanceof ApiError) throw error;
      throw new ApiError(
        ErrorCode.GROUP_ID_NOT_FOUND,
        `Cannot upgrade classic group ${classic.groupId} to consumer group because the embedded consumer protocol is malformed.`,
      );
    }
    group.metadataHash = metadataHash(topics, group.subscriptions.topicNames);
    return group;
  }

  #assignmentOf(groupId: string, { assignment }: ClassicMember): Assignment {
    if (assignment.byteLength === 0) return NO_PARTITIONS;
    const { assignedPartitions, userData } = parseAssignment(assignment);
    if (userData !== null && userData.byteLength > 0)
      throw new ApiError(
        ErrorCode.GROUP_ID_NOT_FOUND,
        `Cannot upgrade classic group ${groupId} to consumer group because an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade.`,
      );
    return toTopicIds(this.#context.topics, assignedPartitions);
  }

  #canDowngrade({ groupId }: ConsumerGroup, size: number): boolean {
    const { config, classicMaxSize, logger } = this.#context;
    const isAllowed = config.migrationPolicy === 'bidirectional' || config.migrationPolicy === 'downgrade';
    if (isAllowed && size <= classicMaxSize) return true;
    logger.info({ group: groupId, size }, 'the consumer group is not converted to a classic one');
    return false;
  }

  #downgrade(
    group: ConsumerGroup,
    members: readonly ConsumerMember[],
    takeover: Takeover | null,
  ): { classic: ClassicGroup; written: Promise<void> } | null {
    const { groupId } = group;
    const { groups, logger, rebalancer } = this.#context;
    let downgraded: { classic: ClassicGroup; written: Promise<void> };
    try {
      downgraded = this.#writeDowngrade(group, members, takeover);
    } catch (error) {
      if (!(error instanceof ProtocolError) && !(error instanceof ApiError)) throw error;
      // Its members do not fit into the one record of a classic group, or what one of them supports is malformed.
      logger.warn({ group: groupId, err: error }, 'the consumer group cannot be converted to a classic one');
      return null;
    }
    const { classic } = downgraded;
    groups.set(groupId, classic);
    for (const member of classic.members()) rebalancer.restartSession(classic, member);
    logger.info(
      { group: groupId, members: classic.size },
      'the consumer group was converted to a classic one',
    );
    return downgraded;
  }

  /** @throws ProtocolError @throws ApiError, which change nothing */
  #writeDowngrade(
    group: ConsumerGroup,
    members: readonly ConsumerMember[],
    takeover: Takeover | null,
  ): { classic: ClassicGroup; written: Promise<void> } {
    const { groupId } = group;
    const { clock, topics, writer } = this.#context;
    const classic = ClassicGroup.restore(groupId, {
      generationId: group.groupEpoch,
      protocolType: CONSUMER_PROTOCOL_TYPE,
      protocolName: null,
      leaderId: members[0]!.memberId,
      stateSinceMs: clock.now(),
      members: members.map(classicMember),
    });
    classic.protocolName = classic.selectProtocol();
    classic.subscribedTopics = subscribedTopicsOf(classic);
    const assignments = new Map<string, Uint8Array>();
    for (const member of classic.members()) {
      const { memberId } = member;
      const owner = memberId === takeover?.joining.memberId ? takeover.former.memberId : memberId;
      const subscription = member.metadata(classic.protocolName);
      member.assignment = encodeAssignment(group.targetOf(owner), subscription, topics);
      assignments.set(memberId, member.assignment);
    }
    const after = [groupRecord(classic, assignments)];
    return { classic, written: writer.write({ groupId, records: groupTombstones(group), after }) };
  }
}

function consumerMember(member: ClassicMember, classic: ClassicGroup, target: Assignment): ConsumerMember {
  const { generationId } = classic;
  const subscription = parseSubscription(member.metadata(classic.protocolName));
  return {
    memberId: member.memberId,
    instanceId: member.groupInstanceId,
    rackId: subscription.rackId === '' ? null : subscription.rackId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    topicNames: new Set(subscription.topics),
    topicRegex: '',
    serverAssignor: null,
    classic: { sessionTimeoutMs: member.sessionTimeoutMs, protocols: member.protocols },
    memberEpoch: generationId,
    previousEpoch: generationId,
    state: MemberState.STABLE,
    assigned: withEpoch(target, generationId),
    pendingRevocation: NO_EPOCH_PARTITIONS,
  };
}

function classicMember(member: ConsumerMember): ClassicMember {
  return new ClassicMember({
    memberId: member.memberId,
    groupInstanceId: member.instanceId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    protocolType: CONSUMER_PROTOCOL_TYPE,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    sessionTimeoutMs: member.classic!.sessionTimeoutMs,
    protocols: member.classic!.protocols,
  });
}
