import { describeTopic } from '../../broker/configs/describe.ts';
import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import type { TopicManager, TopicOutcome } from '../../broker/metadata/topic-manager.ts';
import type { PlannedTopic } from '../../broker/metadata/topic-plan.ts';
import type { MutationQuota } from '../../broker/quotas/mutation-quota.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  type CreateTopicsRequest,
  createTopicsRequest,
} from '../../protocol/generated/create-topics-request.ts';
import {
  type CreatableTopicResult,
  type CreateTopicsResponse,
  createCreatableTopicResult,
  createTopicsResponse,
} from '../../protocol/generated/create-topics-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { quotaClientOf } from '../net/quota-client.ts';
import { duplicatesOf } from './duplicates.ts';

/** Clients of older versions do not know that they may be refused by a quota (KIP-599). */
const FIRST_STRICT_VERSION = 6;

/** CreateTopics 2-7. Answers when the partitions of the new topics serve. */
export function createTopicsHandler(deps: {
  readonly metadata: ClusterMetadata;
  readonly topics: TopicManager;
  readonly quota: MutationQuota;
}): ApiHandler<CreateTopicsRequest, CreateTopicsResponse> {
  return {
    apiKey: createTopicsRequest.apiKey,
    minVersion: 2,
    maxVersion: 7,
    request: createTopicsRequest,
    response: createTopicsResponse,
    async handle(request, context) {
      const permits = deps.quota.begin(quotaClientOf(context), context.apiVersion >= FIRST_STRICT_VERSION);
      const duplicates = duplicatesOf(request.topics.map(({ name }) => name));
      const distinct = request.topics.filter(({ name }) => !duplicates.has(name));
      let results: CreatableTopicResult[];
      try {
        const outcomes = await deps.topics.createTopics(distinct, request.validateOnly, permits);
        results = outcomes.map((outcome) => result(deps.metadata, outcome));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        results = distinct.map(({ name }) => failure(name, error));
      }
      const repeated = new ApiError(ErrorCode.INVALID_REQUEST, 'Duplicate topic name.');
      context.connection.throttle(permits.throttleMs);
      return createTopicsResponse.create({
        throttleTimeMs: permits.throttleMs,
        topics: [...[...duplicates].map((name) => failure(name, repeated)), ...results],
      });
    },
  };
}

function result(metadata: ClusterMetadata, outcome: TopicOutcome<PlannedTopic>): CreatableTopicResult {
  if (outcome.error !== null) return failure(outcome.name, outcome.error);
  const { name, id, partitions, configs } = outcome.value;
  return createCreatableTopicResult({
    name,
    topicId: id,
    errorMessage: null,
    numPartitions: partitions.length,
    replicationFactor: partitions[0]!.length,
    configs: describeTopic(metadata.config, configs).map(({ definition, value, source, readOnly }) => ({
      name: definition.name,
      value,
      readOnly,
      configSource: source,
      isSensitive: definition.sensitive ?? false,
    })),
  });
}

function failure(name: string, error: ApiError): CreatableTopicResult {
  return createCreatableTopicResult({ name, errorCode: error.code, errorMessage: error.message });
}
