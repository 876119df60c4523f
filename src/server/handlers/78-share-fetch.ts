import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import type { FetchedShare, ShareFetchCall, ShareService } from '../../broker/share/share-service.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode, errorInfo } from '../../protocol/errors.ts';
import { type ShareFetchRequest, shareFetchRequest } from '../../protocol/generated/share-fetch-request.ts';
import {
  createShareFetchableTopicResponse,
  createShareFetchResponse,
  createShareFetchResponsePartitionData,
  type ShareFetchResponse,
  shareFetchResponse,
} from '../../protocol/generated/share-fetch-response.ts';
import type { ApiHandler, RequestContext } from '../net/handler.ts';
import { countUse } from '../net/throttling.ts';
import { mostOf } from './fetched.ts';
import { byTopic, leaderFor, requestProblem } from './share-requests.ts';

/** Kafka's acquire modes: whole batches, or no record more than was asked for. */
const RECORD_LIMIT = 1;

/**
 * ShareFetch 1-2 (KIP-932): long poll of a member of a share group for records that nobody else has, with what it says of those that it
 * had. Version 2 may limit records strictly and renew locks.
 */
export function shareFetchHandler(deps: {
  service: ShareService;
  quota: RateQuota;
}): ApiHandler<ShareFetchRequest, ShareFetchResponse> {
  const { service, quota } = deps;
  return {
    apiKey: ApiKey.ShareFetch,
    minVersion: 1,
    maxVersion: 2,
    request: shareFetchRequest,
    response: shareFetchResponse,
    async handle(request, context) {
      const problem = requestProblem(request) ?? fetchProblem(request);
      if (problem !== null) return createShareFetchResponse(problem);
      const fetched = await service.fetch(callOf(request, context, quota));
      if (typeof fetched === 'number')
        return createShareFetchResponse({ errorCode: fetched, errorMessage: errorInfo(fetched).message });
      return createShareFetchResponse({
        // What is acquired has to go out, however much it is.
        throttleTimeMs: quota.active ? countUse(quota, context, bytesOf(fetched)) : 0,
        acquisitionLockTimeoutMs: service.lockDurationMs(request.groupId!),
        responses: byTopic(fetched, partitionData, (topicId, partitions) =>
          createShareFetchableTopicResponse({ topicId, partitions }),
        ),
      });
    },
  };
}

function fetchProblem(request: ShareFetchRequest) {
  const { isRenewAck, maxBytes, maxRecords, maxWaitMs, minBytes, shareSessionEpoch } = request;
  const refuse = (errorMessage: string) => ({ errorCode: ErrorCode.INVALID_REQUEST, errorMessage });
  if (isRenewAck && (maxBytes !== 0 || minBytes !== 0 || maxRecords !== 0 || maxWaitMs !== 0))
    return refuse('MaxBytes, MinBytes, MaxRecords and MaxWaitMs must be 0 when records are renewed.');
  if (shareSessionEpoch === 0 && acknowledgementsOf(request).length > 0)
    return refuse('Acknowledge data is not permitted in the first request of a share session.');
  return null;
}

function callOf(request: ShareFetchRequest, context: RequestContext, quota: RateQuota): ShareFetchCall {
  const { topics, forgottenTopicsData } = request;
  const { connection } = context;
  return {
    groupId: request.groupId!,
    memberId: request.memberId!,
    sessionEpoch: request.shareSessionEpoch,
    closed: connection.closed,
    isRenewal: request.isRenewAck,
    maxWaitMs: request.maxWaitMs,
    minBytes: request.minBytes,
    // Who has to wait for long cannot acknowledge in time what it got.
    maxBytes: quota.active ? Math.min(request.maxBytes, mostOf(quota, context)) : request.maxBytes,
    maxRecords: request.isRenewAck ? 0 : request.maxRecords,
    isStrict: request.shareAcquireMode === RECORD_LIMIT,
    added: topics.flatMap(({ topicId, partitions }) =>
      partitions.map(({ partitionIndex: partition }) => ({ topicId, partition })),
    ),
    forgotten: forgottenTopicsData.flatMap(({ topicId, partitions }) =>
      partitions.map((partition) => ({ topicId, partition })),
    ),
    acknowledgements: acknowledgementsOf(request),
  };
}

function acknowledgementsOf({ topics }: ShareFetchRequest) {
  return topics.flatMap(({ topicId, partitions }) =>
    partitions
      .filter(({ acknowledgementBatches }) => acknowledgementBatches.length > 0)
      .map(({ partitionIndex: partition, acknowledgementBatches: batches }) => ({
        topicId,
        partition,
        batches,
      })),
  );
}

function bytesOf(fetched: readonly FetchedShare[]): number {
  let bytes = 0;
  for (const { records } of fetched) for (const { byteLength } of records) bytes += byteLength;
  return bytes;
}

function partitionData(share: FetchedShare) {
  const { partition: partitionIndex, errorCode, errorMessage, acknowledgeErrorCode } = share;
  const { acknowledgeErrorMessage, records, acquired } = share;
  return createShareFetchResponsePartitionData({
    ...{ partitionIndex, errorCode, errorMessage, acknowledgeErrorCode, acknowledgeErrorMessage, records },
    acquiredRecords: [...acquired],
    currentLeader: leaderFor(errorCode),
  });
}
