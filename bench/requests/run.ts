// What small requests cost the gateway, by thread: Produce and Fetch, of one partition and of a hundred. See README.md.
//
//   npm run build && node dist/bench/requests/run.js [rounds] [seconds] [case]
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '../../src/client/connection.ts';
import { requestFrame } from '../../src/client/request-frame.ts';
import {
  createCreatableTopic,
  createTopicsRequest,
} from '../../src/protocol/generated/create-topics-request.ts';
import { createTopicsResponse } from '../../src/protocol/generated/create-topics-response.ts';
import {
  createFetchPartition,
  createFetchTopic,
  type FetchRequest,
  fetchRequest,
} from '../../src/protocol/generated/fetch-request.ts';
import { fetchResponse } from '../../src/protocol/generated/fetch-response.ts';
import {
  createPartitionProduceData,
  createTopicProduceData,
  type ProduceRequest,
  produceRequest,
} from '../../src/protocol/generated/produce-request.ts';
import { produceResponse } from '../../src/protocol/generated/produce-response.ts';
import { buildBatch } from '../../src/protocol/records/builder.ts';
import type { MessageCodec } from '../../src/protocol/wire/codec.ts';
import { median } from '../measure/statistics.ts';
import { variants } from '../systems/deployments.ts';
import { Kafabric } from '../systems/kafabric.ts';
import { dial, splitAddress } from '../systems/wire.ts';

const rounds = Number(process.argv[2] ?? 5);
const seconds = Number(process.argv[3] ?? 2);
/** Only cases whose name contains this. */
const only = process.argv[4] ?? '';
const WARM_SECONDS = 4;
const RECORD = { key: null, value: Buffer.alloc(100, 7), timestamp: BigInt(Date.now()) };
/** Room for one such batch of each partition, and not for two. */
const ONE_BATCH_BYTES = 250;
const LENGTH_BYTES = 4;

/** The newest that names topics, of Produce and of Fetch. */
const VERSION = 12;
const TIMEOUT_MS = 30_000;

interface Case {
  readonly api: 'Produce' | 'Fetch';
  readonly partitions: number;
  readonly connections: number;
}

const all: readonly Case[] = [
  { api: 'Produce', partitions: 1, connections: 64 },
  { api: 'Produce', partitions: 100, connections: 4 },
  { api: 'Fetch', partitions: 1, connections: 64 },
  { api: 'Fetch', partitions: 100, connections: 4 },
];
const cases = all.filter((one) => nameOf(one).includes(only));

function nameOf({ api, partitions, connections }: Case): string {
  return `${api}, ${partitions} partition${partitions > 1 ? 's' : ''}, ${connections} connections`;
}

/** Sends a frame and resolves to the whole answer. */
function ask(socket: Socket, frame: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    const onData = (part: Buffer) => {
      parts.push(part);
      bytes += part.byteLength;
      const whole = parts.length === 1 ? part : Buffer.concat(parts);
      if (bytes < LENGTH_BYTES || bytes < LENGTH_BYTES + whole.readInt32BE()) return;
      socket.off('data', onData).off('close', onClose);
      resolve(whole);
    };
    const onClose = () => reject(new Error('the gateway closed the connection'));
    socket.on('data', onData).on('close', onClose);
    socket.write(frame);
  });
}

