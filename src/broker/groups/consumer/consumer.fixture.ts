import type { ConsumerGroupHeartbeatRequest } from '../../../protocol/generated/consumer-group-heartbeat-request.ts';
import { createConsumerGroupHeartbeatRequest } from '../../../protocol/generated/consumer-group-heartbeat-request.ts';
import type { ConsumerGroupHeartbeatResponse } from '../../../protocol/generated/consumer-group-heartbeat-response.ts';
import type { GroupConfig } from '../config.ts';
import { createGroups, GROUP, type TestBroker, TestTopics } from '../coordinator.fixture.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import type { ConsumerConfig } from './context.ts';

export interface ConsumerBroker extends TestBroker {
  readonly topics: TestTopics;
}

/** A loaded coordinator with these topics; give it the clock and log of another to restart that. */
export async function startConsumers(
  counts: Readonly<Record<string, number>> = { events: 6 },
  options: {
    readonly former?: ConsumerBroker;
    readonly consumer?: Partial<ConsumerConfig>;
    readonly classic?: Partial<GroupConfig>;
  } = {},
): Promise<ConsumerBroker> {
  const topics = options.former?.topics ?? new TestTopics(counts);
  const broker = createGroups(options.former, options.classic, undefined, {
    topics,
    config: options.consumer ?? {},
  });
  await broker.groups.start();
  return { ...broker, topics };
}

export function groupOf({ groups }: TestBroker): ConsumerGroup {
  const group = groups.shards[0]!.groups.get(GROUP);
  if (group?.type !== 'consumer') throw new Error(`the group is ${group?.type}`);
  return group;
}

/** A member as clients are: it confirms what it is told with its next heartbeat. */
export class TestMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  epoch = 0;
  /** `topicId:partition`, sorted. */
  owned: string[] = [];
  /** What every request to join says. */
  subscription: Partial<ConsumerGroupHeartbeatRequest> = { subscribedTopicNames: ['events'] };
  #owned: ConsumerGroupHeartbeatRequest['topicPartitions'] = [];
  readonly #broker: TestBroker;

  constructor(broker: TestBroker, memberId: string, instanceId: string | null = null) {
    this.#broker = broker;
    this.memberId = memberId;
    this.instanceId = instanceId;
  }

  /** A heartbeat as it is, of which nothing is remembered. */
  send(request: Partial<ConsumerGroupHeartbeatRequest>): Promise<ConsumerGroupHeartbeatResponse> {
    const { memberId, instanceId, epoch: memberEpoch } = this;
    return this.#broker.groups.consumerHeartbeat(
      createConsumerGroupHeartbeatRequest({ groupId: GROUP, memberId, memberEpoch, instanceId, ...request }),
      1,
      { clientId: 'client', clientHost: '/127.0.0.1' },
    );
  }

  async join(request: Partial<ConsumerGroupHeartbeatRequest> = {}): Promise<ConsumerGroupHeartbeatResponse> {
    this.epoch = 0;
    this.#own([]);
    const response = await this.send({
      rebalanceTimeoutMs: 30_000,
      topicPartitions: [],
      ...this.subscription,
      ...request,
    });
    this.take(response);
    return response;
  }

  async beat(request: Partial<ConsumerGroupHeartbeatRequest> = {}): Promise<ConsumerGroupHeartbeatResponse> {
    const response = await this.send({ topicPartitions: this.#owned, ...request });
    this.take(response);
    return response;
  }

  leave(memberEpoch = -1): Promise<ConsumerGroupHeartbeatResponse> {
    return this.send({ memberEpoch });
  }

  take({ errorCode, memberEpoch, assignment }: ConsumerGroupHeartbeatResponse): void {
    if (errorCode !== 0) return;
    this.epoch = memberEpoch;
    if (assignment !== null) this.#own(assignment.topicPartitions);
  }

  #own(partitions: NonNullable<ConsumerGroupHeartbeatRequest['topicPartitions']>): void {
    this.#owned = partitions;
    this.owned = partitions
      .flatMap(({ topicId, partitions: indexes }) => indexes.map((index) => `${topicId}:${index}`))
      .sort();
  }
}

/** Lets members send heartbeats in turn until nothing changes. */
export async function settle(...members: TestMember[]): Promise<void> {
  const state = () => JSON.stringify(members.map(({ epoch, owned }) => [epoch, owned]));
  for (let rounds = 0; rounds < 20; rounds++) {
    const before = state();
    for (const member of members) await member.beat();
    if (state() === before) return;
  }
  throw new Error('the group does not settle');
}

/** Two members that have shared out the topic. */
export async function pair(broker: ConsumerBroker): Promise<[TestMember, TestMember]> {
  const a = new TestMember(broker, 'a');
  const b = new TestMember(broker, 'b');
  await a.join();
  await b.join();
  await settle(a, b);
  return [a, b];
}
