import { ErrorCode } from '../protocol/errors.ts';
import { listOffsetsRequest } from '../protocol/generated/list-offsets-request.ts';
import { listOffsetsResponse } from '../protocol/generated/list-offsets-response.ts';
import { offsetForLeaderEpochRequest } from '../protocol/generated/offset-for-leader-epoch-request.ts';
import { offsetForLeaderEpochResponse } from '../protocol/generated/offset-for-leader-epoch-response.ts';
import type { Cluster } from './cluster.ts';
import { type AssignedPartition, byTopic } from './consumer-protocol.ts';
import { brokerError, DirectError } from './errors.ts';

const LIST_OFFSETS_VERSION = 7;
const LEADER_EPOCH_VERSION = 4;
const EARLIEST = -2n;
const LATEST = -1n;

/** Where to begin in a partition. */
export type StartPosition =
  | 'earliest'
  | 'latest'
  /** The first event that is not older, in milliseconds since the epoch; behind the last when all are. */
  | { readonly timestamp: number }
  | { readonly offset: bigint };

/** 0: of all records; 1: only of committed ones. */
export type IsolationLevel = 0 | 1;

/** Kafka's are of 64 bits. */
export function isOffset(offset: unknown): offset is bigint {
  return typeof offset === 'bigint' && offset >= 0n && offset < 2n ** 63n;
}

/** @throws DirectError INVALID_ARGUMENT */
export function checkPosition(position: unknown, doing: string): void {
  if (position === 'earliest' || position === 'latest') return;
  const { timestamp, offset } = (position ?? {}) as { timestamp?: unknown; offset?: unknown };
  if (isOffset(offset)) return;
  if (Number.isSafeInteger(timestamp) && (timestamp as number) >= 0) return;
  const shown =
    typeof position === 'object' ? `{timestamp: ${timestamp}, offset: ${offset}}` : String(position);
  throw new DirectError('INVALID_ARGUMENT', `${shown} is no position`, {
    doing,
    todo: "give 'earliest', 'latest', {timestamp: milliseconds} or {offset: a bigint}",
  });
}

/** The offsets at which a position is in each of the partitions, in their order. */
export async function offsetsAt(
  cluster: Cluster,
  partitions: readonly AssignedPartition[],
  position: StartPosition,
  isolationLevel: IsolationLevel,
): Promise<bigint[]> {
  const found = await find(cluster, partitions, position, isolationLevel);
  return found.map((one) => {
    if (one instanceof DirectError) throw one;
    return one;
  });
}

/** As `offsetsAt`; null for partitions of which nobody can tell it now, because they have no leader, say: others need not wait for them. */
export async function offsetsKnownAt(
  cluster: Cluster,
  partitions: readonly AssignedPartition[],
  position: StartPosition,
  isolationLevel: IsolationLevel,
): Promise<(bigint | null)[]> {
  const found = await find(cluster, partitions, position, isolationLevel);
  return found.map((one) => {
    if (!(one instanceof DirectError)) return one;
    if (one.retriable) return null;
    throw one;
  });
}

/** An offset, or why the gateway does not tell it. */
type Found = bigint | DirectError;

async function find(
  cluster: Cluster,
  partitions: readonly AssignedPartition[],
  position: StartPosition,
  isolationLevel: IsolationLevel,
): Promise<Found[]> {
  checkPosition(position, 'find offsets');
  if (typeof position === 'object' && 'offset' in position) return partitions.map(() => position.offset);
  const timestamp =
    position === 'earliest' ? EARLIEST : position === 'latest' ? LATEST : BigInt(position.timestamp);
  const found = await listOffsets(cluster, partitions, timestamp, isolationLevel);
  const isMissing = (one: Found) => typeof one === 'bigint' && one < 0n;
  const missing = partitions.filter((_, i) => isMissing(found[i]!));
  if (missing.length === 0) return found;
  // Nothing is as new as the timestamp: what comes will be.
  const ends = await listOffsets(cluster, missing, LATEST, isolationLevel);
  return found.map((one, i) => (isMissing(one) ? ends[missing.indexOf(partitions[i]!)]! : one));
}

/** -1 where nothing is as new as the timestamp. */
async function listOffsets(
  cluster: Cluster,
  partitions: readonly AssignedPartition[],
  timestamp: bigint,
  isolationLevel: IsolationLevel,
): Promise<Found[]> {
  const found = new Map<string, Found>();
  for (const [node, ones] of await cluster.byLeader(partitions, (one) => one)) {
    const doing = `find offsets of ${ones[0]!.topic}${ones.length > 1 ? ' and others' : ''}`;
    const topics = byTopic(ones).map(([name, items]) => ({
      name,
      partitions: items.map(({ partition }) => ({
        partitionIndex: partition,
        currentLeaderEpoch: -1,
        timestamp,
      })),
    }));
    const connection = await cluster.connection(node, 'control');
    const answer = await connection.call(
      listOffsetsRequest,
      listOffsetsResponse,
      { replicaId: -1, isolationLevel, topics },
      { version: LIST_OFFSETS_VERSION, doing },
    );
    for (const topic of answer.topics)
      for (const { partitionIndex, errorCode, offset } of topic.partitions)
        found.set(
          `${topic.name} ${partitionIndex}`,
          errorCode === ErrorCode.NONE ? offset : brokerError(errorCode, null, doing),
        );
  }
  return partitions.map(
    ({ topic, partition }) =>
      found.get(`${topic} ${partition}`) ??
      new DirectError('BROKER', 'an answer without the partition', {
        doing: `find offsets of ${topic}-${partition}`,
      }),
  );
}

/** Behind the last record that a partition's log has of this leader epoch or those before; null when there is none. */
export async function endOfEpoch(
  cluster: Cluster,
  { topic, partition }: AssignedPartition,
  leaderEpoch: number,
): Promise<bigint | null> {
  const doing = `find the end of ${topic}-${partition}`;
  const node = await cluster.leaderOf(topic, partition);
  const connection = await cluster.connection(node, 'control');
  const partitions = [{ partition, currentLeaderEpoch: -1, leaderEpoch }];
  const answer = await connection.call(
    offsetForLeaderEpochRequest,
    offsetForLeaderEpochResponse,
    { replicaId: -1, topics: [{ topic, partitions }] },
    { version: LEADER_EPOCH_VERSION, doing },
  );
  const found = answer.topics[0]?.partitions[0];
  if (found === undefined) throw new DirectError('BROKER', 'an answer without the partition', { doing });
  if (found.errorCode !== ErrorCode.NONE) throw brokerError(found.errorCode, null, doing);
  return found.endOffset >= 0n ? found.endOffset : null;
}
