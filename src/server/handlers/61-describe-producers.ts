import { lastSequence } from '../../backend/log/producer-entry.ts';
import { topicNameProblem } from '../../broker/metadata/topic-name.ts';
import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import { ErrorCode, errorInfo } from '../../protocol/errors.ts';
import {
  type DescribeProducersRequest,
  describeProducersRequest,
} from '../../protocol/generated/describe-producers-request.ts';
import {
  createDescribeProducersResponse,
  createPartitionResponse,
  type DescribeProducersResponse,
  describeProducersResponse,
  type PartitionResponse,
} from '../../protocol/generated/describe-producers-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** DescribeProducers, version 0: the producers whose state a partition remembers, and the transactions that they have open. */
export function describeProducersHandler({
  partitions,
}: {
  partitions: PartitionManager;
}): ApiHandler<DescribeProducersRequest, DescribeProducersResponse> {
  return {
    apiKey: 61,
    minVersion: 0,
    maxVersion: 0,
    request: describeProducersRequest,
    response: describeProducersResponse,
    handle({ topics }) {
      return createDescribeProducersResponse({
        topics: Array.from(wantedOf(topics), ([name, indexes]) => ({
          name,
          partitions: Array.from(indexes, (index) => describe(partitions, name, index)),
        })),
      });
    },
  };
}

/** The partitions that are asked for, each once, by topic. */
function wantedOf(topics: DescribeProducersRequest['topics']): Map<string, Set<number>> {
  const byTopic = new Map<string, Set<number>>();
  for (const { name, partitionIndexes } of topics) {
    const indexes = byTopic.get(name) ?? new Set();
    byTopic.set(name, indexes);
    for (const index of partitionIndexes) indexes.add(index);
  }
  return byTopic;
}

function describe(partitions: PartitionManager, topic: string, partitionIndex: number): PartitionResponse {
  const problem = topicNameProblem(topic);
  if (problem !== null) {
    const errorCode = ErrorCode.INVALID_TOPIC_EXCEPTION;
    return createPartitionResponse({ partitionIndex, errorCode, errorMessage: problem });
  }
  const partition = partitions.find(topic, partitionIndex);
  if (partition === null) {
    const errorCode = partitions.errorOfMissing(topic, partitionIndex);
    return createPartitionResponse({ partitionIndex, errorCode, errorMessage: errorInfo(errorCode).message });
  }
  return createPartitionResponse({
    partitionIndex,
    activeProducers: partition.log.activeProducers().map((producer) => ({
      producerId: producer.producerId,
      producerEpoch: producer.producerEpoch,
      lastSequence: lastSequence(producer),
      lastTimestamp: producer.lastTimestamp,
      coordinatorEpoch: producer.coordinatorEpoch,
      currentTxnStartOffset: producer.currentTxnFirstOffset ?? -1n,
    })),
  });
}
