// Pushes and pulls as a program of the direct API would.
//   node direct-driver.js '{"what":"push",...}'
import { createInterface } from 'node:readline';
import { APART_CONFIGS } from '../../src/client/client.ts';
import {
  Client,
  type Consumer,
  type Event,
  type FabricChoice,
  type Path,
  type Producer,
  type TopicHandle,
} from '../../src/client/index.ts';
import { percentile } from '../measure/statistics.ts';
import { Metronome, now } from './metronome.ts';
import { warmUpEvents } from './warm-up.ts';

export interface DirectPlan {
  what: 'push' | 'pull' | 'latency';
  /** The DIRECT listener. */
  bootstrap: string;
  path: Path;
  fabric?: FabricChoice;
  topic: string;
  /** For pushes of small events before those that are measured, where these are large: JavaScript is compiled after many, not after much. */
  warmUpTopic?: string;
  /** Data of one event. */
  size: number;
  seconds: number;
  /** A push ends after so many bytes. */
  bytes?: number;
  batchSize?: number;
  /** Events of the topic, which a pull pulls. */
  records?: number;
  /** A pull begins again until so many seconds have passed: a part of each event takes too little time to be measured once. */
  againSeconds?: number;
  /** Nothing is pushed or pulled before it: it would be in the gateway's memory, or in the topic. */
  cold?: boolean;
  /** The part of each event's data that is pulled; 0: metadata alone. */
  part?: number;
  /** Events a second, where latency is measured. */
  rate?: number;
}

/** Events after which JavaScript is compiled, and a topic with fewer need not be pulled again before the measurement. */
const compiledAfter = 5000;

/** Memory that is pushed from, and pulled to, in turn. */
const ringBytes = 128 << 20;
const plan = JSON.parse(process.argv[2]!) as DirectPlan;

const MOST_WARM_UP_MS = 2_000;
/** Of what is pushed for it alone: as large as events are moved, not sent with their batch. */
const WARM_UP_BYTES = 64 * 1024;

/** While there have not been as many pulls as compile JavaScript at both ends; of large events, for two seconds. */
function whileNotCompiled(bytes: number): (pulled: number) => boolean {
  const enough = Math.min(warmUpEvents(bytes), Math.max(plan.records ?? 0, compiledAfter));
  const until = performance.now() + MOST_WARM_UP_MS;
  return (pulled) => pulled < enough || (pulled < compiledAfter && performance.now() < until);
}

/** As many pushes, each with a request of its own, as compile JavaScript at both ends. */
async function compilePushes(
  client: Client,
  pushOne: (producer: Producer, i: number) => Promise<unknown>,
): Promise<void> {
  const { size, warmUpTopic } = plan;
  if (warmUpTopic === undefined || warmUpEvents(size) >= compiledAfter) return;
  const producer = (await client.openTopic(warmUpTopic)).producer({ batchSize: 1 });
  let next = 0;
  const work = async () => {
    while (next < compiledAfter) await pushOne(producer, next++);
  };
  await Promise.all(Array.from({ length: mappedAtOnce() }, work));
  await producer.close();
}

/** Metadata of an event, 100 bytes as JSON. */
function metadataOf(i: number): unknown {
  return {
    i,
    step: i >> 7,
    field: 'temperature',
    unit: 'kelvin',
    shape: [64, 64, 64],
    origin: [0, 128, 256],
  };
}

/** Until its thread is there. */
const METRONOME_START_MS = 100;

/** Resolves to the milliseconds at which the harness said to start. */
async function start(): Promise<number> {
  console.log('ready');
  for await (const _ of createInterface({ input: process.stdin })) break;
  return performance.now();
}

/** Begins to count this process's own time. */
function counted(): (records: number, bytes: number, ms: number, more?: Record<string, number>) => void {
  const cpu = process.cpuUsage();
  return (records, bytes, ms, more = {}) => {
    const { user, system } = process.cpuUsage(cpu);
    const report = { records, bytes, seconds: ms / 1000, clientCpu: (user + system) / 1e6, ...more };
    console.log(JSON.stringify(report));
  };
}

