// Drives kafkajs for the compatibility suites; the protocol is in ../harness/driver-loop.ts.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import zstdModule from '@toondepauw/node-zstd';
import kafkajs from 'kafkajs';
import lz4 from 'lz4-napi';
import snappy from 'snappy';
import { describe, Progress, serve } from '../../dist/compat-tests/harness/driver-loop.js';
import { plannedValue } from '../../dist/compat-tests/harness/payload.js';

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
const { Decoder, Encoder } = zstdModule;
const version = createRequire(import.meta.url)('kafkajs/package.json').version;

const xerialMagic = Buffer.from([130, 83, 78, 65, 80, 80, 89, 0]);

/** Java writes snappy in blocks behind a header of its own, which the other clients read and often write too. */
async function snappyDecompress(buffer) {
  if (!buffer.subarray(0, 8).equals(xerialMagic)) return snappy.uncompress(buffer);
  const blocks = [];
  for (let at = 16; at < buffer.length; ) {
    const size = buffer.readUInt32BE(at);
    blocks.push(await snappy.uncompress(buffer.subarray(at + 4, at + 4 + size)));
    at += 4 + size;
  }
  return Buffer.concat(blocks);
}

CompressionCodecs[CompressionTypes.Snappy] = () => ({
  compress: (encoder) => snappy.compress(encoder.buffer),
  decompress: snappyDecompress,
});
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder) => new Encoder(3).encode(encoder.buffer),
  decompress: (buffer) => new Decoder().decode(buffer),
});
const codecs = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

// Of brokers that speak TLS.
const { KAFABRIC_TEST_CA: ca, KAFABRIC_TEST_CERT: cert, KAFABRIC_TEST_KEY: key } = process.env;

const kafka = new Kafka({
  clientId: 'compat-kafkajs',
  brokers: process.argv.slice(2),
  ssl: ca !== undefined && { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) },
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 100, retries: 20 },
});
let producer = kafka.producer();
let connected;
const members = new Map();

function connect() {
  connected ??= producer.connect();
  return connected;
}

/** An admin client for one operation: one that lives on asks for every topic that it has ever used, and fails once it is deleted. */
async function withAdmin(operation) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await operation(admin);
  } finally {
    await admin.disconnect();
  }
}

function headerList(headers) {
  return Object.entries(headers ?? {}).flatMap(([name, value]) =>
    [value].flat().map((one) => [name, one.toString()]),
  );
}

async function produce({ topic, partition, codec, acks, records }) {
  await connect();
  const [answer] = await producer.send({
    topic,
    acks,
    compression: codecs[codec],
    messages: records.map((record) => ({
      key: record.key,
      value: plannedValue(record),
      headers: Object.fromEntries(record.headers),
      timestamp: String(record.timestamp),
      partition,
    })),
  });
  return { baseOffset: Number(answer?.baseOffset ?? -1) };
}

/** Transactional producers and their open transactions. */
const transactional = new Map();

async function openTransactional({ producer: name, transactionalId, timeoutMs }) {
  const opened = kafka.producer({
    transactionalId,
    transactionTimeout: timeoutMs,
    idempotent: true,
    maxInFlightRequests: 1,
    retry: { initialRetryTime: 50, retries: 8 },
  });
  transactional.set(name, { opened, transaction: null });
  await opened.connect();
}

async function begin({ producer: name }) {
  const entry = transactional.get(name);
  entry.transaction = await entry.opened.transaction();
}

async function send({ producer: name, topic, partition, records }) {
  const messages = records.map((record) => ({ key: record.key, value: plannedValue(record), partition }));
  await transactional.get(name).transaction.send({ topic, messages });
}

async function sendOffsets({ producer: name, group, topic, offsets }) {
  const partitions = offsets.map(([partition, offset]) => ({ partition, offset: String(offset) }));
  const topics = [{ topic, partitions }];
  await transactional.get(name).transaction.sendOffsets({ consumerGroupId: group, topics });
}

async function end({ producer: name, commit }) {
  const { transaction } = transactional.get(name);
  await (commit ? transaction.commit() : transaction.abort());
}

async function closeTransactional({ producer: name }) {
  await transactional.get(name).opened.disconnect();
  transactional.delete(name);
}

async function consume({ topics, isolation }) {
  const progress = new Progress(topics);
  const consumer = kafka.consumer({
    groupId: `compat-${randomUUID()}`,
    maxBytesPerPartition: 20_000_000,
    maxBytes: 50_000_000,
    maxWaitTimeInMs: 200,
    readUncommitted: isolation !== 'read_committed',
  });
  await consumer.connect();
  await consumer.subscribe({ topics: topics.map(({ topic }) => topic), fromBeginning: true });
  await new Promise((done, fail) => {
    consumer.on('consumer.crash', ({ payload }) => fail(payload.error));
    const eachBatch = async ({ batch }) => {
      for (const { offset, key, value, headers, timestamp } of batch.messages) {
        const list = headerList(headers);
        progress.add(describe(batch.topic, batch.partition, offset, key, value, list, timestamp));
      }
      if (progress.done) done();
    };
    consumer.run({ eachBatch }).catch(fail);
  });
  await consumer.disconnect();
  return progress.records;
}

async function join({ member, group, topic }) {
  const consumer = kafka.consumer({
    groupId: group,
    sessionTimeout: 30_000,
    heartbeatInterval: 300,
    maxWaitTimeInMs: 100,
    rebalanceTimeout: 30_000,
  });
  const seen = [];
  members.set(member, { consumer, seen });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const eachBatch = async ({ batch }) => {
    for (const { offset } of batch.messages) seen.push([batch.partition, Number(offset)]);
  };
  await consumer.run({ eachBatch, autoCommitInterval: 100 });
}

serve({
  hello: () => ({ version: `kafkajs ${version}`, codecs: Object.keys(codecs), strategies: ['roundrobin'] }),
  create: ({ topic, partitions, configs }) => {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    const topics = [{ topic, numPartitions: partitions, configEntries }];
    return withAdmin((admin) => admin.createTopics({ topics, waitForLeaders: true }));
  },
  delete: async ({ topic }) => {
    await withAdmin((admin) => admin.deleteTopics({ topics: [topic] }));
    // A producer remembers its topics too.
    await producer.disconnect();
    producer = kafka.producer();
    connected = null;
  },
  deleteRecords: ({ topic, partition, offset }) =>
    withAdmin(async (admin) => {
      await admin.fetchTopicOffsets(topic); // it looks for the leader in what it knows already
      await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(offset) }] });
    }),
  lookup: ({ topic, partition, timestamp }) =>
    withAdmin(async (admin) => {
      const found = await admin.fetchTopicOffsetsByTimestamp(topic, timestamp);
      return { offset: Number(found.find((entry) => entry.partition === partition).offset) };
    }),
  produce,
  consume,
  join,
  openTransactional,
  begin,
  send,
  sendOffsets,
  end,
  closeTransactional,
  seen: ({ member }) => members.get(member).seen.splice(0),
  leave: async ({ member }) => {
    await members.get(member).consumer.disconnect();
    const { seen } = members.get(member);
    members.delete(member);
    return seen;
  },
});
