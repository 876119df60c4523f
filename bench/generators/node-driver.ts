// Produces or consumes as a Node program would, through the interface that kafkajs and @confluentinc/kafka-javascript share.
//   node node-driver.js '{"client":"kafkajs","what":"produce",...}'
import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../paths.ts';

interface Plan {
  client: string;
  setup: string;
  what: 'produce' | 'consume';
  bootstrap: string;
  topic: string;
  size: number;
  seconds: number;
  bytes: number;
  records: number;
}

interface Batch {
  batch: { messages: { value: Buffer }[] };
}

/** The part of the common interface that is used here. */
interface Producer {
  connect(): Promise<void>;
  send(request: { topic: string; acks?: number; messages: { value: Buffer }[] }): Promise<unknown>;
  disconnect(): Promise<void>;
}
interface Consumer {
  connect(): Promise<void>;
  subscribe(request: { topics: string[]; fromBeginning?: boolean }): Promise<void>;
  run(handlers: { eachBatch: (batch: Batch) => Promise<void> }): Promise<void>;
}
interface Client {
  producer(options: object): Producer;
  consumer(options: object): Consumer;
}

const sendsAtOnce = 4;
/** A consumer that has had nothing for so long will not have the rest. */
const patienceMs = 60_000;
const batchBytes = 1_000_000;
const plan = JSON.parse(process.argv[2]!) as Plan;
const load = createRequire(join(root, 'compat-tests', plan.setup, 'package.json'));
const confluent = plan.client.startsWith('@confluentinc/');

function makeClient(): Client {
  if (!confluent) {
    const { Kafka, logLevel } = load('kafkajs');
    return new Kafka({ brokers: [plan.bootstrap], logLevel: logLevel.ERROR });
  }
  const { Kafka, logLevel } = load(plan.client).KafkaJS;
  return new Kafka({ kafkaJS: { brokers: [plan.bootstrap], logLevel: logLevel.ERROR } });
}

function makeProducer(client: Client): Producer {
  if (confluent) return client.producer({ 'message.max.bytes': 100_000_000, kafkaJS: { acks: -1 } });
  return client.producer({ createPartitioner: load('kafkajs').Partitioners.DefaultPartitioner });
}

function makeConsumer(client: Client): Consumer {
  const groupId = `bench-${process.pid}`;
  if (confluent) return client.consumer({ kafkaJS: { groupId, fromBeginning: true } });
  return client.consumer({ groupId, maxBytesPerPartition: 16 << 20 });
}

/** Resolves to the milliseconds at which the harness said to start. */
async function start(): Promise<number> {
  console.log('ready');
  for await (const _ of createInterface({ input: process.stdin })) break;
  return performance.now();
}

function report(records: number, bytes: number, ms: number): void {
  const { user, system } = process.cpuUsage();
  console.log(JSON.stringify({ records, bytes, seconds: ms / 1000, clientCpu: (user + system) / 1e6 }));
}

async function produce(): Promise<void> {
  const producer = makeProducer(makeClient());
  await producer.connect();
  const count = Math.max(1, Math.floor(batchBytes / plan.size));
  const messages = Array.from({ length: count }, () => ({ value: randomBytes(plan.size) }));
  const acks = confluent ? {} : { acks: -1 };
  const from = await start();
  let sent = 0;
  const due = (): boolean => performance.now() - from < plan.seconds * 1000 && sent * plan.size < plan.bytes;
  const worker = async (): Promise<void> => {
    while (due()) {
      sent += count;
      await producer.send({ topic: plan.topic, messages, ...acks });
    }
  };
  await Promise.all(Array.from({ length: sendsAtOnce }, worker));
  report(sent, sent * plan.size, performance.now() - from);
  await producer.disconnect();
}

async function consume(): Promise<void> {
  const consumer = makeConsumer(makeClient());
  await consumer.connect();
  await consumer.subscribe(
    confluent ? { topics: [plan.topic] } : { topics: [plan.topic], fromBeginning: true },
  );
  await start();
  let first = 0;
  let seen = 0;
  let bytes = 0;
  const done = new Promise<void>((resolve) => {
    const fail = (why: string) => {
      console.error(why);
      process.exit(1);
    };
    const patience = setTimeout(() => fail(`${seen} of ${plan.records} records came`), patienceMs);
    const eachBatch = async ({ batch }: Batch): Promise<void> => {
      patience.refresh();
      // Joining the group is not reading: the clock starts with the first records.
      if (first === 0) first = performance.now();
      seen += batch.messages.length;
      for (const { value } of batch.messages) bytes += value.length;
      if (seen >= plan.records) resolve();
    };
    consumer.run({ eachBatch }).catch((error: Error) => fail(error.message));
  });
  await done;
  report(seen, bytes, performance.now() - first);
}

await (plan.what === 'produce' ? produce() : consume());
process.exit(0);
