import type { FetchedPartition, FetchService, FetchTarget } from '../../broker/partitions/fetch-service.ts';
import type {
  FetchContext,
  FetchRequestPartition,
  FetchSessions,
} from '../../broker/partitions/fetch-session.ts';
import type { Partition } from '../../broker/partitions/partition.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import { MemoryPiece } from '../../native/pieces.ts';
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
import type { ApiHandler, ConnectionContext } from '../net/handler.ts';

const FIRST_VERSION_WITH_TOPIC_IDS = 13;
const READ_COMMITTED = 1;

/** How references are signed for whoever is at the other end of a connection; see broker/direct. */
export type ReferenceSigning = (
  principal: string,
) => (partition: Partition, batches: Uint8Array) => Uint8Array;

export interface FetchHandlerDependencies {
  partitions: PartitionManager;
  fetches: FetchService;
  sessions: FetchSessions;
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
  const { partitions, fetches, sessions, signing } = dependencies;
  return {
    apiKey: 1,
    minVersion: 4,
    maxVersion: 18,
    request: fetchRequest,
    response: fetchResponse,
    async handle(request, { apiVersion, connection }) {
      const byId = apiVersion >= FIRST_VERSION_WITH_TOPIC_IDS;
      const committed = request.isolationLevel === READ_COMMITTED;
      const fetch = begin(sessions, request, byId);
      if (fetch.kind === 'error') return createFetchResponse({ errorCode: ErrorCode[fetch.error] });
      const targets = fetch.partitions.map((partition) => targetOf(partitions, partition, byId));
      const results = await fetches.fetch(targets, {
        minBytes: request.minBytes,
        maxBytes: request.maxBytes,
        maxWaitMs: request.maxWaitMs,
        isolation: committed ? 'read_committed' : 'read_uncommitted',
        onClosed: (action) => whenClosed(connection, action),
        ...(signing === undefined ? {} : { signReferences: signing(connection.principal) }),
      });
      return respond(fetch, targets, results, byId);
    },
  };
}

function begin(sessions: FetchSessions, request: FetchRequest, byId: boolean): FetchContext {
  const wanted: FetchRequestPartition[] = [];
  for (const { topic, topicId, partitions } of request.topics) {
    for (const partition of partitions) {
      wanted.push({
        topic: byId ? topicId : topic,
        partition: partition.partition,
        currentLeaderEpoch: partition.currentLeaderEpoch,
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

function targetOf(partitions: PartitionManager, request: FetchRequestPartition, byId: boolean): FetchTarget {
  const { topic, partition: index } = request;
  const partition = byId ? partitions.findById(topic, index) : partitions.find(topic, index);
  if (partition !== null) return { request, partition, errorCode: ErrorCode.NONE };
  const errorCode = byId
    ? partitions.errorOfMissingById(topic, index)
    : partitions.errorOfMissing(topic, index);
  return { request, partition, errorCode };
}

function whenClosed({ closed }: ConnectionContext, action: () => void): () => void {
  closed.addEventListener('abort', action);
  if (closed.aborted) action();
  return () => closed.removeEventListener('abort', action);
}

function respond(
  fetch: Exclude<FetchContext, { kind: 'error' }>,
  targets: readonly FetchTarget[],
  results: readonly FetchedPartition[],
  byId: boolean,
): FetchResponse {
  const { session } = fetch;
  if (fetch.kind === 'incremental' && fetch.session.epoch !== fetch.expectedEpoch) {
    for (const { records } of results)
      for (const piece of records) if (piece instanceof MemoryPiece) piece.memory.release();
    return createFetchResponse({ errorCode: ErrorCode.INVALID_FETCH_SESSION_EPOCH });
  }
  const responses: FetchableTopicResponse[] = [];
  for (const [i, result] of results.entries()) {
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
  const aborted = result.abortedTransactions;
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
