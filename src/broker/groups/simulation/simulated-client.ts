import { ErrorCode, errorInfo } from '../../../protocol/errors.ts';
import { consumerProtocolAssignment } from '../../../protocol/generated/consumer-protocol-assignment.ts';
import { consumerProtocolSubscription } from '../../../protocol/generated/consumer-protocol-subscription.ts';
import { createHeartbeatRequest } from '../../../protocol/generated/heartbeat-request.ts';
import { createJoinGroupRequest } from '../../../protocol/generated/join-group-request.ts';
import type { JoinGroupResponse } from '../../../protocol/generated/join-group-response.ts';
import { createMemberIdentity } from '../../../protocol/generated/leave-group-request.ts';
import { createSyncGroupRequest } from '../../../protocol/generated/sync-group-request.ts';
import type { SyncGroupResponse } from '../../../protocol/generated/sync-group-response.ts';
import { decodeVersioned, encodeVersioned } from '../../../protocol/internal-records.ts';
import type { World } from './world.ts';

export const TOPIC = 'events';
export const PARTITIONS = 7;
const SESSION_TIMEOUT_MS = 10_000;
const REBALANCE_TIMEOUT_MS = 30_000;
const HEARTBEAT_INTERVAL_MS = 3_000;
const RETRY_MS = 100;

/** How the leader writes assignments. */
export interface AssignmentForm {
  write(partitions: readonly number[]): Uint8Array;
  read(bytes: Uint8Array): number[];
}

/** One byte for each partition. */
const BYTES: AssignmentForm = {
  write: (partitions) => Uint8Array.from(partitions),
  read: (bytes) => [...bytes],
};

/** As consumers do, so that the coordinator understands them and may go on in their place. */
export const CONSUMER_FORM: AssignmentForm = {
  write(partitions) {
    const assignedPartitions = [{ topic: TOPIC, partitions: [...partitions] }];
    return encodeVersioned(consumerProtocolAssignment, { assignedPartitions, userData: null }, 0);
  },
  read(bytes) {
    if (bytes.byteLength === 0) return [];
    const { assignedPartitions } = decodeVersioned(consumerProtocolAssignment, bytes).value;
    return assignedPartitions.flatMap(({ partitions }) => partitions);
  },
};

type State = 'down' | 'joining' | 'syncing' | 'stable' | 'fenced';

/** A consumer as the Java client behaves, with an assignor that deals partitions out in turn. */
export class SimulatedClient {
  readonly name: string;
  readonly groupId: string;
  readonly instanceId: string | null;
  state: State = 'down';
  assignment: readonly number[] = [];
  generation = -1;
  #memberId = '';
  /** Rises with every step, so that answers to abandoned requests and old timers are ignored. */
  #step = 0;
  readonly #world: World;
  readonly #form: AssignmentForm;

  constructor(world: World, name: string, groupId: string, instanceId: string | null, form = BYTES) {
    this.#world = world;
    this.#form = form;
    this.name = name;
    this.groupId = groupId;
    this.instanceId = instanceId;
  }

  get isUp(): boolean {
    return this.state !== 'down' && this.state !== 'fenced';
  }

  /** A new process: it knows nothing of its former life but its instance id. */
  start(): void {
    this.#memberId = '';
    this.#rejoin();
  }

  /** The process dies without a word. */
  kill(): void {
    this.#enter('down');
  }

  /** The process stands still, and goes on where it was. */
  pause(durationMs: number): void {
    this.#enter(this.state);
    this.#later(durationMs, () => this.#rejoin());
  }

