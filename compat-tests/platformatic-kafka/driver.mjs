// Drives @platformatic/kafka for the compatibility suites; the protocol is in ../harness/driver-loop.ts.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join as joinPath } from 'node:path';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';
import { Admin, Consumer, Producer } from '@platformatic/kafka';
import { describe, Progress, serve } from '../../dist/compat-tests/harness/driver-loop.js';
import { plannedValue } from '../../dist/compat-tests/harness/payload.js';

const here = dirname(fileURLToPath(import.meta.url));
const manifest = joinPath(here, 'node_modules/@platformatic/kafka/package.json');
const { version } = createRequire(import.meta.url)(manifest);
// Of brokers that speak TLS.
const { KAFABRIC_TEST_CA: ca, KAFABRIC_TEST_CERT: cert, KAFABRIC_TEST_KEY: key } = process.env;
const tls = ca && { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) };
const base = {
  clientId: 'compat-platformatic',
  bootstrapBrokers: process.argv.slice(2),
  retries: 20,
  retryDelay: 200,
  ...(tls && { tls }),
};
const admin = new Admin(base);
const producer = new Producer({ ...base, autocreateTopics: false });
const members = new Map();
// Zstandard is Node's own there, which Node 20 lacks.
const codecs = ['none', 'gzip', 'snappy', 'lz4', ...(zlib.zstdCompressSync ? ['zstd'] : [])];

async function produce({ topic, partition, codec, acks, records }) {
  const answer = await producer.send({
    acks,
    compression: codec,
    messages: records.map((record) => ({
      topic,
      partition,
      key: record.key === null ? undefined : Buffer.from(record.key),
      value: plannedValue(record) ?? undefined,
      headers: new Map(record.headers.map(([name, value]) => [Buffer.from(name), Buffer.from(value)])),
      timestamp: BigInt(record.timestamp),
    })),
  });
  return { baseOffset: Number(answer.offsets?.[0]?.offset ?? -1) };
}

async function consume({ topics }) {
  const progress = new Progress(topics);
  const consumer = new Consumer({
    ...base,
    groupId: `compat-${randomUUID()}`,
    maxBytes: 20_000_000,
    maxWaitTime: 200,
    autocommit: false,
  });
  const stream = await consumer.consume({ topics: topics.map(({ topic }) => topic), mode: 'earliest' });
  for await (const message of stream) {
    const { topic, partition, offset, key, value, headers, timestamp } = message;
    const list = [...headers].map(([name, text]) => [name.toString(), text.toString()]);
    progress.add(describe(topic, partition, offset, key, value, list, timestamp));
    if (progress.done) break;
  }
  await consumer.close(true);
  return progress.records;
}

async function join({ member, group, topic }) {
  const consumer = new Consumer({
    ...base,
    groupId: group,
    sessionTimeout: 30_000,
    heartbeatInterval: 300,
    rebalanceTimeout: 30_000,
    maxWaitTime: 100,
    autocommit: 100,
  });
  const seen = [];
  const stream = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' });
  stream.on('data', ({ partition, offset }) => seen.push([partition, Number(offset)]));
  stream.on('error', (error) => console.error(error));
  members.set(member, { consumer, stream, seen });
}

serve({
  hello: () => ({
    version: `@platformatic/kafka ${version}`,
    codecs,
    strategies: ['roundrobin'],
    // Snappy with the block header that Java's library writes.
    unreadable: ['java/snappy', 'aiokafka/snappy'],
  }),
  create: ({ topic, partitions, configs }) =>
    admin
      .createTopics({
        topics: [topic],
        partitions,
        replicas: 1,
        configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
      })
      .then(() => null),
  delete: ({ topic }) => admin.deleteTopics({ topics: [topic] }),
  deleteRecords: ({ topic, partition, offset }) =>
    admin
      .deleteRecords({ topics: [{ name: topic, partitions: [{ partition, offset: BigInt(offset) }] }] })
      .then(() => null),
  lookup: async ({ topic, partition, timestamp }) => {
    const consumer = new Consumer({ ...base, groupId: 'compat-lookup' });
    const found = await consumer.listOffsets({ topics: [topic], timestamp: BigInt(timestamp) });
    await consumer.close();
    return { offset: Number(found.get(topic)[partition]) };
  },
  produce,
  consume,
  join,
  seen: ({ member }) => members.get(member).seen.splice(0),
  leave: async ({ member }) => {
    const { consumer, stream, seen } = members.get(member);
    members.delete(member);
    await stream.close();
    await consumer.close();
    return seen;
  },
});