function frameOf<Req>(codec: MessageCodec<Req>, request: Partial<Req>): Uint8Array {
  return Buffer.concat(requestFrame(codec, request, VERSION, 1, 'bench'));
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

/** One record for each partition. */
function produceOf(topic: string, partitions: number): Partial<ProduceRequest> {
  const records = buildBatch([RECORD]);
  const partitionData = numbers(partitions).map((index) => createPartitionProduceData({ index, records }));
  const topicData = [createTopicProduceData({ name: topic, partitionData })];
  return { acks: 1, timeoutMs: TIMEOUT_MS, topicData };
}

/** The first record of each partition. */
function fetchOf(topic: string, partitions: number): Partial<FetchRequest> {
  const of = numbers(partitions).map((partition) =>
    createFetchPartition({ partition, fetchOffset: 0n, partitionMaxBytes: ONE_BATCH_BYTES }),
  );
  return {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 1 << 20,
    topics: [createFetchTopic({ topic, partitions: of })],
  };
}

/** Makes a topic with a record in each partition. Resolves to the frame that the connections of a case send again and again, once it was answered well. */
async function prepare(
  connection: Connection,
  { api, partitions }: Case,
  topic: string,
): Promise<Uint8Array> {
  const topics = [createCreatableTopic({ name: topic, numPartitions: partitions, replicationFactor: 1 })];
  await connection.call(createTopicsRequest, createTopicsResponse, { topics, timeoutMs: TIMEOUT_MS });
  const [produce, fetch] = [produceOf(topic, partitions), fetchOf(topic, partitions)];
  const options = { version: VERSION };
  const { responses } = await connection.call(produceRequest, produceResponse, produce, options);
  check('Produce', partitions, responses[0]!.partitionResponses);
  const fetched = await connection.call(fetchRequest, fetchResponse, fetch, options);
  const found = fetched.responses[0]!.partitions;
  check(
    'Fetch',
    partitions,
    found.filter(({ records }) => records instanceof Uint8Array && records.byteLength > 0),
  );
  return api === 'Produce' ? frameOf(produceRequest, produce) : frameOf(fetchRequest, fetch);
}

/** @throws Error unless so many were answered well */
function check(api: string, partitions: number, answers: readonly { errorCode: number }[]): void {
  const good = answers.filter(({ errorCode }) => errorCode === 0).length;
  if (good !== partitions) throw new Error(`${api}: ${good} of ${partitions} partitions answered well`);
}

/** Microseconds on a processor so far, by the thread's name; JavaScript's own has the process's id. */
function threadTimes(pid: number): Map<string, number> {
  const times = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const name =
      thread === String(pid) ? 'JavaScript' : readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').trim();
    const [ns] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    times.set(name, (times.get(name) ?? 0) + Number(ns) / 1000);
  }
  return times;
}

interface Cost {
  readonly perSecond: number;
  /** Microseconds of JavaScript's thread, and of all. */
  readonly javaScript: number;
  readonly all: number;
}

async function load(sockets: readonly Socket[], frame: Uint8Array, forSeconds: number): Promise<number> {
  const until = performance.now() + forSeconds * 1000;
  let requests = 0;
  await Promise.all(
    sockets.map(async (socket) => {
      for (; performance.now() < until; requests++) await ask(socket, frame);
    }),
  );
  return requests;
}

async function measured(system: Kafabric, sockets: readonly Socket[], frame: Uint8Array): Promise<Cost> {
  const before = threadTimes(system.pid!);
  const from = performance.now();
  const requests = await load(sockets, frame, seconds);
  const perSecond = (requests * 1000) / (performance.now() - from);
  const after = threadTimes(system.pid!);
  const of = (name: string) => (after.get(name)! - (before.get(name) ?? 0)) / requests;
  return {
    perSecond,
    javaScript: of('JavaScript'),
    all: [...after.keys()].reduce((sum, name) => sum + of(name), 0),
  };
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'kafabric-requests-'));
  const system = new Kafabric(folder, 'kafabric', variants.kafabric!, {});
  const costs = cases.map((): Cost[] => []);
  try {
    await system.start('os');
    const address = splitAddress(system.bootstrap);
    const timeouts = { connectTimeoutMs: TIMEOUT_MS, requestTimeoutMs: TIMEOUT_MS };
    const connection = await Connection.open({ ...address, clientId: 'bench', ...timeouts });
    const prepared = await Promise.all(
      cases.map(async (one, i) => ({
        frame: await prepare(connection, one, `requests-${i}`),
        sockets: await Promise.all(numbers(one.connections).map(() => dial(system.bootstrap))),
      })),
    );
    connection.close();
    for (const { sockets, frame } of prepared) await load(sockets, frame, WARM_SECONDS);
    for (let round = 0; round < rounds; round++)
      for (const [i, { sockets, frame }] of prepared.entries()) {
        await sleep(200);
        costs[i]!.push(await measured(system, sockets, frame));
      }
    for (const { sockets } of prepared) for (const socket of sockets) socket.destroy();
  } finally {
    await system.stop('SIGTERM');
    rmSync(folder, { recursive: true, force: true });
  }
  print(costs);
}

function print(costs: readonly (readonly Cost[])[]): void {
  console.log('| request | 1/s | JavaScript, us | all threads, us |\n|---|---|---|---|');
  for (const [i, one] of cases.entries()) {
    const of = (figure: keyof Cost) => {
      const values = costs[i]!.map((cost) => cost[figure]);
      return `${median(values).toFixed(1)} (${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`;
    };
    console.log(`| ${nameOf(one)} | ${of('perSecond')} | ${of('javaScript')} | ${of('all')} |`);
  }
}

await main();