  /** Leaves for good; static members do so only by an administrator. */
  leave(): void {
    const { groupId, instanceId } = this;
    const memberId = this.#memberId;
    this.#enter('down');
    this.#world.send((coordinator) =>
      coordinator.leave(groupId, [createMemberIdentity({ memberId, groupInstanceId: instanceId })]),
    );
  }

  commit(): void {
    if (this.state !== 'stable' || this.assignment.length === 0) return;
    const { groupId, instanceId, generation } = this;
    this.#world.commit({
      groupId,
      generation,
      memberId: this.#memberId,
      instanceId,
      partition: this.#world.random.pick(this.assignment),
    });
  }

  #enter(state: State): void {
    this.#step++;
    this.state = state;
    if (state !== 'stable') this.assignment = [];
    this.#world.trace(`${this.name} ${state} ${this.generation}`);
  }

  #later(delayMs: number, action: () => void): void {
    const step = this.#step;
    this.#world.clock.setTimer(delayMs, () => {
      if (step === this.#step) action();
    });
  }

  /** Only the answer to the latest step counts. */
  #ifCurrent<T>(action: (value: T) => void): (value: T) => void {
    const step = this.#step;
    return (value) => {
      if (step === this.#step) action(value);
    };
  }

  #rejoin(): void {
    this.#enter('joining');
    const apiVersion = this.#world.random.pick([0, 3, 4, 5, 7, 9]);
    const version = this.instanceId === null ? apiVersion : Math.max(apiVersion, 5);
    const subscription = {
      topics: [TOPIC],
      userData: null,
      ownedPartitions: [],
      generationId: -1,
      rackId: null,
    };
    const metadata = encodeVersioned(consumerProtocolSubscription, subscription, 0);
    const names = this.#world.random.pick([['range'], ['range', 'sticky'], ['sticky', 'range']]);
    const request = createJoinGroupRequest({
      groupId: this.groupId,
      memberId: this.#memberId,
      groupInstanceId: this.instanceId,
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS,
      protocolType: 'consumer',
      protocols: names.map((name) => ({ name, metadata })),
    });
    const client = { clientId: this.name, clientHost: '/127.0.0.1' };
    this.#world.request(
      (coordinator) => coordinator.join(request, version, client),
      this.#ifCurrent((response) => this.#joined(response)),
    );
    // As clients do that get no answer.
    this.#later(REBALANCE_TIMEOUT_MS + 5_000, () => this.#rejoin());
  }

  #joined(response: JoinGroupResponse): void {
    if (response.errorCode === ErrorCode.MEMBER_ID_REQUIRED) this.#memberId = response.memberId;
    if (response.errorCode !== ErrorCode.NONE) {
      this.#failed(response.errorCode);
      return;
    }
    this.#memberId = response.memberId;
    this.generation = response.generationId;
    this.#enter('syncing');
    const leads = response.leader === response.memberId && !response.skipAssignment;
    const { groupId, generation, instanceId } = this;
    const owner = instanceId ?? response.memberId;
    const request = createSyncGroupRequest({
      groupId,
      generationId: generation,
      memberId: response.memberId,
      groupInstanceId: instanceId,
      protocolType: response.protocolType,
      protocolName: response.protocolName,
      assignments: leads ? this.#deal(response.members.map(({ memberId }) => memberId)) : [],
    });
    const checked = async (answer: Promise<SyncGroupResponse>) => {
      const synced = await answer;
      // What the coordinator assigns goes from one member to the next without a generation of its own.
      if (synced.errorCode === ErrorCode.NONE && this.#form === BYTES)
        this.#world.checker.assigned(groupId, generation, owner, [...synced.assignment]);
      return synced;
    };
    this.#world.request(
      (coordinator) => checked(coordinator.sync(request)),
      this.#ifCurrent((synced) => this.#synced(synced)),
    );
    this.#later(REBALANCE_TIMEOUT_MS + 5_000, () => this.#rejoin());
  }

  #synced(response: SyncGroupResponse): void {
    if (response.errorCode !== ErrorCode.NONE) {
      this.#failed(response.errorCode);
      return;
    }
    this.#enter('stable');
    this.assignment = this.#form.read(response.assignment);
    for (const partition of this.assignment) this.#world.fetch(this.groupId, partition);
    this.#heartbeat();
  }

  #heartbeat(): void {
    this.#later(HEARTBEAT_INTERVAL_MS, () => {
      this.#heartbeat();
      const request = createHeartbeatRequest({
        groupId: this.groupId,
        generationId: this.generation,
        memberId: this.#memberId,
        groupInstanceId: this.instanceId,
      });
      this.#world.request(
        async (coordinator) => coordinator.heartbeat(request),
        this.#ifCurrent((errorCode) => {
          if (errorCode !== ErrorCode.NONE) this.#failed(errorCode);
        }),
      );
    });
  }

  #failed(errorCode: number): void {
    this.#world.trace(`${this.name} ${errorInfo(errorCode).name}`);
    if (errorCode === ErrorCode.FENCED_INSTANCE_ID) {
      this.#enter('fenced');
      return;
    }
    if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.#memberId = '';
    const isQuick =
      errorCode === ErrorCode.MEMBER_ID_REQUIRED || errorCode === ErrorCode.REBALANCE_IN_PROGRESS;
    this.#enter('joining');
    this.#later(isQuick ? 0 : RETRY_MS, () => this.#rejoin());
  }

  #deal(memberIds: readonly string[]) {
    return memberIds.map((memberId, turn) => {
      const partitions = Array.from({ length: PARTITIONS }, (_, p) => p);
      const mine = partitions.filter((partition) => partition % memberIds.length === turn);
      return { memberId, assignment: this.#form.write(mine) };
    });
  }
}
