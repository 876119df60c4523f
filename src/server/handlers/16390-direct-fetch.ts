import type { DirectService } from '../../broker/direct/direct-service.ts';
import { extentsOf } from '../../broker/direct/fetched-extents.ts';
import type { FetchedPartition, FetchService, FetchTarget } from '../../broker/partitions/fetch-service.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DirectFetchRequest,
  directFetchRequest,
} from '../../protocol/generated/direct-fetch-request.ts';
import {
  createDirectFetchPartitionResponse,
  createDirectFetchTopicResponse,
  type DirectFetchPartitionResponse,
  type DirectFetchResponse,
  type DirectFetchTopicResponse,
  directFetchResponse,
} from '../../protocol/generated/direct-fetch-response.ts';
import { soon } from '../../util/soon.ts';
import type { ApiHandler, RequestContext } from '../net/handler.ts';
import { countUse } from '../net/throttling.ts';
import {
  countFetched,
  mostOf,
  READ_COMMITTED,
  type ReferenceSigning,
  release,
  targetOf,
  UNLIMITED,
} from './fetched.ts';

interface DirectFetchDependencies {
  direct: DirectService;
  partitions: PartitionManager;
  fetches: FetchService;
  quota: RateQuota;
  signing: ReferenceSigning;
}

/** With what goes out behind the message, and what of the connection's room it holds until then. */
interface Answer extends DirectFetchResponse {
  data: readonly MemoryPiece[];
  heldBytes: number;
}

/**
 * DirectFetch: a Fetch without a session. Reference batches are returned as they are, signed; extents follow them where the client takes them: it
 * need not ask for that data.
 */
export function directFetchHandler(
  dependencies: DirectFetchDependencies,
): ApiHandler<DirectFetchRequest, DirectFetchResponse> {
  const { partitions, fetches, quota, signing } = dependencies;
  return {
    apiKey: directFetchRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: directFetchRequest,
    response: directFetchResponse,
    hurries: true,
    trailer: (response) => (response as Answer).data,
    heldBytes: (response) => (response as Answer).heldBytes,
    handle(request, context) {
      const { maxBytes, maxWaitMs, isolationLevel } = request;
      const { connection } = context;
      const targets = targetsOf(partitions, request);
      const fetched = fetches.fetch(targets, {
        minBytes: 1,
        maxBytes: quota.active ? Math.min(maxBytes, mostOf(quota, context)) : maxBytes,
        maxWaitMs,
        isolation: isolationLevel === READ_COMMITTED ? 'read_committed' : 'read_uncommitted',
        onClosed: (action) => connection.onClosed(action),
        signReferences: signing(connection.principal),
      });
      return soon(fetched, (results) => respond(dependencies, request, context, targets, results));
    },
  };
}

function targetsOf(manager: PartitionManager, { topics, maxBytes }: DirectFetchRequest): FetchTarget[] {
  const targets: FetchTarget[] = [];
  for (const { name: topic, partitions } of topics)
    for (const { index: partition, fetchOffset } of partitions) {
      const wanted = {
        topic,
        partition,
        currentLeaderEpoch: -1,
        fetchOffset,
        lastFetchedEpoch: -1,
        logStartOffset: -1n,
        maxBytes,
      };
      targets.push(targetOf(manager, wanted, false));
    }
  return targets;
}

function respond(
  { direct, quota }: DirectFetchDependencies,
  { extentBytes }: DirectFetchRequest,
  context: RequestContext,
  targets: readonly FetchTarget[],
  results: readonly FetchedPartition[],
): Answer {
  const { throttleMs, isHeldBack } = quota.active ? countFetched(quota, context, results) : UNLIMITED;
  if (isHeldBack) {
    release(results);
    return { throttleTimeMs: throttleMs, topics: [], data: [], heldBytes: 0 };
  }
  let throttleTimeMs = throttleMs;
  const { outstanding } = context.connection;
  const data: MemoryPiece[] = [];
  // Those of an answer that the client has not taken yet hold memory.
  let room = outstanding.bytes === 0 && !outstanding.ended ? Math.min(extentBytes, outstanding.maxBytes) : 0;
  const topics: DirectFetchTopicResponse[] = [];
  for (let i = 0; i < results.length; i++) {
    const { partition: source, request } = targets[i]!;
    const partition = answerOf(targets[i]!, results[i]!);
    if (partition === null) continue;
    if (room > 0 && source !== null) {
      const extents = extentsOf(source.payloads, results[i]!.records, room);
      partition.extents = extents.map(({ byteLength }) => byteLength);
      data.push(...extents);
      room -= bytesOf(extents);
    }
    addTo(topics, request.topic, partition);
  }
  const heldBytes = bytesOf(data);
  if (heldBytes > 0) {
    // There is room, as nothing is held.
    void outstanding.acquire(heldBytes);
    direct.gets.countFetched(data.length, heldBytes);
    if (quota.active) throttleTimeMs = Math.max(throttleMs, countUse(quota, context, heldBytes));
  }
  return { throttleTimeMs, topics, data, heldBytes };
}

/** Null when there is nothing to tell. */
function answerOf(
  { request: { partition: index } }: FetchTarget,
  { errorCode, records, recordBytes, abortedTransactions }: FetchedPartition,
): DirectFetchPartitionResponse | null {
  if (errorCode === ErrorCode.NONE && recordBytes === 0) return null;
  return createDirectFetchPartitionResponse({
    index,
    errorCode,
    abortedTransactions: abortedTransactions ?? [],
    records,
  });
}

/** Neighbours of a topic share an entry. */
function addTo(
  topics: DirectFetchTopicResponse[],
  name: string,
  partition: DirectFetchPartitionResponse,
): void {
  const last = topics[topics.length - 1];
  if (last?.name === name) last.partitions.push(partition);
  else topics.push(createDirectFetchTopicResponse({ name, partitions: [partition] }));
}

function bytesOf(pieces: readonly MemoryPiece[]): number {
  let bytes = 0;
  for (const { byteLength } of pieces) bytes += byteLength;
  return bytes;
}
