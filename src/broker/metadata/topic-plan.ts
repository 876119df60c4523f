import { areAllCordoned, type KafabricConfig } from '../../config/index.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { CreatePartitionsTopic } from '../../protocol/generated/create-partitions-request.ts';
import type { CreatableTopic } from '../../protocol/generated/create-topics-request.ts';
import { type Uuid, ZERO_UUID } from '../../protocol/wire/types.ts';
import { validateTopicConfigs } from '../configs/validate.ts';
import { type MetadataRecord, metadataRecord } from './records.ts';
import { type MetadataState, ResourceType, type Topic } from './state.ts';
import { collisionKey, METADATA_TOPIC, topicNameProblem } from './topic-name.ts';

/** As many partitions one request may make. */
export const PARTITIONS_PER_REQUEST_MAX = 10_000;

/** A topic that can be created. */
export interface PlannedTopic {
  readonly name: string;
  readonly id: Uuid;
  /** The replicas of each partition. */
  readonly partitions: readonly (readonly number[])[];
  readonly leaderEpoch: number;
  readonly configs: ReadonlyMap<string, string>;
}

interface PlanContext {
  readonly state: MetadataState;
  readonly nodeId: number;
  readonly config: KafabricConfig;
  /** Names that the same request creates, by their collision keys. */
  readonly accepted: ReadonlyMap<string, string>;
  readonly id: Uuid;
}

/** Checks everything that Kafka checks about a new topic. @throws ApiError with Kafka's code and message */
export function planTopic(topic: CreatableTopic, context: PlanContext): PlannedTopic {
  const { state, nodeId, config, id } = context;
  checkName(topic.name, context);
  const configs = new Map<string, string>();
  const nulls = topic.configs.filter(({ value }) => value === null).map(({ name }) => name);
  if (nulls.length > 0) {
    throw new ApiError(
      ErrorCode.INVALID_CONFIG,
      `Null value not supported for topic configs: ${nulls.join(',')}`,
    );
  }
  for (const { name, value } of topic.configs) configs.set(name, value!);
  validateTopicConfigs(configs, config);
  const partitions =
    topic.assignments.length > 0 ? manualAssignment(topic, nodeId) : defaultAssignment(topic, nodeId, config);
  return { name: topic.name, id, partitions, leaderEpoch: state.firstLeaderEpoch(topic.name), configs };
}

/** The records that create a planned topic. */
export function topicRecords({ name, id, partitions, leaderEpoch, configs }: PlannedTopic): MetadataRecord[] {
  return [
    metadataRecord('topic', { name, topicId: id }),
    ...[...configs].map(([key, value]) =>
      metadataRecord('config', { resourceType: ResourceType.TOPIC, resourceName: name, name: key, value }),
    ),
    ...partitions.map((replicas, index) => newPartition(id, index, replicas, leaderEpoch)),
  ];
}

/** Checks what Kafka checks about new partitions. @throws ApiError with Kafka's code and message */
export function planPartitions(
  request: CreatePartitionsTopic,
  state: MetadataState,
  nodeId: number,
  config: KafabricConfig,
): { topic: Topic; before: number; records: MetadataRecord[] } {
  const topic = state.topicByName(request.name);
  if (topic === undefined) {
    throw new ApiError(
      ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
      'This server does not host this topic-partition.',
    );
  }
  const before = topic.partitions.length;
  if (request.count === before) {
    throw new ApiError(ErrorCode.INVALID_PARTITIONS, `Topic already has ${before} partition(s).`);
  }
  if (request.count < before) {
    throw new ApiError(
      ErrorCode.INVALID_PARTITIONS,
      `The topic ${request.name} currently has ${before} partition(s); ${request.count} would not be an increase.`,
    );
  }
  const additional = request.count - before;
  if (additional > PARTITIONS_PER_REQUEST_MAX) {
    throw new ApiError(ErrorCode.POLICY_VIOLATION, 'Excessively large number of partitions per request.');
  }
  if (request.assignments !== null && request.assignments.length !== additional) {
    throw new ApiError(
      ErrorCode.INVALID_REPLICA_ASSIGNMENT,
      `Attempted to add ${additional} additional partition(s), but only ${request.assignments.length} assignment(s) were specified.`,
    );
  }
  if (request.assignments === null) assertPlace(config);
  const first = topic.partitions[0]!;
  const records = Array.from({ length: additional }, (_, position) => {
    const replicas = request.assignments?.[position]?.brokerIds ?? [nodeId];
    checkAssignment(replicas, nodeId, first.replicas.length);
    return newPartition(topic.id, before + position, replicas, state.firstLeaderEpoch(topic.name));
  });
  return { topic, before, records };
}

