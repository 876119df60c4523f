import { directFetchRequest } from '../protocol/generated/direct-fetch-request.ts';
import {
  type DirectFetchResponse,
  directFetchResponse,
} from '../protocol/generated/direct-fetch-response.ts';
import { createFetchPartition, fetchRequest } from '../protocol/generated/fetch-request.ts';
import { fetchResponse } from '../protocol/generated/fetch-response.ts';
import { ZERO_UUID } from '../protocol/wire/types.ts';
import type { CallOptions, Connection } from './connection.ts';
import { byTopic } from './consumer-protocol.ts';
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
  /** What is fetched may come with its extents. */
  readonly extents?: {
    /** At most. */
    readonly bytes: number;
    /** Called once with what was fetched, before the call resolves: memory for all extents that follow, one behind the other. */
    readonly land: (fetched: FetchedData[]) => readonly Uint8Array[];
  };
}

/** What was fetched of one partition. */
export interface FetchedData {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  /** Transactions whose records are to be left out. */
  readonly aborted: readonly { readonly producerId: bigint; readonly firstOffset: bigint }[];
  /** Whole batches. */
  readonly records: Uint8Array | null;
  /** Bytes of the extents that follow, of the first reference batches of the records. */
  readonly extents: readonly number[];
}

const NO_EXTENTS: readonly number[] = [];

type CallWishes = Pick<CallOptions<unknown>, 'doing' | 'timeoutMs'>;

/** Fetches once: by DirectFetch, or by Fetch from gateways that know no other. Partitions of which there is nothing to tell may be left out. */
export function fetchRecords(
  connection: Connection,
  positions: readonly FetchPosition[],
  options: FetchOptions,
): Promise<FetchedData[]> {
  const call = { doing: 'fetch', timeoutMs: options.requestTimeoutMs + options.maxWaitMs };
  return connection.serves(directFetchRequest.apiKey)
    ? directFetch(connection, positions, options, call)
    : plainFetch(connection, positions, options, call);
}

async function directFetch(
  connection: Connection,
  positions: readonly FetchPosition[],
  { maxBytes, maxWaitMs, isolationLevel, extents }: FetchOptions,
  call: CallWishes,
): Promise<FetchedData[]> {
  const topics = byTopic(positions).map(([name, items]) => ({
    name,
    partitions: items.map(({ partition: index, fetchOffset }) => ({ index, fetchOffset })),
  }));
  const request = { maxWaitMs, maxBytes, isolationLevel, extentBytes: extents?.bytes ?? 0, topics };
  if (extents === undefined)
    return fetchedOf(await connection.call(directFetchRequest, directFetchResponse, request, call));
  let fetched: FetchedData[] = [];
  const land = (answer: DirectFetchResponse) => {
    // Until the extents have come, records are where the next bytes are received.
    fetched = fetchedOf(answer).map((one) => ({
      ...one,
      records: one.records && Uint8Array.from(one.records),
    }));
    return extents.land(fetched);
  };
  await connection.call(directFetchRequest, directFetchResponse, request, { ...call, land });
  return fetched;
}

function fetchedOf({ topics }: DirectFetchResponse): FetchedData[] {
  const fetched: FetchedData[] = [];
  for (const { name: topic, partitions } of topics)
    for (const { index: partition, errorCode, abortedTransactions: aborted, records, extents } of partitions)
      fetched.push({ topic, partition, errorCode, aborted, records: records as Uint8Array | null, extents });
  return fetched;
}

async function plainFetch(
  connection: Connection,
  positions: readonly FetchPosition[],
  { maxBytes, maxWaitMs, isolationLevel, extents }: FetchOptions,
  call: CallWishes,
): Promise<FetchedData[]> {
  const request = {
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
  };
  const answer = await connection.call(fetchRequest, fetchResponse, request, {
    ...call,
    version: FETCH_VERSION,
  });
  if (answer.errorCode !== 0) throw brokerError(answer.errorCode, null, 'fetch');
  const fetched = answer.responses.flatMap(({ topic, partitions }) =>
    partitions.map(({ partitionIndex: partition, errorCode, abortedTransactions, records }) => ({
      topic,
      partition,
      errorCode,
      aborted: abortedTransactions ?? [],
      records: records as Uint8Array | null,
      extents: NO_EXTENTS,
    })),
  );
  extents?.land(fetched);
  return fetched;
}
