import type { PartitionChangeRecord } from '../../protocol/generated/partition-change-record.ts';
import type { PartitionRecord } from '../../protocol/generated/partition-record.ts';
import type { RegisterBrokerRecord } from '../../protocol/generated/register-broker-record.ts';
import type { Uuid } from '../../protocol/wire/types.ts';
import { QuotaState } from './quota-state.ts';
import { type MetadataRecord, metadataRecord } from './records.ts';
import { ScramState } from './scram-state.ts';
import { METADATA_TOPIC_ID } from './topic-id.ts';
import { collisionKey, METADATA_TOPIC } from './topic-name.ts';

/** One partition as the metadata log has it; replaced, never changed, when a record changes it. */
export interface PartitionMetadata {
  readonly index: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  /** The log directory of each replica. */
  readonly directories: readonly Uuid[];
  /** Whether Apache Kafka noted replicas outside the ISR that may lead (KIP-966). This broker never does. */
  readonly hasEligibleLeaders: boolean;
}

export interface Topic {
  readonly name: string;
  readonly id: Uuid;
  readonly partitions: readonly PartitionMetadata[];
}

/** Kafka's ConfigResource types. */
export const ResourceType = { TOPIC: 2, BROKER: 4, BROKER_LOGGER: 8, CLIENT_METRICS: 16, GROUP: 32 } as const;

const NO_LEADER_CHANGE = -2;
const EPOCHS_REMEMBERED_MAX = 10_000;
const NO_CONFIGS: ReadonlyMap<string, string> = new Map();

type MutableTopic = Topic & { readonly partitions: PartitionMetadata[] };

/** What the metadata log says: a pure function of its records. */
export class MetadataState {
  readonly #byId = new Map<Uuid, MutableTopic>();
  readonly #byName = new Map<string, MutableTopic>();
  /** Names by collision key, of topics whose name has a '.' or '_'. */
  readonly #collisions = new Map<string, Set<string>>();
  readonly #configs = new Map<string, Map<string, string>>();
  readonly quotas = new QuotaState();
  readonly scram = new ScramState();
  readonly #features = new Map<string, number>();
  readonly #brokers = new Map<number, RegisterBrokerRecord>();
  /** The leader epoch with which a deleted topic would come back, by name, oldest first. */
  readonly #epochs = new Map<string, number>();
  /** Covers the names that are no longer in `#epochs`. */
  #epochFloor = 0;
  #nextProducerId = 0n;

  get nextProducerId(): bigint {
    return this.#nextProducerId;
  }

  get topicCount(): number {
    return this.#byId.size;
  }

  get features(): ReadonlyMap<string, number> {
    return this.#features;
  }

  topics(): IterableIterator<Topic> {
    return this.#byId.values();
  }

  topicByName(name: string): Topic | undefined {
    return this.#byName.get(name);
  }

  topicById(id: Uuid): Topic | undefined {
    return this.#byId.get(id);
  }

  /** An existing topic whose name differs from this one only in '.' and '_'. */
  collidingTopic(name: string): string | undefined {
    const names = this.#collisions.get(collisionKey(name));
    return names === undefined ? undefined : [...names].find((other) => other !== name);
  }

  broker(id: number): RegisterBrokerRecord | undefined {
    return this.#brokers.get(id);
  }

  /** The values that were set on a resource, by key. */
  configs(resourceType: number, resourceName: string): ReadonlyMap<string, string> {
    return this.#configs.get(configKey(resourceType, resourceName)) ?? NO_CONFIGS;
  }

