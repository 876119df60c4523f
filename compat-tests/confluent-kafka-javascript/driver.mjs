// Drives @confluentinc/kafka-javascript for the compatibility suites; the protocol is in ../harness/driver-loop.ts.
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import confluent from '@confluentinc/kafka-javascript';
import { describe, Progress, serve } from '../../dist/compat-tests/harness/driver-loop.js';
import { plannedValue } from '../../dist/compat-tests/harness/payload.js';

const { Kafka, logLevel } = confluent.KafkaJS;
const { version } = createRequire(import.meta.url)('@confluentinc/kafka-javascript/package.json');
// Of brokers that speak TLS.
const { KAFABRIC_TEST_CA: ca, KAFABRIC_TEST_CERT: cert, KAFABRIC_TEST_KEY: key } = process.env;
const tls = {
  'security.protocol': 'ssl',
  'ssl.ca.location': ca,
  'ssl.certificate.location': cert,
  'ssl.key.location': key,
};
const common = {
  'bootstrap.servers': process.argv[2],
  'client.id': 'compat-confluent-javascript',
  ...(ca === undefined ? {} : tls),
};
const kafka = new Kafka({ ...common, kafkaJS: { logLevel: logLevel.NOTHING } });
const admin = kafka.admin();
const producers = new Map();
const members = new Map();
let adminReady;

function connectAdmin() {
  adminReady ??= admin.connect();
  return adminReady;
}

/** Compression and acknowledgement belong to a producer here. */
function producerFor(codec, acks) {
  const name = `${codec} ${acks}`;
  if (!producers.has(name)) {
    const producer = kafka.producer({
      'compression.codec': codec,
      acks,
      'enable.idempotence': acks === -1,
      'message.max.bytes': 20_000_000,
      'linger.ms': 5,
    });
    producers.set(
      name,
      producer.connect().then(() => producer),
    );
  }
  return producers.get(name);
}

function headerList(headers) {
  return Object.entries(headers ?? {}).flatMap(([name, value]) =>
    [value].flat().map((one) => [name, one.toString()]),
  );
}

async function produce({ topic, partition, codec, acks, records }) {
  const producer = await producerFor(codec, acks);
  const [answer] = await producer.send({
    topic,
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

function makeConsumer(group, options) {
  return kafka.consumer({
    'group.id': group,
    'auto.offset.reset': 'earliest',
    'fetch.message.max.bytes': 20_000_000,
    'fetch.wait.max.ms': 200,
    ...options,
  });
}

/** Transactional producers, their open transactions, and consumers that stand for groups. */
const transactional = new Map();

async function openTransactional({ producer: name, transactionalId, timeoutMs }) {
  const producer = kafka.producer({
    'transactional.id': transactionalId,
    'transaction.timeout.ms': timeoutMs,
    'socket.timeout.ms': Math.min(timeoutMs, 10_000),
    'message.max.bytes': 20_000_000,
    'linger.ms': 0,
  });
  transactional.set(name, { producer, transaction: null });
  await producer.connect();
}

async function begin({ producer: name }) {
  const entry = transactional.get(name);
  entry.transaction = await entry.producer.transaction();
}

async function send({ producer: name, topic, partition, records }) {
  const messages = records.map((record) => ({ key: record.key, value: plannedValue(record), partition }));
  await transactional.get(name).transaction.send({ topic, messages });
}

async function sendOffsets({ producer: name, group, topic, offsets }) {
  const consumer = makeConsumer(group, {});
  await consumer.connect();
  const partitions = offsets.map(([partition, offset]) => ({ partition, offset: String(offset) }));
  await transactional.get(name).transaction.sendOffsets({ consumer, topics: [{ topic, partitions }] });
  await consumer.disconnect();
}

async function end({ producer: name, commit }) {
  const { transaction } = transactional.get(name);
  await (commit ? transaction.commit() : transaction.abort());
}

async function closeTransactional({ producer: name }) {
  await transactional.get(name).producer.disconnect();
  transactional.delete(name);
}

async function consume({ topics, isolation = 'read_uncommitted' }) {
  const progress = new Progress(topics);
  const consumer = makeConsumer(`compat-${randomUUID()}`, { 'isolation.level': isolation });
  await consumer.connect();
  await consumer.subscribe({ topics: topics.map(({ topic }) => topic) });
  await new Promise((done, fail) => {
    const eachMessage = async ({ topic, partition, message }) => {
      const { offset, key, value, headers, timestamp } = message;
      progress.add(describe(topic, partition, offset, key, value, headerList(headers), timestamp));
      if (progress.done) done();
    };
    consumer.run({ eachMessage }).catch(fail);
  });
  await consumer.disconnect();
  return progress.records;
}

async function join({ member, group, topic, strategy }) {
  const consumer = makeConsumer(group, {
    'session.timeout.ms': 30_000,
    'heartbeat.interval.ms': 300,
    'auto.commit.interval.ms': 100,
    'partition.assignment.strategy': strategy,
  });
  const seen = [];
  members.set(member, { consumer, seen });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic] });
  const eachMessage = async ({ partition, message }) => {
    seen.push([partition, Number(message.offset)]);
  };
  await consumer.run({ eachMessage });
}

serve({
  hello: () => ({
    version: `@confluentinc/kafka-javascript ${version}, librdkafka ${confluent.librdkafkaVersion}`,
    codecs: ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
    strategies: ['range', 'roundrobin', 'cooperative-sticky'],
    // It sends a buffer of no bytes as null.
    lacks: ['empty values'],
  }),
  create: async ({ topic, partitions, configs }) => {
    await connectAdmin();
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }));
    await admin.createTopics({ topics: [{ topic, numPartitions: partitions, configEntries }] });
  },
  delete: async ({ topic }) => {
    await connectAdmin();
    await admin.deleteTopics({ topics: [topic] });
  },
  deleteRecords: async ({ topic, partition, offset }) => {
    await connectAdmin();
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(offset) }] });
  },
  lookup: async ({ topic, partition, timestamp }) => {
    await connectAdmin();
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, timestamp);
    return { offset: Number(found.find((entry) => entry.partition === partition).offset) };
  },
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
