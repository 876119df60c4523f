import { ErrorCode, errorInfo } from '../../../protocol/errors.ts';
import {
  createStreamsGroupHeartbeatRequest,
  type StreamsGroupHeartbeatRequest,
  type StreamsGroupHeartbeatRequestTopology as Topology,
} from '../../../protocol/generated/streams-group-heartbeat-request.ts';
import type {
  StreamsGroupHeartbeatResponse,
  StreamsGroupHeartbeatResponseTaskIds as TaskIds,
} from '../../../protocol/generated/streams-group-heartbeat-response.ts';
import { ROLES, type Role, taskName } from '../streams/tasks.ts';
import type { TaskChecker } from './task-checker.ts';
import type { Connection, World } from './world.ts';

const HEARTBEAT_INTERVAL_MS = 3_000;
const REQUEST_TIMEOUT_MS = 10_000;
const REBALANCE_TIMEOUT_MS = 60_000;
const RETRY_MS = 500;

/** A thread of a Kafka Streams application, as the Java client behaves: one heartbeat after the other, the next with what changed. */
export class SimulatedStreamThread {
  readonly name: string;
  readonly groupId: string;
  /** The same over restarts, as the state directory keeps it. */
  readonly processId: string;
  isUp = false;
  memberId = '';
  epoch = 0;
  /** Names of tasks. */
  readonly owned: Record<Role, ReadonlySet<string>> = {
    active: new Set(),
    standby: new Set(),
    warmup: new Set(),
  };
  #tasks: Record<Role, TaskIds[]> = { active: [], standby: [], warmup: [] };
  readonly #topology: Topology;
  #lives = 0;
  /** Rises with every step, so that answers to abandoned requests and old timers are ignored. */
  #step = 0;
  #connection: Connection = { lastArrivalMs: 0 };
  readonly #world: World;
  readonly #checker: TaskChecker;

  constructor(
    world: World,
    checker: TaskChecker,
    identity: {
      readonly name: string;
      readonly groupId: string;
      readonly processId: string;
      readonly topology: Topology;
    },
  ) {
    this.#world = world;
    this.#checker = checker;
    this.name = identity.name;
    this.groupId = identity.groupId;
    this.processId = identity.processId;
    this.#topology = identity.topology;
  }

  /** A new thread with a new member id. */
  start(): void {
    this.isUp = true;
    this.memberId = `${this.name}-${++this.#lives}`;
    this.#connection = { lastArrivalMs: 0 };
    this.#rejoin();
  }

  /** It dies without a word. */
  kill(): void {
    this.isUp = false;
    this.#step++;
    this.#own({ active: [], standby: [], warmup: [] });
  }

  /** It sends nothing for a while, and goes on with everything that there is to say. */
  pause(durationMs: number): void {
    this.#later(durationMs, () => this.#heartbeat(true));
  }

  leave(): void {
    const request = this.#request({ memberEpoch: -1 });
    this.kill();
    this.#send(request, () => {});
  }

  #rejoin(): void {
    this.epoch = 0;
    this.#own({ active: [], standby: [], warmup: [] });
    this.#heartbeat(true);
  }

  /** `isFull`: with everything that there is to say, as after an error. */
  #heartbeat(isFull: boolean): void {
    const joins = this.epoch === 0;
    const full = { rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS, processId: this.processId };
    const request = this.#request({
      memberEpoch: this.epoch,
      ...((isFull || joins) && full),
      ...(joins && { topology: this.#topology }),
    });
    const step = this.#step + 1;
    this.#later(REQUEST_TIMEOUT_MS, () => this.#heartbeat(true));
    this.#send(request, (response) => {
      if (step === this.#step) this.#answered(response);
    });
  }

  #request(change: Partial<StreamsGroupHeartbeatRequest>): StreamsGroupHeartbeatRequest {
    const { groupId, memberId } = this;
    const { active: activeTasks, standby: standbyTasks, warmup: warmupTasks } = this.#tasks;
    return createStreamsGroupHeartbeatRequest({
      ...{ groupId, memberId, activeTasks, standbyTasks, warmupTasks },
      ...change,
    });
  }

  #send(
    request: StreamsGroupHeartbeatRequest,
    answered: (response: StreamsGroupHeartbeatResponse) => void,
  ): void {
    const client = { clientId: this.name, clientHost: '/127.0.0.1' };
    const isRepeated = this.#world.random.chance(this.#world.duplicationRate);
    this.#world.request(
      async (coordinator) => {
        const first = coordinator.streamsHeartbeat(request, client);
        const second = isRepeated ? coordinator.streamsHeartbeat(request, client) : first;
        const answers = await Promise.all([first, second]);
        this.#checker.checkGroup(coordinator, request.groupId);
        // Whoever repeats a request to join because the first answer was lost gets the second.
        return answers[request.memberEpoch === 0 ? 1 : 0];
      },
      answered,
      this.#connection,
    );
  }

  #answered(response: StreamsGroupHeartbeatResponse): void {
    const { errorCode, memberEpoch, activeTasks, standbyTasks, warmupTasks } = response;
    this.#world.trace(
      `${this.name} ${errorCode} ${memberEpoch} ${JSON.stringify([activeTasks, standbyTasks])}`,
    );
    switch (errorCode) {
      case ErrorCode.NONE: {
        this.#checker.answered(this, memberEpoch);
        this.epoch = memberEpoch;
        const hasChanged = activeTasks !== null && standbyTasks !== null && warmupTasks !== null;
        if (hasChanged) this.#own({ active: activeTasks, standby: standbyTasks, warmup: warmupTasks });
        this.#later(hasChanged ? 0 : HEARTBEAT_INTERVAL_MS, () => this.#heartbeat(false));
        return;
      }
      case ErrorCode.FENCED_MEMBER_EPOCH:
      case ErrorCode.UNKNOWN_MEMBER_ID:
      case ErrorCode.GROUP_ID_NOT_FOUND:
        this.#own({ active: [], standby: [], warmup: [] });
        this.#later(RETRY_MS, () => this.#rejoin());
        return;
      case ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
      case ErrorCode.COORDINATOR_NOT_AVAILABLE:
      case ErrorCode.NOT_COORDINATOR:
        this.#later(RETRY_MS, () => this.#heartbeat(true));
        return;
      default:
        throw new Error(`${this.name} is answered ${errorInfo(errorCode).name}: ${response.errorMessage}`);
    }
  }

  #own(tasks: Record<Role, TaskIds[]>): void {
    this.#tasks = tasks;
    for (const role of ROLES)
      this.owned[role] = new Set(
        tasks[role].flatMap(({ subtopologyId, partitions }) =>
          partitions.map((partition) => taskName(subtopologyId, partition)),
        ),
      );
    this.#checker.owns(this, this.#world.coordinator);
  }

  #later(delayMs: number, action: () => void): void {
    const step = ++this.#step;
    this.#world.clock.setTimer(delayMs, () => {
      if (step === this.#step) action();
    });
  }
}
