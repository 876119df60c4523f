import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import type { Topic } from '../../broker/metadata/state.ts';
import type { TopicManager, TopicOutcome } from '../../broker/metadata/topic-manager.ts';
import type { MutationPermits, MutationQuota } from '../../broker/quotas/mutation-quota.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  type DeleteTopicsRequest,
  deleteTopicsRequest,
} from '../../protocol/generated/delete-topics-request.ts';
import {
  createDeletableTopicResult,
  type DeletableTopicResult,
  type DeleteTopicsResponse,
  deleteTopicsResponse,
} from '../../protocol/generated/delete-topics-response.ts';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import type { ApiHandler } from '../net/handler.ts';
import { quotaClientOf } from '../net/quota-client.ts';
import { duplicatesOf } from './duplicates.ts';

/** Clients of older versions do not know that they may be refused by a quota (KIP-599). */
const FIRST_STRICT_VERSION = 5;

interface Wanted {
  readonly name: string | null;
  readonly topicId: string;
}

interface Topics {
  readonly metadata: ClusterMetadata;
  readonly topics: TopicManager;
}

interface Resolved {
  readonly found: readonly Topic[];
  readonly responses: readonly DeletableTopicResult[];
}

/** DeleteTopics 1-6, by name or, from version 6, by id. */
export function deleteTopicsHandler(
  deps: Topics & { readonly quota: MutationQuota },
): ApiHandler<DeleteTopicsRequest, DeleteTopicsResponse> {
  return {
    apiKey: deleteTopicsRequest.apiKey,
    minVersion: 1,
    maxVersion: 6,
    request: deleteTopicsRequest,
    response: deleteTopicsResponse,
    async handle(request, context) {
      const { apiVersion } = context;
      const wanted: readonly Wanted[] =
        apiVersion >= 6 ? request.topics : request.topicNames.map((name) => ({ name, topicId: ZERO_UUID }));
      if (!deps.metadata.config.get('delete.topic.enable')) {
        const refused = new ApiError(
          apiVersion < 3 ? ErrorCode.INVALID_REQUEST : ErrorCode.TOPIC_DELETION_DISABLED,
          apiVersion < 3 ? 'This version does not support topic deletion.' : undefined,
        );
        return deleteTopicsResponse.create({ responses: wanted.map((topic) => failure(topic, refused)) });
      }
      const permits = deps.quota.begin(quotaClientOf(context), apiVersion >= FIRST_STRICT_VERSION);
      const responses = await deleted(deps, wanted, permits);
      context.connection.throttle(permits.throttleMs);
      return deleteTopicsResponse.create({
        throttleTimeMs: permits.throttleMs,
        responses,
      });
    },
  };
}

async function deleted(
  { metadata, topics }: Topics,
  wanted: readonly Wanted[],
  permits: MutationPermits,
): Promise<DeletableTopicResult[]> {
  let resolved: Resolved = { found: [], responses: [] };
  let outcomes: TopicOutcome<Topic>[];
  // Requests before this one may create and delete what it names.
  const inTurn = () => {
    resolved = resolve(metadata, wanted);
    return resolved.found.map(({ id }) => id);
  };
  try {
    outcomes = await topics.deleteTopics(inTurn, permits);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    resolved = resolve(metadata, wanted);
    outcomes = resolved.found.map(({ name }) => ({ name, error }));
  }
  const results = outcomes.map(({ error }, position) => {
    const topic = { name: resolved.found[position]!.name, topicId: resolved.found[position]!.id };
    return error === null ? createDeletableTopicResult(topic) : failure(topic, error);
  });
  return [...resolved.responses, ...results];
}

/** Finds the topics that are meant, and answers for the others with Kafka's errors. */
function resolve(metadata: ClusterMetadata, wanted: readonly Wanted[]): Resolved {
  const found = new Map<string, Topic>();
  const responses: DeletableTopicResult[] = [];
  /** Named by name and by id. */
  const twice = new Set<string>();
  const refuse = (topic: Wanted, code: ErrorCode, message?: string) => {
    responses.push(failure(topic, new ApiError(code, message)));
  };
  const names = duplicatesOf(wanted.flatMap(({ name }) => (name === null ? [] : [name])));
  const ids = duplicatesOf(wanted.flatMap(({ topicId }) => (topicId === ZERO_UUID ? [] : [topicId])));
  for (const name of names)
    refuse({ name, topicId: ZERO_UUID }, ErrorCode.INVALID_REQUEST, 'Duplicate topic name.');
  for (const topicId of ids)
    refuse({ name: null, topicId }, ErrorCode.INVALID_REQUEST, 'Duplicate topic id.');
  for (const topic of wanted) {
    const { name, topicId } = topic;
    if ((name !== null && names.has(name)) || ids.has(topicId)) continue;
    if (name !== null && topicId !== ZERO_UUID) {
      refuse(topic, ErrorCode.INVALID_REQUEST, 'You may not specify both topic name and topic id.');
    } else if (name === null && topicId === ZERO_UUID) {
      refuse(topic, ErrorCode.INVALID_REQUEST, 'Neither topic name nor id were specified.');
    } else {
      const existing = name === null ? metadata.topicById(topicId) : metadata.topicByName(name);
      if (existing === undefined) {
        refuse(topic, name === null ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
      } else if (found.has(existing.id) || twice.has(existing.id)) {
        twice.add(existing.id);
        found.delete(existing.id);
      } else {
        found.set(existing.id, existing);
      }
    }
  }
  for (const topicId of twice) {
    const name = metadata.topicById(topicId)?.name ?? null;
    const message = 'The provided topic name maps to an ID that was already supplied.';
    refuse({ name, topicId }, ErrorCode.INVALID_REQUEST, message);
  }
  return { found: [...found.values()], responses };
}

function failure({ name, topicId }: Wanted, error: ApiError): DeletableTopicResult {
  return createDeletableTopicResult({ name, topicId, errorCode: error.code, errorMessage: error.message });
}