async function push(client: Client, topic: TopicHandle): Promise<void> {
  const { size, seconds, bytes = Number.POSITIVE_INFINITY, batchSize = 128, cold = false } = plan;
  // Not all of the ring at once: its first round should not last as long as the measurement.
  const slots = Math.max(4, Math.floor(ringBytes / 2 / size));
  const ring = await client.allocate(slots * size);
  ring.bytes.fill(7);
  const small = ring.bytes.subarray(0, WARM_UP_BYTES);
  await compilePushes(client, (producer, i) => producer.push({ i }, small));
  const producer = topic.producer({ batchSize });
  const inUse: Promise<unknown>[] = [];
  const before = cold ? 0 : warmUpEvents(size);
  for (let i = 0; i < before; i++) {
    const slot = i % slots;
    await inUse[slot];
    inUse[slot] = producer.push(metadataOf(i), ring.bytes.subarray(slot * size, (slot + 1) * size));
  }
  await Promise.all(inUse);
  const from = await start();
  const report = counted();
  let pushed = 0;
  for (; performance.now() - from < seconds * 1000 && pushed * size < bytes; pushed++) {
    const slot = pushed % slots;
    await inUse[slot];
    inUse[slot] = producer.push(metadataOf(pushed), ring.bytes.subarray(slot * size, (slot + 1) * size));
  }
  await Promise.all(inUse);
  report(pushed, pushed * size, performance.now() - from, { before });
  await producer.close();
}

/** Each event's data is memory of the gateway that is handed over: nobody copies it. */
async function pushMapped(client: Client, topic: TopicHandle): Promise<void> {
  const { size, seconds, bytes = Number.POSITIVE_INFINITY } = plan;
  await compilePushes(client, async (producer, i) =>
    producer.push({ i }, (await client.allocate(WARM_UP_BYTES)).bytes),
  );
  const producer = topic.producer();
  let pushed = 0;
  const pushWhile = (goOn: () => boolean) =>
    Promise.all(
      Array.from({ length: mappedAtOnce() }, async () => {
        while (goOn()) {
          const i = pushed++;
          const field = await client.allocate(size);
          await producer.push(metadataOf(i), field.bytes);
        }
      }),
    );
  const before = warmUpEvents(size);
  await pushWhile(() => pushed < before);
  const from = await start();
  const report = counted();
  pushed = 0;
  await pushWhile(() => performance.now() - from < seconds * 1000 && pushed * size < bytes);
  report(pushed, pushed * size, performance.now() - from, { before });
  await producer.close();
}

/** Every pull does. */
function readMetadata(event: Event): void {
  if ((event.metadata as { i: number }).i < 0) throw new Error('an event without its metadata');
}

/** Looks at all of each event's data where it lies, again and again as in `pull`; `view` checks it. */
async function pullMapped(topic: TopicHandle): Promise<void> {
  const { seconds, records = 0, againSeconds = 0 } = plan;
  const viewAgain = async (goOn: (pulled: number) => boolean) => {
    let pulled = 0;
    let bytes = 0;
    while (records > 0 && goOn(pulled)) {
      const consumer = topic.consumer({ maxWaitMs: 100 });
      let left = records;
      const work = async () => {
        while (left > 0 && goOn(pulled)) {
          left--;
          pulled++;
          const event = (await consumer.pull())!;
          readMetadata(event);
          const view = await event.view();
          bytes += view.bytes.byteLength;
          view.release();
        }
      };
      await Promise.all(Array.from({ length: mappedAtOnce() }, work));
      await consumer.close();
    }
    return { pulled, bytes };
  };
  await viewAgain(whileNotCompiled(plan.size));
  const from = await start();
  const report = counted();
  const passed = () => (performance.now() - from) / 1000;
  const isDone = (pulled: number) => pulled > 0 && pulled % records === 0 && passed() >= againSeconds;
  const all = await viewAgain((pulled) => !isDone(pulled) && passed() < seconds);
  report(all.pulled, all.bytes, passed() * 1000);
}

/** Well below what one client may hold, whole batches counted. */
function mappedAtOnce(): number {
  return Math.max(2, Math.min(64, Math.floor((64 << 20) / plan.size)));
}

/** What is smaller comes with its metadata: nobody needs memory that it lands in. */
const LANDS_FROM_BYTES = Number(APART_CONFIGS['payload.min.bytes']);

