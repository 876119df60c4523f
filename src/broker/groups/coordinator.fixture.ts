import { createHash } from 'node:crypto';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { consumerProtocolSubscription } from '../../protocol/generated/consumer-protocol-subscription.ts';
import { createHeartbeatRequest } from '../../protocol/generated/heartbeat-request.ts';
import {
  createJoinGroupRequest,
  type JoinGroupRequest,
} from '../../protocol/generated/join-group-request.ts';
import type { JoinGroupResponse } from '../../protocol/generated/join-group-response.ts';
import {
  createSyncGroupRequest,
  type SyncGroupRequest,
} from '../../protocol/generated/sync-group-request.ts';
import type { SyncGroupResponse } from '../../protocol/generated/sync-group-response.ts';
import { encodeVersioned } from '../../protocol/internal-records.ts';
import { silentLogger } from '../../util/logger.ts';
import { settled, VirtualClock } from '../../util/testing/virtual-clock.ts';
import type { CoordinatorTopic } from '../coordinator-shards.ts';
import type { TransactionalProducer, TransactionMarker } from '../transaction-marker.ts';
import type { GroupConfig } from './config.ts';
import type { ConsumerConfig } from './consumer/context.ts';
import type { Topics } from './consumer/topics.ts';
import { GroupCoordinator } from './coordinator.ts';
import type { OffsetsLog, OffsetsRecord, OffsetsReplay } from './ports.ts';
import type { SharePorts } from './share/context.ts';
import { testShares } from './share/share.fixture.ts';
import type { StreamsConfig, StreamsGroupConfig } from './streams/context.ts';
import type { CreateTopics } from './streams/internal-topics.ts';

export const GROUP = 'group';

/** A log in memory that writes at once, unless it is told to hold or to fail. */
export class MemoryOffsetsLog implements OffsetsLog {
  readonly records: OffsetsRecord[] = [];
  /** What is in the log, by what it means for a replay. */
  readonly #replays: ((replay: OffsetsReplay) => void)[] = [];
  failure: ErrorCode | null = null;
  #held: (() => void)[] | null = null;

  append(
    _partition: number,
    records: readonly OffsetsRecord[],
    producer?: TransactionalProducer,
  ): Promise<void> {
    return this.#write(() => {
      this.records.push(...records);
      const producerId = producer?.producerId ?? null;
      for (const { key, value } of records)
        this.#replays.push((replay) => replay.record(key, value, producerId));
    });
  }

  appendMarker(_partition: number, { producerId, commit }: TransactionMarker): Promise<void> {
    return this.#write(() => this.#replays.push((replay) => replay.transactionEnded(producerId, commit)));
  }

  #write(keep: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = () => {
        if (this.failure !== null) {
          reject(new ApiError(this.failure));
          return;
        }
        keep();
        resolve();
      };
      if (this.#held === null) finish();
      else this.#held.push(finish);
    });
  }

  async replay(_partition: number, replay: OffsetsReplay): Promise<void> {
    await settled();
    if (this.failure !== null) throw new ApiError(this.failure);
    for (const one of this.#replays) one(replay);
  }

  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const finish of held) finish();
  }
}

export const testConfig: GroupConfig = {
  minSessionTimeoutMs: 6_000,
  maxSessionTimeoutMs: 60_000,
  initialRebalanceDelayMs: 3_000,
  maxSize: 10,
  newMemberJoinTimeoutMs: 300_000,
  maxPendingMembers: 1_000,
  offsetMetadataMaxBytes: 20,
  commitTimeoutMs: 5_000,
  offsetsRetentionMs: 3600_000,
  offsetsRetentionCheckIntervalMs: 60_000,
};

export const testConsumerConfig: ConsumerConfig = {
  enabled: true,
  maxSize: 10,
  assignors: ['uniform', 'range'],
  migrationPolicy: 'bidirectional',
  regexRefreshIntervalMs: 600_000,
  timesOf: () => ({ sessionTimeoutMs: 45_000, heartbeatIntervalMs: 5_000, assignmentIntervalMs: 0 }),
};

export const testStreamsGroupConfig: StreamsGroupConfig = {
  sessionTimeoutMs: 45_000,
  heartbeatIntervalMs: 5_000,
  assignmentIntervalMs: 0,
  initialRebalanceDelayMs: 0,
  standbyReplicas: 0,
};

export const testStreamsConfig: StreamsConfig = {
  enabled: true,
  maxSize: 10,
  of: () => testStreamsGroupConfig,
};

/** Topics by name; ids are made of names, unless they are given. */
export class TestTopics implements Topics {
  readonly #topics = new Map<string, { id: string; partitionCount: number }>();
  version = 1n;

  constructor(counts: Readonly<Record<string, number>> = {}) {
    for (const [name, count] of Object.entries(counts)) this.set(name, count);
  }

  /** Creates or extends a topic; 0 partitions delete it. */
  set(name: string, partitionCount: number, id = topicId(name)): void {
    if (partitionCount === 0) this.#topics.delete(name);
    else this.#topics.set(name, { id, partitionCount });
    this.version++;
  }

  byName(name: string) {
    return this.#topics.get(name) ?? null;
  }