  /** The names of the resources of a type that have values. */
  configuredResources(resourceType: number): string[] {
    const prefix = configKey(resourceType, '');
    return [...this.#configs.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length));
  }

  /** The leader epoch of a topic that is created now: above all that clients may remember of its name (KIP-320). */
  firstLeaderEpoch(name: string): number {
    return this.#epochs.get(name) ?? this.#epochFloor;
  }

  /** @throws Error if the record does not fit what came before it */
  apply(record: MetadataRecord): void {
    switch (record.kind) {
      case 'topic':
        this.#addTopic(record.value.name, record.value.topicId);
        return;
      case 'partition':
        this.#addPartition(record.value);
        return;
      case 'partitionChange':
        this.#changePartition(record.value);
        return;
      case 'removeTopic':
        this.#removeTopic(record.value.topicId);
        return;
      case 'config':
        this.#setConfig(record.value);
        return;
      case 'clientQuota':
        this.quotas.apply(record.value);
        return;
      case 'userScramCredential':
        this.scram.set(record.value);
        return;
      case 'removeUserScramCredential':
        this.scram.remove(record.value);
        return;
      case 'producerIds':
        this.#nextProducerId = record.value.nextProducerId;
        return;
      case 'featureLevel':
        if (record.value.featureLevel === 0) this.#features.delete(record.value.name);
        else this.#features.set(record.value.name, record.value.featureLevel);
        return;
      case 'registerBroker':
        this.#brokers.set(record.value.brokerId, record.value);
        return;
      case 'brokerRegistrationChange': {
        const broker = this.#brokers.get(record.value.brokerId);
        if (broker !== undefined && record.value.fenced !== 0) broker.fenced = record.value.fenced > 0;
      }
    }
  }

  /** Records that lead to this state from an empty one. */
  *records(): IterableIterator<MetadataRecord> {
    for (const [name, featureLevel] of this.#features)
      yield metadataRecord('featureLevel', { name, featureLevel });
    for (const broker of this.#brokers.values()) yield { kind: 'registerBroker', value: broker };
    // Kafka has no record that says which epoch a name had, so the snapshot tells of a topic that came and went.
    // Where some are forgotten, one more makes room when it is replayed: what it leaves is what covers them.
    const forgotten: [string, number][] = this.#epochFloor === 0 ? [] : [[METADATA_TOPIC, this.#epochFloor]];
    for (const [name, epoch] of [...forgotten, ...this.#epochs]) {
      const topicId = METADATA_TOPIC_ID;
      yield metadataRecord('topic', { name, topicId });
      yield metadataRecord('partition', {
        topicId,
        partitionId: 0,
        leaderEpoch: epoch - 1,
        partitionEpoch: 0,
      });
      yield metadataRecord('removeTopic', { topicId });
    }
    for (const { name, id, partitions } of this.#byId.values()) {
      yield metadataRecord('topic', { name, topicId: id });
      for (const { index, replicas, isr, directories, leader, leaderEpoch, partitionEpoch } of partitions) {
        yield metadataRecord('partition', {
          leader,
          leaderEpoch,
          partitionEpoch,
          topicId: id,
          partitionId: index,
          replicas: [...replicas],
          isr: [...isr],
          directories: [...directories],
        });
      }
    }
    for (const [key, values] of this.#configs) {
      const [resourceType, resourceName] = splitConfigKey(key);
      for (const [name, value] of values)
        yield metadataRecord('config', { resourceType, resourceName, name, value });
    }
    yield* this.quotas.records();
    yield* this.scram.records();
    yield metadataRecord('producerIds', { nextProducerId: this.#nextProducerId });
  }

  #addTopic(name: string, id: Uuid): void {
    if (this.#byName.has(name) || this.#byId.has(id)) throw new Error(`topic ${name} (${id}) exists already`);
    const topic = { name, id, partitions: [] };
    this.#byId.set(id, topic);
    this.#byName.set(name, topic);
    if (/[._]/.test(name)) {
      const key = collisionKey(name);
      const names = this.#collisions.get(key);
      if (names === undefined) this.#collisions.set(key, new Set([name]));
      else names.add(name);
    }
  }

  #addPartition(record: PartitionRecord): void {
    const { partitions } = this.#topic(record.topicId);
    if (record.partitionId < 0 || record.partitionId > partitions.length) {
      throw new Error(`partition ${record.partitionId} of topic ${record.topicId} is out of order`);
    }
    partitions[record.partitionId] = {
      index: record.partitionId,
      replicas: record.replicas,
      isr: record.isr,
      leader: record.leader,
      leaderEpoch: record.leaderEpoch,
      partitionEpoch: record.partitionEpoch,
      directories: record.directories,
      hasEligibleLeaders: isFilled(record.eligibleLeaderReplicas) || isFilled(record.lastKnownElr),
    };
  }

  #changePartition(record: PartitionChangeRecord): void {
    const { partitions } = this.#topic(record.topicId);
    const before = partitions[record.partitionId];
    if (before === undefined) {
      throw new Error(`partition ${record.partitionId} of topic ${record.topicId} does not exist`);
    }
    const newLeader = record.leader !== NO_LEADER_CHANGE;
    partitions[record.partitionId] = {
      index: before.index,
      replicas: record.replicas ?? before.replicas,
      isr: record.isr ?? before.isr,
      leader: newLeader ? record.leader : before.leader,
      leaderEpoch: newLeader ? before.leaderEpoch + 1 : before.leaderEpoch,
      partitionEpoch: before.partitionEpoch + 1,
      directories: record.directories ?? before.directories,
      hasEligibleLeaders:
        record.eligibleLeaderReplicas === null && record.lastKnownElr === null
          ? before.hasEligibleLeaders
          : isFilled(record.eligibleLeaderReplicas) || isFilled(record.lastKnownElr),
    };
  }

  #removeTopic(id: Uuid): void {
    const { name, partitions } = this.#topic(id);
    this.#byId.delete(id);
    this.#byName.delete(name);
    this.#configs.delete(configKey(ResourceType.TOPIC, name));
    const key = collisionKey(name);
    const names = this.#collisions.get(key);
    if (names?.delete(name) && names.size === 0) this.#collisions.delete(key);
    this.#rememberEpoch(
      name,
      partitions.reduce((epoch, { leaderEpoch }) => Math.max(epoch, leaderEpoch + 1), 0),
    );
  }

  #rememberEpoch(name: string, epoch: number): void {
    this.#epochs.delete(name);
    this.#epochs.set(name, epoch);
    if (this.#epochs.size <= EPOCHS_REMEMBERED_MAX) return;
    const [oldest, oldestEpoch] = this.#epochs.entries().next().value!;
    this.#epochs.delete(oldest);
    this.#epochFloor = Math.max(this.#epochFloor, oldestEpoch);
  }

  #setConfig(record: {
    resourceType: number;
    resourceName: string;
    name: string;
    value: string | null;
  }): void {
    const key = configKey(record.resourceType, record.resourceName);
    const values = this.#configs.get(key) ?? new Map<string, string>();
    if (record.value === null) values.delete(record.name);
    else values.set(record.name, record.value);
    if (values.size === 0) this.#configs.delete(key);
    else this.#configs.set(key, values);
  }

  #topic(id: Uuid): MutableTopic {
    const topic = this.#byId.get(id);
    if (topic === undefined) throw new Error(`topic ${id} does not exist`);
    return topic;
  }
}

function isFilled(replicas: readonly number[] | null): boolean {
  return replicas !== null && replicas.length > 0;
}

function configKey(resourceType: number, resourceName: string): string {
  return `${resourceType}:${resourceName}`;
}

function splitConfigKey(key: string): [resourceType: number, resourceName: string] {
  const separator = key.indexOf(':');
  return [Number(key.slice(0, separator)), key.slice(separator + 1)];
}
