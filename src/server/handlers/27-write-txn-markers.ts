import type { PartitionManager } from '../../broker/partitions/partition-manager.ts';
import type { TransactionPartitions } from '../../broker/transactions/ports.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type WritableTxnMarker,
  type WriteTxnMarkersRequest,
  writeTxnMarkersRequest,
} from '../../protocol/generated/write-txn-markers-request.ts';
import {
  createWriteTxnMarkersResponse,
  type WriteTxnMarkersResponse,
  writeTxnMarkersResponse,
} from '../../protocol/generated/write-txn-markers-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { errorCodeOf } from './error-code.ts';

/** From this transaction version on a marker has a higher epoch than the records that it ends (KIP-1228). */
const EPOCH_ABOVE_RECORDS = 2;

interface Dependencies {
  readonly partitions: PartitionManager;
  readonly markers: TransactionPartitions;
}

/** WriteTxnMarkers, versions 1 to 2: how an administrator ends a transaction that hangs in a partition. */
export function writeTxnMarkersHandler(
  deps: Dependencies,
): ApiHandler<WriteTxnMarkersRequest, WriteTxnMarkersResponse> {
  return {
    apiKey: ApiKey.WriteTxnMarkers,
    minVersion: 1,
    maxVersion: 2,
    request: writeTxnMarkersRequest,
    response: writeTxnMarkersResponse,
    async handle({ markers }) {
      const results = markers.map(async (marker) => ({
        producerId: marker.producerId,
        topics: await Promise.all(
          Array.from(partitionsOf(marker), async ([name, indexes]) => ({
            name,
            partitions: await Promise.all(
              Array.from(indexes, async (partitionIndex) => ({
                partitionIndex,
                errorCode: await write(deps, marker, name, partitionIndex),
              })),
            ),
          })),
        ),
      }));
      return createWriteTxnMarkersResponse({ markers: await Promise.all(results) });
    },
  };
}

/** Like Kafka's broker, a transaction is ended once in each partition, however often that is named. */
function partitionsOf({ topics }: WritableTxnMarker): Map<string, Set<number>> {
  const partitions = new Map<string, Set<number>>();
  for (const { name, partitionIndexes } of topics) {
    const indexes = partitions.get(name) ?? new Set<number>();
    partitions.set(name, indexes);
    for (const index of partitionIndexes) indexes.add(index);
  }
  return partitions;
}

async function write(
  { partitions, markers }: Dependencies,
  marker: WritableTxnMarker,
  topic: string,
  index: number,
): Promise<number> {
  const partition = partitions.find(topic, index);
  if (partition === null) return partitions.errorOfMissing(topic, index);
  const { producerId, producerEpoch, coordinatorEpoch, transactionVersion } = marker;
  const known = partition.log.producer(producerId);
  const isOpen = (known?.currentTxnFirstOffset ?? null) !== null;
  if (transactionVersion >= EPOCH_ABOVE_RECORDS && isOpen && producerEpoch <= known!.producerEpoch)
    return ErrorCode.INVALID_PRODUCER_EPOCH;
  try {
    const end = { producerId, producerEpoch, coordinatorEpoch, commit: marker.transactionResult };
    await markers.writeMarker(topic, index, end);
    return ErrorCode.NONE;
  } catch (error) {
    return errorCodeOf(error);
  }
}