  byId(id: string) {
    for (const [name, topic] of this.#topics)
      if (topic.id === id) return { name, partitionCount: topic.partitionCount };
    return null;
  }

  names(): Iterable<string> {
    return this.#topics.keys();
  }

  readonly create: CreateTopics = async (topics) => {
    for (const { name, numPartitions } of topics) this.set(name, numPartitions);
    return topics.map(({ name }) => ({ name, error: null }));
  };
}

/** A uuid in Kafka's text form that is always the same for a name. */
export function topicId(name: string): string {
  return createHash('sha256').update(name).digest().subarray(0, 16).toString('base64url');
}

export interface TestBroker {
  readonly clock: VirtualClock;
  readonly log: MemoryOffsetsLog;
  readonly groups: GroupCoordinator;
}

/** A coordinator with one shard that has not loaded it yet; give it the clock and log of another to restart that. */
export function createGroups(
  former?: { clock: VirtualClock; log: MemoryOffsetsLog },
  config: Partial<GroupConfig> = {},
  topic: CoordinatorTopic = {
    name: '__consumer_offsets',
    partitionCount: () => 1,
    isOffline: () => false,
    ensure: async () => 1,
  },
  others: {
    readonly config?: Partial<ConsumerConfig>;
    readonly streams?: Partial<StreamsConfig>;
    readonly topics?: Topics;
    readonly share?: SharePorts;
    readonly createTopics?: CreateTopics;
  } = {},
): TestBroker {
  const clock = former?.clock ?? new VirtualClock();
  const log = former?.log ?? new MemoryOffsetsLog();
  let ids = 0;
  const groups = new GroupCoordinator({
    clock,
    config: { ...testConfig, ...config },
    logger: silentLogger,
    log,
    topic,
    consumer: { ...testConsumerConfig, ...others.config },
    streams: { ...testStreamsConfig, ...others.streams },
    topics: others.topics ?? new TestTopics({ events: 4 }),
    createTopics: others.createTopics ?? (async () => []),
    share: others.share ?? testShares(),
    randomId: () => `id${former === undefined ? '' : 'x'}${++ids}`,
  });
  return { clock, log, groups };
}

/** As `createGroups`, and loaded. */
export async function startGroups(...options: Parameters<typeof createGroups>): Promise<TestBroker> {
  const broker = createGroups(...options);
  await broker.groups.start();
  return broker;
}

/** The metadata of a consumer that subscribes to these topics. */
export function subscription(...topics: string[]): Uint8Array {
  const value = { topics, userData: null, ownedPartitions: [], generationId: -1, rackId: null };
  return encodeVersioned(consumerProtocolSubscription, value, 0);
}

export function protocols(...names: string[]): JoinGroupRequest['protocols'] {
  return names.map((name) => ({ name, metadata: subscription('events') }));
}

/** Version 3 needs no member id first. */
export function join(
  { groups }: TestBroker,
  request: Partial<JoinGroupRequest> = {},
  apiVersion = 3,
): Promise<JoinGroupResponse> {
  const defaults = {
    groupId: GROUP,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 30_000,
    protocolType: 'consumer',
    protocols: protocols('range'),
  };
  return groups.join(createJoinGroupRequest({ ...defaults, ...request }), apiVersion, {
    clientId: 'client',
    clientHost: '/127.0.0.1',
  });
}

export function sync(
  { groups }: TestBroker,
  { memberId, generationId }: Pick<JoinGroupResponse, 'memberId' | 'generationId'>,
  assignments: Readonly<Record<string, string>> = {},
  request: Partial<SyncGroupRequest> = {},
): Promise<SyncGroupResponse> {
  const list = Object.entries(assignments).map(([member, text]) => ({
    memberId: member,
    assignment: new Uint8Array(Buffer.from(text)),
  }));
  return groups.sync(
    createSyncGroupRequest({ groupId: GROUP, generationId, memberId, assignments: list, ...request }),
  );
}

export function heartbeat(
  { groups }: TestBroker,
  { memberId, generationId }: Pick<JoinGroupResponse, 'memberId' | 'generationId'>,
  groupInstanceId: string | null = null,
): ErrorCode {
  return groups.heartbeat(
    createHeartbeatRequest({ groupId: GROUP, memberId, generationId, groupInstanceId }),
  );
}

export function stateOf({ groups }: TestBroker): string | undefined {
  return groups.shards[0]!.groups.get(GROUP)?.state;
}

/** A stable group of members with these instance ids (null: dynamic), the first of whom leads; each owns its index. */
export async function stableGroup(
  broker: TestBroker,
  instanceIds: readonly (string | null)[] = [null],
  request: Partial<JoinGroupRequest> = {},
): Promise<JoinGroupResponse[]> {
  const joins = instanceIds.map((groupInstanceId) => join(broker, { ...request, groupInstanceId }));
  await broker.clock.advance(6_000);
  const members = await Promise.all(joins);
  const assignments = Object.fromEntries(members.map(({ memberId }, i) => [memberId, String(i)]));
  const syncs = members.map((member, i) => sync(broker, member, i === 0 ? assignments : {}));
  for (const { errorCode } of await Promise.all(syncs))
    if (errorCode !== ErrorCode.NONE) throw new Error(`SyncGroup answered ${errorCode}`);
  return members;
}
