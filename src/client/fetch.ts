import { createFetchPartition, fetchRequest } from '../protocol/generated/fetch-request.ts';
import { type FetchResponsePartitionData, fetchResponse } from '../protocol/generated/fetch-response.ts';
import { ZERO_UUID } from '../protocol/wire/types.ts';
import type { Connection } from './connection.ts';
import { brokerError } from './errors.ts';

/** The last that names topics. */
const FETCH_VERSION = 12;

export interface FetchPosition {
  readonly topic: string;
  readonly partition: number;
  readonly fetchOffset: bigint;
}

export interface FetchOptions {
  readonly maxBytes: number;
  /** How long the gateway may wait for records. */
  readonly maxWaitMs: number;
  /** 1: committed records only. */
  readonly isolationLevel: number;
  readonly requestTimeoutMs: number;
}

/** One Fetch, without a session. */
export async function fetchRecords(
  connection: Connection,
  positions: readonly FetchPosition[],
  { maxBytes, maxWaitMs, isolationLevel, requestTimeoutMs }: FetchOptions,
): Promise<[topic: string, data: FetchResponsePartitionData][]> {
  const answer = await connection.call(
    fetchRequest,
    fetchResponse,
    {
      replicaId: -1,
      maxWaitMs,
      minBytes: 1,
      maxBytes,
      isolationLevel,
      sessionId: 0,
      sessionEpoch: -1,
      topics: positions.map(({ topic, partition, fetchOffset }) => ({
        topic,
        topicId: ZERO_UUID,
        partitions: [createFetchPartition({ partition, fetchOffset, partitionMaxBytes: maxBytes })],
      })),
    },
    { version: FETCH_VERSION, doing: 'fetch', timeoutMs: requestTimeoutMs + maxWaitMs },
  );
  if (answer.errorCode !== 0) throw brokerError(answer.errorCode, null, 'fetch');
  return answer.responses.flatMap(({ topic, partitions }) =>
    partitions.map((data): [string, FetchResponsePartitionData] => [topic, data]),
  );
}
