import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import type { PartitionMetadata, Topic } from '../../broker/metadata/state.ts';
import type { TopicManager } from '../../broker/metadata/topic-manager.ts';
import { isInternalTopic, topicNameProblem } from '../../broker/metadata/topic-name.ts';
import { type MutationPermits, type MutationQuota, NO_LIMIT } from '../../broker/quotas/mutation-quota.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { type MetadataRequest, metadataRequest } from '../../protocol/generated/metadata-request.ts';
import {
  createMetadataResponsePartition,
  createMetadataResponseTopic,
  type MetadataResponse,
  type MetadataResponseTopic,
  metadataResponse,
} from '../../protocol/generated/metadata-response.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import type { ApiHandler } from '../net/handler.ts';
import { quotaClientOf } from '../net/quota-client.ts';
import { CLUSTER_OPERATIONS, NO_OPERATIONS, TOPIC_OPERATIONS } from './authorized-operations.ts';

const FIRST_VERSION_WITH_IDS = 12;

/** What the metadata handlers need. */
export interface MetadataDeps {
  readonly metadata: ClusterMetadata;
  readonly topics: TopicManager;
  /** The address that clients of a listener are told. */
  readonly advertised: (listenerName: string) => { readonly host: string; readonly port: number };
  /** Whether a partition cannot be served now, because its log directory failed. */
  readonly isOffline: (topic: Topic, partitionIndex: number) => boolean;
}

/** Metadata 0-13: brokers, topics by name or id, automatic creation, which counts in the quota of whoever caused it. */
export function metadataHandler(
  deps: MetadataDeps & { readonly quota: MutationQuota },
): ApiHandler<MetadataRequest, MetadataResponse> {
  return {
    apiKey: metadataRequest.apiKey,
    minVersion: 0,
    maxVersion: 13,
    request: metadataRequest,
    response: metadataResponse,
    async handle(request, context) {
      const { metadata } = deps;
      if (isRefused(request, context.apiVersion)) return refused(request);
      const { host, port } = deps.advertised(context.connection.listenerName);
      // Clients do not know that they may be refused here: they wait.
      const permits = request.allowAutoTopicCreation
        ? deps.quota.begin(quotaClientOf(context), false)
        : NO_LIMIT;
      const topics = await describeTopics(deps, request, context.apiVersion, permits);
      context.connection.throttle(permits.throttleMs);
      return metadataResponse.create({
        throttleTimeMs: permits.throttleMs,
        brokers: [{ nodeId: metadata.nodeId, host, port, rack: metadata.config.get('broker.rack') }],
        clusterId: metadata.clusterId,
        controllerId: metadata.nodeId,
        topics,
        clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
          ? CLUSTER_OPERATIONS
          : NO_OPERATIONS,
      });
    },
  };
}

/** Whether a topic is named in a way that the version does not have. */
function isRefused({ topics }: MetadataRequest, version: number): boolean {
  const wrong = (name: string | null, topicId: string) =>
    version < FIRST_VERSION_WITH_IDS
      ? name === null || topicId !== ZERO_UUID
      : name === null && topicId === ZERO_UUID;
  return topics?.some(({ name, topicId }) => wrong(name, topicId)) ?? false;
}

/** The answer to a request that is refused as a whole: of the cluster it says nothing. */
function refused({ topics }: MetadataRequest): MetadataResponse {
  const errorCode = ErrorCode.INVALID_REQUEST;
  return metadataResponse.create({
    topics: topics!.map(({ name, topicId }) =>
      createMetadataResponseTopic({ errorCode, name: name ?? '', topicId }),
    ),
  });
}

async function describeTopics(
  deps: MetadataDeps,
  request: MetadataRequest,
  version: number,
  permits: MutationPermits,
): Promise<MetadataResponseTopic[]> {
  const operations = request.includeTopicAuthorizedOperations ? TOPIC_OPERATIONS : NO_OPERATIONS;
  const describe = (topic: Topic) => topicResponse(deps, topic, operations);
  // An empty list means all topics in version 0, and none from version 1 on, where null means all.
  if (request.topics === null || (version === 0 && request.topics.length === 0)) {
    return [...deps.metadata.topics()].map(describe);
  }
  const ids = new Set(
    request.topics.filter(({ topicId }) => topicId !== ZERO_UUID).map(({ topicId }) => topicId),
  );
  if (ids.size > 0) {
    return [...ids].map((id) => {
      const topic = deps.metadata.topicById(id);
      return topic === undefined
        ? errorTopic(ErrorCode.UNKNOWN_TOPIC_ID, null, id, operations)
        : describe(topic);
    });
  }
  const names = [...new Set(request.topics.map(({ name }) => name ?? ''))];
  if (!request.allowAutoTopicCreation || !deps.metadata.config.get('auto.create.topics.enable')) {
    return names.map((name) => {
      const topic = deps.metadata.topicByName(name);
      return topic === undefined
        ? errorTopic(missingCode(name), name, ZERO_UUID, operations)
        : describe(topic);
    });
  }
  const missing = new Set(names.filter((name) => deps.metadata.topicByName(name) === undefined));
  const outcomes = await deps.topics.ensureTopics(names, permits);
  // Like Kafka's, the request that creates a topic does not show it: one that looks for a topic that it deleted finds
  // it gone. Kafka with ZooKeeper said LEADER_NOT_AVAILABLE, after which every client asks again; Kafka 4 says that the
  // topic is unknown, and kafkajs gives up.
  return outcomes.map((outcome) => {
    if (outcome.error === null && !missing.has(outcome.name)) return describe(outcome.value);
    const code = outcome.error?.code ?? ErrorCode.LEADER_NOT_AVAILABLE;
    return errorTopic(code, outcome.name, ZERO_UUID, operations);
  });
}

function missingCode(name: string): number {
  return topicNameProblem(name) === null
    ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    : ErrorCode.INVALID_TOPIC_EXCEPTION;
}

function errorTopic(
  errorCode: number,
  name: string | null,
  topicId: string,
  topicAuthorizedOperations: number,
): MetadataResponseTopic {
  const isInternal = name !== null && isInternalTopic(name);
  return createMetadataResponseTopic({ errorCode, name, topicId, isInternal, topicAuthorizedOperations });
}

function topicResponse(
  deps: MetadataDeps,
  topic: Topic,
  topicAuthorizedOperations: number,
): MetadataResponseTopic {
  return createMetadataResponseTopic({
    name: topic.name,
    topicId: topic.id,
    isInternal: isInternalTopic(topic.name),
    partitions: topic.partitions.map((partition) => partitionResponse(deps, topic, partition)),
    topicAuthorizedOperations,
  });
}

function partitionResponse(deps: MetadataDeps, topic: Topic, partition: PartitionMetadata) {
  const offline = deps.isOffline(topic, partition.index);
  return createMetadataResponsePartition({
    errorCode: offline ? ErrorCode.LEADER_NOT_AVAILABLE : ErrorCode.NONE,
    partitionIndex: partition.index,
    leaderId: offline ? -1 : partition.leader,
    leaderEpoch: partition.leaderEpoch,
    replicaNodes: [...partition.replicas],
    isrNodes: [...partition.isr],
    offlineReplicas: offline ? [...partition.replicas] : [],
  });
}
