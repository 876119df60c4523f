import type * as Kafka from '@platformatic/kafka';
import { byTopic } from '../../client/consumer-protocol.ts';
import { StreamsError } from '../errors.ts';
import { nameOf, type RawRecord, type TopicPartition } from '../records.ts';
import type { Cluster } from './cluster.ts';
import { isFatal, isRecoverable } from './errors.ts';

const READ_COMMITTED = 1;
const CONTROL = 1 << 5;
const TRANSACTIONAL = 1 << 4;
const LOG_APPEND_TIME = 1 << 3;
const ABORT_MARKER = 0;
const NO_SESSION = -1;

export interface ReadOptions {
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  readonly maxPartitionBytes: number;
}

export interface ReadPosition extends TopicPartition {
  readonly offset: number;
}

/** What a fetch brought of a partition. */
export interface Fetched extends TopicPartition {
  /** Kafka's name of the error, null if there is none. */
  readonly error: string | null;
  readonly records: RawRecord[];
  /** Where reading goes on: behind what was left out, too. */
  readonly nextOffset: number;
  /** Whether that is the end of what is committed. */
  readonly atEnd: boolean;
}

/** Reads committed records of partitions that one broker leads; waits at that broker when there are none. */
export async function fetchFrom(
  cluster: Cluster,
  leader: number,
  positions: readonly ReadPosition[],
  options: ReadOptions,
): Promise<Fetched[]> {
  const names = new Map<string, string>();
  const topics: { topicId: string; partitions: Kafka.fetchV17.FetchRequestPartition[] }[] = [];
  for (const [topic, items] of byTopic(positions)) {
    const { id } = await cluster.topic(topic);
    names.set(id, topic);
    const partitions = items.map(({ partition, offset }) => ({
      partition,
      currentLeaderEpoch: -1,
      fetchOffset: BigInt(offset),
      lastFetchedEpoch: -1,
      partitionMaxBytes: options.maxPartitionBytes,
    }));
    topics.push({ topicId: id, partitions });
  }
  const { maxWaitMs, maxBytes } = options;
  const { fetch } = cluster.apis;
  const answer = await cluster
    .callNode(leader, fetch, maxWaitMs, 1, maxBytes, READ_COMMITTED, 0, NO_SESSION, topics, [], '')
    .catch((cause: Error) => {
      const isKnown = cause instanceof StreamsError || isRecoverable(cause) || isFatal(cause);
      throw isKnown || cluster.closed ? cause : unreadable([...names.values()], cause);
    });
  cluster.check(answer.errorCode, 'fetch');
  const asked = new Map(positions.map((position) => [nameOf(position), position]));
  const fetched: Fetched[] = [];
  for (const { topicId, partitions } of answer.responses) {
    const topic = names.get(topicId);
    for (const answered of partitions) {
      const position = topic === undefined ? undefined : asked.get(`${topic}-${answered.partitionIndex}`);
      if (position !== undefined) fetched.push(committedOf(cluster, position, answered));
    }
  }
  return fetched;
}

function unreadable(topics: readonly string[], cause: Error): StreamsError {
  return new StreamsError(
    'BROKER',
    `what was fetched of ${topics.join(', ')} cannot be read: ${cause.message}; topics that Java compresses with Snappy are not read here`,
    cause,
  );
}

/**
 * Leaves out what transactions have aborted, as Kafka's consumer does. (The client's own consumer, in 1.35, gives out aborted records when
 * the marker that says so is in a later answer.)
 */
function committedOf(
  cluster: Cluster,
  { topic, partition, offset }: ReadPosition,
  answer: Kafka.fetchV17.FetchResponsePartition,
): Fetched {
  const error = answer.errorCode === 0 ? null : cluster.idOf(answer.errorCode);
  const aborted = [...(answer.abortedTransactions ?? [])].sort((a, b) =>
    Number(a.firstOffset - b.firstOffset),
  );
  const aborting = new Set<bigint>();
  const records: RawRecord[] = [];
  let nextOffset = offset;
  let begun = 0;
  for (const batch of answer.records ?? []) {
    const first = Number(batch.firstOffset);
    const last = first + batch.lastOffsetDelta;
    while (begun < aborted.length && Number(aborted[begun]!.firstOffset) <= last)
      aborting.add(aborted[begun++]!.producerId);
    if (last >= nextOffset) nextOffset = last + 1;
    if (batch.attributes & CONTROL) {
      if (batch.records[0]?.key?.readInt16BE(2) === ABORT_MARKER) aborting.delete(batch.producerId);
      continue;
    }
    if (batch.attributes & TRANSACTIONAL && aborting.has(batch.producerId)) continue;
    const base = Number(batch.firstTimestamp);
    // The broker's time is that of the whole batch; the producer's stay beneath.
    const appended = batch.attributes & LOG_APPEND_TIME ? Number(batch.maxTimestamp) : null;
    for (const { offsetDelta, timestampDelta, key, value, headers } of batch.records) {
      if (first + offsetDelta < offset) continue;
      records.push({
        topic,
        partition,
        offset: first + offsetDelta,
        key,
        value,
        timestamp: appended ?? base + Number(timestampDelta),
        headers: headers.map(([name, content]) => [name?.toString() ?? '', content] as const),
      });
    }
  }
  return {
    topic,
    partition,
    error,
    records,
    nextOffset,
    atEnd: nextOffset >= Number(answer.lastStableOffset),
  };
}
