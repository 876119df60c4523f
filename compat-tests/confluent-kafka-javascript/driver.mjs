// Drives @confluentinc/kafka-javascript for the compatibility suites; the protocol is in ../harness/driver-loop.ts.
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import confluent from '@confluentinc/kafka-javascript';
import { describe, Progress, serve } from '../../dist/compat-tests/harness/driver-loop.js';
import { plannedValue } from '../../dist/compat-tests/harness/payload.js';

const { Kafka, logLevel } = confluent.KafkaJS;
const { version } = createRequire(import.meta.url)('@confluentinc/kafka-javascript/package.json');
const common = { 'bootstrap.servers': process.argv[2], 'client.id': 'compat-confluent-javascript' };
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

async function consume({ topics }) {
  const progress = new Progress(topics);
  const consumer = makeConsumer(`compat-${randomUUID()}`, {});
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
    'session.timeout.ms': 6000,
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
  seen: ({ member }) => members.get(member).seen.splice(0),
  leave: async ({ member }) => {
    await members.get(member).consumer.disconnect();
    const { seen } = members.get(member);
    members.delete(member);
    return seen;
  },
});
