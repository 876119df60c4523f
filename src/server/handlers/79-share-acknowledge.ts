import type { PartitionOutcome, ShareService } from '../../broker/share/share-service.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { errorInfo } from '../../protocol/errors.ts';
import {
  type ShareAcknowledgeRequest,
  shareAcknowledgeRequest,
} from '../../protocol/generated/share-acknowledge-request.ts';
import {
  createShareAcknowledgeResponse,
  createShareAcknowledgeResponsePartitionData,
  createShareAcknowledgeTopicResponse,
  type ShareAcknowledgeResponse,
  shareAcknowledgeResponse,
} from '../../protocol/generated/share-acknowledge-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { byTopic, leaderFor, requestProblem } from './share-requests.ts';

/** ShareAcknowledge 1-2 (KIP-932): what a member says of records that it has; answered when that is written. */
export function shareAcknowledgeHandler(deps: {
  service: ShareService;
}): ApiHandler<ShareAcknowledgeRequest, ShareAcknowledgeResponse> {
  const { service } = deps;
  return {
    apiKey: ApiKey.ShareAcknowledge,
    minVersion: 1,
    maxVersion: 2,
    request: shareAcknowledgeRequest,
    response: shareAcknowledgeResponse,
    async handle(request, { connection }) {
      const problem = requestProblem(request);
      if (problem !== null) return createShareAcknowledgeResponse(problem);
      const call = {
        groupId: request.groupId!,
        memberId: request.memberId!,
        sessionEpoch: request.shareSessionEpoch,
        closed: connection.closed,
        isRenewal: request.isRenewAck,
      };
      // As in Kafka nothing is told of partitions of which nothing is said.
      const acknowledgements = request.topics.flatMap(({ topicId, partitions }) =>
        partitions
          .filter(({ acknowledgementBatches }) => acknowledgementBatches.length > 0)
          .map(({ partitionIndex: partition, acknowledgementBatches: batches }) => ({
            topicId,
            partition,
            batches,
          })),
      );
      const outcomes = await service.acknowledge(call, acknowledgements);
      if (typeof outcomes === 'number')
        return createShareAcknowledgeResponse({
          errorCode: outcomes,
          errorMessage: errorInfo(outcomes).message,
        });
      return createShareAcknowledgeResponse({
        acquisitionLockTimeoutMs: service.lockDurationMs(call.groupId),
        responses: byTopic(outcomes, partitionData, (topicId, partitions) =>
          createShareAcknowledgeTopicResponse({ topicId, partitions }),
        ),
      });
    },
  };
}

function partitionData({ partition: partitionIndex, errorCode, errorMessage }: PartitionOutcome) {
  const currentLeader = leaderFor(errorCode);
  return createShareAcknowledgeResponsePartitionData({
    ...{ partitionIndex, errorCode, errorMessage, currentLeader },
  });
}
