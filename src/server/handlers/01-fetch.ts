import type { FetchedPartition, FetchService, FetchTarget } from '../../broker/partitions/fetch-service.ts';
import type {
  FetchContext,
  FetchRequestPartition,
  FetchSessions,
} from '../../broker/partitions/fetch-session.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { type FetchRequest, fetchRequest } from '../../protocol/generated/fetch-request.ts';
import {
  createFetchableTopicResponse,
  createFetchResponse,
  createFetchResponsePartitionData,
  type FetchableTopicResponse,
  type FetchResponse,
  type FetchResponsePartitionData,
  fetchResponse,
} from '../../protocol/generated/fetch-response.ts';
import { soon } from '../../util/soon.ts';
import type { ApiHandler } from '../net/handler.ts';
import {
  countFetched,
  mostOf,
  READ_COMMITTED,
  type ReferenceSigning,
  release,
  targetOf,
  UNLIMITED,
} from './fetched.ts';

const FIRST_VERSION_WITH_TOPIC_IDS = 13;
const MISSING: ReadonlySet<number> = new Set([
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.UNKNOWN_TOPIC_ID,
]);

export interface FetchHandlerDependencies {
  partitions: PartitionManager;
  fetches: FetchService;
  sessions: FetchSessions;
  quota: RateQuota;
  /** For direct listeners: reference batches are returned as they are, signed. */
  signing?: ReferenceSigning;
}

/**
 * Fetch, versions 4 to 18: long poll with min bytes and max wait, fetch sessions (KIP-227), topic ids from 13, leader epoch checks,
 * diverging epochs (KIP-595). Consumers that read committed records get those below the last stable offset and the transactions that were
 * aborted among them. The preferred read replica is always this broker (-1).
 */
export function fetchHandler(
  dependencies: FetchHandlerDependencies,
): ApiHandler<FetchRequest, FetchResponse> {
  const { partitions, fetches, sessions, quota, signing } = dependencies;
  return {
    apiKey: 1,
    minVersion: 4,
    maxVersion: 18,
    request: fetchRequest,
    response: fetchResponse,
    hurries: true,
    handle(request, context) {
      const { apiVersion, connection } = context;
      const byId = apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS;
      const committed = request.isolationLevel === READ_COMMITTED;
      const fetch = begin(sessions, request, byId);
      if (fetch.kind === 'error') return createFetchResponse({ errorCode: ErrorCode[fetch.error] });
      const fromReplica = request.replicaId >= 0 || (request.replicaState?.replicaId ?? -1) >= 0;
      const targets = fetch.partitions.map((partition) => {
        const target = targetOf(partitions, partition, byId);
        return fromReplica && target.partition !== null ? notReplicated(target) : target;
      });
      const fetched = fetches.fetch(targets, {
        minBytes: request.minBytes,
        maxBytes: quota.active ? Math.min(request.maxBytes, mostOf(quota, context)) : request.maxBytes,
        maxWaitMs: request.maxWaitMs,
        isolation: committed ? 'read_committed' : 'read_uncommitted',
        onClosed: (action) => connection.onClosed(action),
        ...(signing === undefined ? {} : { signReferences: signing(connection.principal) }),
      });
      return soon(fetched, (results) => {
        const { throttleMs, isHeldBack } = quota.active ? countFetched(quota, context, results) : UNLIMITED;
        if (isHeldBack) return throttled(sessions, fetch, results, throttleMs);
        const response = respond(fetch, targets, results, byId);
        response.throttleTimeMs = throttleMs;
        return response;
      });
    },
  };
}

/** Of a session that would begin with this answer the client does not hear: it asks for one again. */
function throttled(
  sessions: FetchSessions,
  fetch: Exclude<FetchContext, { kind: 'error' }>,
  results: readonly FetchedPartition[],
  throttleTimeMs: number,
): FetchResponse {
  release(results);
  const sessionId = fetch.kind === 'incremental' ? fetch.session.id : 0;
  if (fetch.kind === 'full' && fetch.session !== null) sessions.discard(fetch.session);
  return createFetchResponse({ throttleTimeMs, sessionId, responses: [] });
}

function begin(sessions: FetchSessions, request: FetchRequest, byId: boolean): FetchContext {
  const wanted: FetchRequestPartition[] = [];
  for (const { topic, topicId, partitions } of request.topics) {
    for (const partition of partitions) {
      wanted.push({
        topic: byId ? topicId : topic,
        partition: partition.partition,
        // As in Kafka any negative epoch means that the client does not know it.
        currentLeaderEpoch: Math.max(partition.currentLeaderEpoch, -1),
        fetchOffset: partition.fetchOffset,
        lastFetchedEpoch: partition.lastFetchedEpoch,
        logStartOffset: partition.logStartOffset,
        maxBytes: partition.partitionMaxBytes,
      });
    }
  }
  const forgotten = request.forgottenTopicsData.flatMap(({ topic, topicId, partitions }) =>
    partitions.map((partition) => ({ topic: byId ? topicId : topic, partition })),
  );
  return sessions.begin(request.sessionId, request.sessionEpoch, byId, wanted, forgotten);
}

/** No other broker has replicas. */
function notReplicated({ request }: FetchTarget): FetchTarget {
  return { request, partition: null, errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER };
}

function respond(
  fetch: Exclude<FetchContext, { kind: 'error' }>,
  targets: readonly FetchTarget[],
  results: readonly FetchedPartition[],
  byId: boolean,
): FetchResponse {
  const { session } = fetch;
  if (fetch.kind === 'incremental' && fetch.session.epoch !== fetch.expectedEpoch) {
    release(results);
    return createFetchResponse({ errorCode: ErrorCode.INVALID_FETCH_SESSION_EPOCH });
  }
  const responses: FetchableTopicResponse[] = [];
  for (let i = 0; i < results.length; i++) {
    const result = results[i]!;
    const { request } = targets[i]!;
    const changed = session?.answer(request, { ...result, notable: result.divergingEpoch !== null }) ?? true;
    if (fetch.kind === 'incremental' && !changed) continue;
    topicOf(responses, request.topic, byId).partitions.push(partitionData(request.partition, result));
  }
  return createFetchResponse({ sessionId: session?.id ?? 0, responses });
}

/** Partitions of a topic that follow each other share an entry. */
function topicOf(responses: FetchableTopicResponse[], topic: string, byId: boolean): FetchableTopicResponse {
  const last = responses[responses.length - 1];
  if (last !== undefined && (byId ? last.topicId : last.topic) === topic) return last;
  const added = createFetchableTopicResponse(byId ? { topicId: topic } : { topic });
  responses.push(added);
  return added;
}

function partitionData(partitionIndex: number, result: FetchedPartition): FetchResponsePartitionData {
  const { errorCode, highWatermark, lastStableOffset, logStartOffset, divergingEpoch, records } = result;
  // As Kafka has it: a partition that does not exist has no transactions, of others nobody asked.
  const aborted = result.abortedTransactions ?? (MISSING.has(errorCode) ? [] : null);
  return createFetchResponsePartitionData({
    partitionIndex,
    errorCode,
    highWatermark,
    lastStableOffset,
    logStartOffset,
    divergingEpoch,
    abortedTransactions: aborted?.map(({ producerId, firstOffset }) => ({ producerId, firstOffset })) ?? null,
    records,
  });
}