/** Makes consumers of a part of each event, 0 of none; what they pull goes to the same memory in turn. */
async function consumersOf(client: Client, topic: TopicHandle, wanted: number): Promise<() => Consumer> {
  if (wanted === 0) return () => topic.consumer();
  if (plan.size < LANDS_FROM_BYTES)
    return () => topic.consumer({ select: { offset: 0, length: wanted }, maxWaitMs: 100 });
  const slots = Math.max(4, Math.floor(ringBytes / wanted));
  const ring = await client.allocate(slots * wanted);
  let taken = 0;
  return () =>
    topic.consumer({
      select: { offset: 0, length: wanted },
      broker: () => {
        const at = (taken++ % slots) * wanted;
        return ring.bytes.subarray(at, at + wanted);
      },
      // What is under way must not come round the ring; two at a time, however large.
      prefetchDataBytes: Math.max(ringBytes / 4, wanted + 1),
      maxWaitMs: 100,
    });
}

/** Pulls the topic from its beginning, again and again, while `goOn(pulled)`; a consumer has nothing of what the one before has fetched. */
async function pullAgain(newConsumer: () => Consumer, records: number, goOn: (pulled: number) => boolean) {
  let pulled = 0;
  let bytes = 0;
  while (records > 0 && goOn(pulled)) {
    const consumer = newConsumer();
    for (let i = 0; i < records && goOn(pulled); i++, pulled++) {
      const event = (await consumer.pull())!;
      readMetadata(event);
      bytes += event.selected?.byteLength ?? 0;
    }
    await consumer.close();
  }
  return { pulled, bytes };
}

async function pull(client: Client, topic: TopicHandle): Promise<void> {
  const { size, seconds, records = 0, part = 1, againSeconds = 0, cold = false } = plan;
  const wanted = Math.round(size * part);
  const newConsumer = await consumersOf(client, topic, wanted);
  if (!cold) await pullAgain(newConsumer, records, whileNotCompiled(wanted));
  const from = await start();
  const report = counted();
  const passed = () => (performance.now() - from) / 1000;
  const isDone = (pulled: number) => pulled > 0 && pulled % records === 0 && passed() >= againSeconds;
  const all = await pullAgain(newConsumer, records, (pulled) => !isDone(pulled) && passed() < seconds);
  report(all.pulled, all.bytes, passed() * 1000);
}

/** From the time when an event was due until its data is here. */
async function latency(client: Client, topic: TopicHandle): Promise<void> {
  const { size, seconds, rate = 100 } = plan;
  const total = Math.max(1, Math.round(seconds * rate));
  const slots = 64;
  // Sent at once where nothing of the partition is under way, together where something is: as a plain producer with linger 0 does.
  const producer = topic.producer();
  const consumer = (await consumersOf(client, topic, size))();
  const ring = await client.allocate(slots * size);
  const dataOf = (i: number) => {
    const at = (i % slots) * size;
    return ring.bytes.subarray(at, at + size);
  };
  // Both are connected before it begins, and their JavaScript is compiled: events go there and back one at a time.
  const goesOn = whileNotCompiled(size);
  for (let i = 0; goesOn(i); i++) {
    const pushed = producer.push({ due: null }, dataOf(i));
    await consumer.pull();
    await pushed;
  }
  await start();
  const from = now() + METRONOME_START_MS;
  const report = counted();
  const delays: number[] = [];
  const pulling = (async () => {
    while (delays.length < total) {
      const event = (await consumer.pull())!;
      delays.push(now() - (event.metadata as { due: number }).due);
    }
  })();
  const metronome = new Metronome(from, rate, total);
  const pushes: Promise<unknown>[] = [];
  for (let i = 0; i < total; i++) {
    const due = await metronome.next();
    pushes.push(producer.push({ due }, dataOf(i)));
  }
  await Promise.all([...pushes, pulling]);
  const ms = now() - from;
  await metronome.stop();
  const at = (part: number) => percentile(delays, part);
  const figures = { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) };
  report(total, total * size, ms, figures);
  await producer.close();
  await consumer.close();
}

const client = await Client.connect({
  bootstrap: plan.bootstrap,
  path: plan.path,
  ...(plan.fabric === undefined ? {} : { fabric: plan.fabric }),
  sharedMaxBytes: 2 ** 31,
});
const topic = await client.openTopic(plan.topic);
const isMapped = plan.path === 'mapped';
const loads = {
  push: isMapped ? pushMapped : push,
  pull: isMapped && plan.part === 1 ? (_: Client, from: TopicHandle) => pullMapped(from) : pull,
  latency,
};
await loads[plan.what](client, topic);
client.close();
process.exit(0);
