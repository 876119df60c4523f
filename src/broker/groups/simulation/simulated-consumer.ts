import { ErrorCode, errorInfo } from '../../../protocol/errors.ts';
import {
  type ConsumerGroupHeartbeatRequest,
  createConsumerGroupHeartbeatRequest,
} from '../../../protocol/generated/consumer-group-heartbeat-request.ts';
import type { ConsumerGroupHeartbeatResponse } from '../../../protocol/generated/consumer-group-heartbeat-response.ts';
import type { OwnershipChecker } from './ownership-checker.ts';
import type { Connection, World } from './world.ts';

const HEARTBEAT_INTERVAL_MS = 3_000;
const REQUEST_TIMEOUT_MS = 10_000;
const REBALANCE_TIMEOUT_MS = 60_000;
const RETRY_MS = 500;

/** A consumer of the consumer protocol as the Java client behaves: one heartbeat after the other, the next with what changed. */
export class SimulatedConsumer {
  readonly name: string;
  readonly groupId: string;
  readonly instanceId: string | null;
  isUp = false;
  isFenced = false;
  memberId = '';
  epoch = 0;
  /** `topicId:partition`. */
  owned: ReadonlySet<string> = new Set();
  #partitions: NonNullable<ConsumerGroupHeartbeatRequest['topicPartitions']> = [];
  topics: readonly string[];
  #lives = 0;
  /** Rises with every step, so that answers to abandoned requests and old timers are ignored. */
  #step = 0;
  #connection: Connection = { lastArrivalMs: 0 };
  readonly #world: World;
  readonly #checker: OwnershipChecker;

  constructor(
    world: World,
    checker: OwnershipChecker,
    identity: {
      readonly name: string;
      readonly groupId: string;
      readonly instanceId: string | null;
      readonly topics: readonly string[];
    },
  ) {
    this.#world = world;
    this.#checker = checker;
    this.name = identity.name;
    this.groupId = identity.groupId;
    this.instanceId = identity.instanceId;
    this.topics = identity.topics;
  }

  /** A new process with a new member id. */
  start(): void {
    this.isUp = true;
    this.isFenced = false;
    this.memberId = `${this.name}-${++this.#lives}`;
    this.#connection = { lastArrivalMs: 0 };
    this.#rejoin();
  }

  /** The process dies without a word. */
  kill(): void {
    this.#step++;
    this.isUp = false;
    this.#own([]);
  }

  /** The process stands still, and goes on where it was. */
  pause(durationMs: number): void {
    this.#later(durationMs, () => this.#heartbeat(true));
  }

  /** Leaves; a static member mostly means to come back. */
  leave(): void {
    const memberEpoch = this.instanceId !== null && this.#world.random.chance(0.7) ? -2 : -1;
    const request = this.#request({ memberEpoch });
    this.kill();
    this.#send(request, () => {});
  }

  subscribe(topics: readonly string[]): void {
    this.topics = topics;
    if (this.isUp && this.epoch > 0) this.#later(0, () => this.#heartbeat(true));
  }

  #rejoin(): void {
    this.epoch = 0;
    this.#own([]);
    this.#heartbeat(true);
  }

  /** `isFull`: with everything that there is to say, as after an error. */
  #heartbeat(isFull: boolean): void {
    const full = { rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS, subscribedTopicNames: [...this.topics] };
    const request = this.#request({ memberEpoch: this.epoch, ...(isFull && full) });
    const step = this.#step + 1;
    this.#later(REQUEST_TIMEOUT_MS, () => this.#heartbeat(true));
    this.#send(request, (response) => {
      if (step === this.#step) this.#answered(response);
    });
  }

  #request(change: Partial<ConsumerGroupHeartbeatRequest>): ConsumerGroupHeartbeatRequest {
    const { groupId, memberId, instanceId } = this;
    const topicPartitions = this.#partitions;
    return createConsumerGroupHeartbeatRequest({ groupId, memberId, instanceId, topicPartitions, ...change });
  }

  #send(
    request: ConsumerGroupHeartbeatRequest,
    answered: (response: ConsumerGroupHeartbeatResponse) => void,
  ): void {
    const client = { clientId: this.name, clientHost: '/127.0.0.1' };
    const isRepeated = this.#world.random.chance(this.#world.duplicationRate);
    this.#world.request(
      async (coordinator) => {
        const first = coordinator.consumerHeartbeat(request, 1, client);
        const second = isRepeated ? coordinator.consumerHeartbeat(request, 1, client) : first;
        const answers = await Promise.all([first, second]);
        this.#checker.checkGroup(coordinator, request.groupId);
        // Whoever repeats a request because the first answer was lost says everything again.
        return answers[request.subscribedTopicNames === null ? 0 : 1];
      },
      answered,
      this.#connection,
    );
  }

  #answered({ errorCode, memberEpoch, assignment }: ConsumerGroupHeartbeatResponse): void {
    this.#world.trace(`${this.name} ${errorCode} ${memberEpoch} ${JSON.stringify(assignment)}`);
    switch (errorCode) {
      case ErrorCode.NONE:
        this.#checker.answered(this, memberEpoch);
        this.epoch = memberEpoch;
        if (assignment !== null) this.#own(assignment.topicPartitions);
        this.#later(assignment === null ? HEARTBEAT_INTERVAL_MS : 0, () => this.#heartbeat(false));
        return;
      case ErrorCode.FENCED_MEMBER_EPOCH:
      case ErrorCode.UNKNOWN_MEMBER_ID:
      case ErrorCode.GROUP_ID_NOT_FOUND:
        this.#own([]);
        this.#later(RETRY_MS, () => this.#rejoin());
        return;
      case ErrorCode.FENCED_INSTANCE_ID:
      case ErrorCode.UNRELEASED_INSTANCE_ID:
        this.kill();
        this.isFenced = true;
        return;
      case ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
      case ErrorCode.COORDINATOR_NOT_AVAILABLE:
      case ErrorCode.NOT_COORDINATOR:
        this.#later(RETRY_MS, () => this.#heartbeat(true));
        return;
      default:
        throw new Error(`${this.name} is answered ${errorInfo(errorCode).name}`);
    }
  }

  #own(partitions: NonNullable<ConsumerGroupHeartbeatRequest['topicPartitions']>): void {
    this.#partitions = partitions;
    this.owned = new Set(
      partitions.flatMap(({ topicId, partitions: indexes }) => indexes.map((index) => `${topicId}:${index}`)),
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