function newPartition(topicId: Uuid, partitionId: number, replicas: readonly number[], leaderEpoch: number) {
  return metadataRecord('partition', {
    topicId,
    partitionId,
    replicas: [...replicas],
    isr: [...replicas],
    leader: replicas[0]!,
    leaderEpoch,
    partitionEpoch: 0,
    directories: replicas.map(() => ZERO_UUID),
  });
}

function checkName(name: string, { state, accepted }: PlanContext): void {
  if (name === METADATA_TOPIC) {
    throw new ApiError(
      ErrorCode.INVALID_REQUEST,
      `Creation of internal topic ${METADATA_TOPIC} is prohibited.`,
    );
  }
  const problem = topicNameProblem(name);
  if (problem !== null) throw new ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem);
  if (state.topicByName(name) !== undefined) {
    throw new ApiError(ErrorCode.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`);
  }
  const other = state.collidingTopic(name) ?? accepted.get(collisionKey(name));
  if (other !== undefined) {
    throw new ApiError(
      ErrorCode.INVALID_TOPIC_EXCEPTION,
      `Topic '${name}' collides with existing topic: ${other}`,
    );
  }
}

function defaultAssignment(topic: CreatableTopic, nodeId: number, config: KafabricConfig): number[][] {
  if (topic.replicationFactor < -1 || topic.replicationFactor === 0) {
    throw new ApiError(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      'Replication factor must be larger than 0, or -1 to use the default value.',
    );
  }
  if (topic.numPartitions < -1 || topic.numPartitions === 0) {
    throw new ApiError(
      ErrorCode.INVALID_PARTITIONS,
      'Number of partitions was set to an invalid non-positive value.',
    );
  }
  const replicationFactor =
    topic.replicationFactor === -1 ? config.get('default.replication.factor') : topic.replicationFactor;
  const partitions = topic.numPartitions === -1 ? config.get('num.partitions') : topic.numPartitions;
  if (partitions > PARTITIONS_PER_REQUEST_MAX) {
    throw new ApiError(ErrorCode.POLICY_VIOLATION, 'Excessively large number of partitions per request.');
  }
  if (replicationFactor > 1) {
    throw new ApiError(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      `Unable to replicate the partition ${replicationFactor} time(s): The target replication factor of ${replicationFactor} cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned.`,
    );
  }
  assertPlace(config, `Unable to replicate the partition ${replicationFactor} time(s): `);
  return Array.from({ length: partitions }, () => [nodeId]);
}

/** Who says where partitions go may do so whatever is cordoned. */
function assertPlace(config: KafabricConfig, what = ''): void {
  if (!areAllCordoned(config)) return;
  throw new ApiError(
    ErrorCode.INVALID_REPLICATION_FACTOR,
    `${what}All brokers are currently fenced, or have all their log directories cordoned.`,
  );
}

function manualAssignment(topic: CreatableTopic, nodeId: number): number[][] {
  if (topic.replicationFactor !== -1) {
    throw new ApiError(
      ErrorCode.INVALID_REQUEST,
      'A manual partition assignment was specified, but replication factor was not set to -1.',
    );
  }
  if (topic.numPartitions !== -1) {
    throw new ApiError(
      ErrorCode.INVALID_REQUEST,
      'A manual partition assignment was specified, but numPartitions was not set to -1.',
    );
  }
  const byIndex = new Map<number, number[]>();
  for (const { partitionIndex, brokerIds } of topic.assignments) {
    if (byIndex.has(partitionIndex)) {
      throw new ApiError(
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        `Found multiple manual partition assignments for partition ${partitionIndex}`,
      );
    }
    checkAssignment(brokerIds, nodeId, topic.assignments[0]!.brokerIds.length);
    byIndex.set(partitionIndex, brokerIds);
  }
  return Array.from({ length: byIndex.size }, (_, index) => {
    const replicas = byIndex.get(index);
    if (replicas === undefined) {
      throw new ApiError(
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
        'partitions should be a consecutive 0-based integer sequence',
      );
    }
    return replicas;
  });
}

function checkAssignment(brokerIds: readonly number[], nodeId: number, expectedReplicas: number): void {
  const refuse = (message: string): never => {
    throw new ApiError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message);
  };
  if (brokerIds.length === 0) refuse('The manual partition assignment includes an empty replica list.');
  const sorted = [...brokerIds].sort((a, b) => a - b);
  for (const [position, brokerId] of sorted.entries()) {
    if (brokerId !== nodeId) {
      refuse(
        `The manual partition assignment includes broker ${brokerId}, but no such broker is registered.`,
      );
    }
    if (position > 0) {
      refuse(`The manual partition assignment includes the broker ${brokerId} more than once.`);
    }
  }
  if (brokerIds.length !== expectedReplicas) {
    refuse(
      `The manual partition assignment includes a partition with ${brokerIds.length} replica(s), but this is not consistent with previous partitions, which have ${expectedReplicas} replica(s).`,
    );
  }
}
