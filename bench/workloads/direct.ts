import { fileURLToPath } from 'node:url';
import { APART_CONFIGS } from '../../src/client/client.ts';
import { inspectFabric } from '../../src/native/fabric.ts';
import { memoryLimit } from '../direct/limits.ts';
import type { DirectPlan } from '../generators/direct-driver.ts';
import { Load, type Report } from '../generators/load.ts';
import { consumerProperties, producerProperties } from '../generators/native.ts';
import { warmUpEvents } from '../generators/warm-up.ts';
import type { Usage } from '../measure/meter.ts';
import type { Metrics } from '../model.ts';
import { loadMetrics, type Pass, type Stored } from '../pass.ts';
import { forget } from './consume.ts';
import { latencyMetrics, promptProducer, rateFor, secondsFor } from './latency.ts';
import { sizesOf, type Workload } from './workload.ts';

export const partitions = 4;
const driver = fileURLToPath(new URL('../generators/direct-driver.js', import.meta.url));
/** Of each event's data. */
const parts: readonly { name: string; part: number }[] = [
  { name: 'all', part: 1 },
  { name: '50 %', part: 0.5 },
  { name: '10 %', part: 0.1 },
  { name: '1 %', part: 0.01 },
];
const metadataOnly = 'metadata only';
/** Events of one batch, of the direct producer and of the plain one. */
const batchSize = 128;

/** How data moves, and what that is called in the report. */
type Way = Pick<DirectPlan, 'path' | 'fabric'> & { readonly name: string };
export const sharedMemory: Way = { name: 'shared-memory', path: 'shared-memory' };
const mapped: Way = { name: 'mapped', path: 'mapped' };
const tcp: Way = { name: 'tcp', path: 'tcp' };
/** What of libfabric there is without a card: over the loopback interface. */
const libfabric = { provider: 'tcp;ofi_rxm', domain: 'lo' };
const fabric: Way = { name: `fabric ${libfabric.provider}`, path: 'fabric', fabric: libfabric };

/** The paths that data takes at a size; everything is measured over shared memory, the others tell what the path costs. */
async function waysFor(size: number): Promise<Way[]> {
  if (size < 100_000) return [sharedMemory];
  if (size < 1_000_000) return [sharedMemory, mapped];
  const { providers } = await inspectFabric('');
  const isHere = providers.some(
    ({ provider, domain }) => provider === libfabric.provider && domain === libfabric.domain,
  );
  return [sharedMemory, mapped, tcp, ...(isHere ? [fabric] : [])];
}

/** Measures one direct client; the figures count what the gateway and the client use together, too. */
async function direct(
  pass: Pass,
  bootstrap: string,
  plan: Omit<DirectPlan, 'bootstrap'>,
): Promise<{ report: Report; usage: Usage; metrics: Metrics }> {
  const command = [process.execPath, driver, JSON.stringify({ bootstrap, ...plan })];
  const { reports, usage } = await pass.measure([new Load(command)]);
  return { report: reports[0]!, usage, metrics: metricsOf(reports[0]!, usage) };
}

export function metricsOf(report: Report, usage: Usage): Metrics {
  const metrics = loadMetrics(report, usage);
  const { cpuPerGb = Number.NaN, clientCpuPerGb = Number.NaN } = metrics;
  return { ...metrics, bothCpuPerGb: cpuPerGb + clientCpuPerGb };
}

function record(pass: Pass, what: string, size: number, path: string, metrics: Metrics): void {
  pass.record('direct', { what, size, path }, metrics);
}

/** A topic whose events are pulled from the disk at the end: those of its size from so many bytes on. */
const storedFrom = 1_000_000;
/** Of each event, from the disk. */
const storedParts = [parts[0]!, parts[3]!];

/** What is pulled is so many times what is pushed while it is measured: a consumer's start takes 2 ms, a tenth of a gigabyte 15. */
const pulledFactor = 4;
const pulledFrom = 100_000;

/** Metadata of larger events is compared with that of as many of these. */
const smallSize = 1000;

/** A topic as `createTopic` of the direct API makes it. */
export function directTopic(pass: Pass): Promise<string> {
  return pass.topic(partitions, APART_CONFIGS);
}

/** Events that are larger are the largest that are measured. */
export const largeSize = 16_000_000;
/** A push of those has so many times as long, on both systems: in a second Kafka takes four. */
const largeSeconds = 4;

function pushSeconds(pass: Pass, size: number): number {
  return pass.options.seconds * (size > largeSize ? largeSeconds : 1);
}

/** Pushes to `topic`, `factor` times as much and as long as is usual. */
export async function pushDirect(
  pass: Pass,
  bootstrap: string,
  plan: Pick<DirectPlan, 'topic' | 'size' | 'path' | 'fabric'>,
  factor = 1,
): ReturnType<typeof direct> {
  const warmUpTopic = await directTopic(pass);
  const seconds = pushSeconds(pass, plan.size) * factor;
  const bytes = pass.options.bytes * factor;
  const pushed = await direct(pass, bootstrap, {
    ...plan,
    what: 'push',
    seconds,
    bytes,
    batchSize,
    warmUpTopic,
  });
  await pass.drop(warmUpTopic);
  return pushed;
}

/** Pushes a topic, and pulls all and parts of it. Returns what there is of it; null when it was dropped. */
async function throughDirect(
  pass: Pass,
  bootstrap: string,
  size: number,
  { name: path, ...way }: Way,
  copied: number,
): Promise<Stored | null> {
  const { seconds, bytes } = pass.options;
  const topic = await directTopic(pass);
  const common = { ...way, topic, size, seconds };
  const pushed = await pushDirect(pass, bootstrap, { ...way, topic, size });
  record(pass, 'push', size, path, pushed.metrics);
  let records = pushed.report.before! + pushed.report.records!;
  if (size >= pulledFrom) {
    const more = {
      ...common,
      seconds: 10 * seconds,
      bytes: (pulledFactor - 1) * bytes,
      batchSize,
      cold: true,
    };
    records += (await direct(pass, bootstrap, { ...more, what: 'push' })).report.records!;
  }
  const pull = (part: number, againSeconds = seconds) =>
    direct(pass, bootstrap, { ...common, what: 'pull', seconds: 10 * seconds, againSeconds, records, part });
  await untilInMemory(async () => {
    const { report, usage } = await pull(1, 0);
    return (usage.readBytes ?? 0) / report.bytes!;
  });
  const whole = await pull(1);
  record(pass, 'pull all', size, path, {
    ...whole.metrics,
    pushPullCpuPerGb: pushed.metrics.bothCpuPerGb! + whole.metrics.bothCpuPerGb!,
    ofCopy: whole.metrics.mbPerS! / copied,
  });
  // A part of what is mapped is the same as all of it, but for the checksum.
  if (path !== 'mapped') {
    const none = await pull(0);
    for (const { name, part } of parts.slice(1)) {
      const { report, metrics } = await pull(part);
      const ideal = idealOf(part, secondsPerEvent(whole.report), secondsPerEvent(none.report));
      const ofIdeal = secondsPerEvent(report) / ideal.proportional;
      const ofIdealData = secondsPerEvent(report) / ideal.besideMetadata;
      record(pass, `pull ${name}`, size, path, { ...metrics, ofIdeal, ofIdealData });
    }
    const ofSmall =
      size > smallSize && path === sharedMemory.name
        ? (await secondsPerSmall(pass, bootstrap, records, way)) / secondsPerEvent(none.report)
        : Number.NaN;
    record(pass, `pull ${metadataOnly}`, size, path, { ...none.metrics, ofSmall });
  }
  if (path === sharedMemory.name && isStored(pass, size)) return { topic, partitions, size, records };
  await pass.drop(topic);
  return null;
}

/** What is missed makes the arena grow, until all comes from memory: turns before it is measured, and how long they may go on. */
const mostTurns = 12;
const mostTurnsMs = 15_000;
/** All but so little of a turn. */
const fromMemory = 0.01;

/** Does `turn`, which resolves to the part of its bytes that came from the device, until that is next to nothing. */
export async function untilInMemory(turn: () => Promise<number>): Promise<void> {
  const until = performance.now() + mostTurnsMs;
  for (let turns = 0; turns < mostTurns && performance.now() < until; turns++)
    if ((await turn()) < fromMemory) return;
}

/** Seconds for the metadata of one of as many small events: large ones are fewer, and a consumer's start counts the more for each. */
async function secondsPerSmall(
  pass: Pass,
  bootstrap: string,
  records: number,
  way: Omit<Way, 'name'>,
): Promise<number> {
  const { seconds } = pass.options;
  const topic = await directTopic(pass);
  const common = { ...way, topic, size: smallSize, seconds: 10 * seconds };
  const bytes = records * smallSize;
  const pushed = await direct(pass, bootstrap, { ...common, what: 'push', bytes, batchSize, cold: true });
  // No more than there are, where a machine takes longer than the push may last: the rest would be waited for.
  const pull = { ...common, againSeconds: seconds, records: pushed.report.records!, part: 0 };
  const { report } = await direct(pass, bootstrap, { ...pull, what: 'pull' });
  await pass.drop(topic);
  return secondsPerEvent(report);
}

/** It takes a restart. */
function isStored(pass: Pass, size: number): boolean {
  return !pass.options.quick && size >= storedFrom;
}

/** Pulls what is not in the gateway's memory: after a restart, each part once. */
async function fromDisk(pass: Pass, bootstrap: string, { topic, size, records }: Stored): Promise<void> {
  const { name: path, ...way } = sharedMemory;
  for (const { name, part } of storedParts) {
    await forget(pass);
    const plan = { ...way, topic, size, records, part, seconds: 10 * pass.options.seconds, cold: true };
    const { metrics } = await direct(pass, bootstrap, { ...plan, what: 'pull' });
    record(pass, `pull ${name} from disk`, size, path, metrics);
  }
  await pass.drop(topic);
}

function secondsPerEvent({ seconds, records }: Report): number {
  return seconds! / records!;
}

/** Seconds that a part of an event would take if time were in proportion: of all that it takes, or of what its data takes beside its metadata. */
function idealOf(part: number, whole: number, metadata: number) {
  return { proportional: part * whole, besideMetadata: metadata + part * Math.max(0, whole - metadata) };
}

/** librdkafka has limits of its own for records as large as the largest that are measured. */
const largeProducer = { 'message.max.bytes': '104857600', 'queue.buffering.max.kbytes': '524288' };
const largeConsumer = {
  'fetch.message.max.bytes': '104857600',
  'fetch.max.bytes': '134217728',
  'receive.message.max.bytes': '268435456',
};

/** What a plain client produces instead. Resolves also to how many records there are. */
export async function producePlain(pass: Pass, topic: string, size: number, factor = 1) {
  const batch = { 'batch.num.messages': String(batchSize) };
  const properties = { ...producerProperties('all'), ...batch, ...(size > largeSize ? largeProducer : {}) };
  const before = warmUpEvents(size);
  await pass.native.run('produce', { topic, size, records: before, properties });
  const seconds = pushSeconds(pass, size) * factor;
  const load = { topic, size, seconds, bytes: pass.options.bytes * factor, properties };
  const { reports, usage } = await pass.measure([pass.native.load('produce', load)]);
  return { report: reports[0]!, usage, records: before + reports[0]!.records! };
}

/** What a plain client does instead: it has to take all of every record. Returns what there is of the topic; null when it was dropped. */
async function throughPlain(pass: Pass, size: number): Promise<Stored | null> {
  const { seconds } = pass.options;
  const topic = await pass.topic(partitions);
  const { records, ...produced } = await producePlain(pass, topic, size);
  await pass.readyMemory();
  const consumed = await pass.measure([
    pass.native.load('consume', {
      topic,
      partitions,
      records,
      seconds: 10 * seconds,
      properties: { ...consumerProperties, ...(size > largeSize ? largeConsumer : {}) },
    }),
  ]);
  for (const { name: path } of await waysFor(size)) {
    record(pass, 'push', size, path, metricsOf(produced.report, produced.usage));
    const pulls = path === 'mapped' ? ['all'] : [...parts.map((one) => one.name), metadataOnly];
    for (const name of pulls)
      record(pass, `pull ${name}`, size, path, metricsOf(consumed.reports[0]!, consumed.usage));
  }
  if (isStored(pass, size)) return { topic, partitions, size, records };
  await pass.drop(topic);
  return null;
}

async function plainFromDisk(pass: Pass, { topic, size, records }: Stored): Promise<void> {
  await forget(pass);
  const properties = { ...consumerProperties, ...(size > largeSize ? largeConsumer : {}) };
  const load = { topic, partitions, records, seconds: 10 * pass.options.seconds, properties };
  await pass.readyMemory();
  const { reports, usage } = await pass.measure([pass.native.load('consume', load)]);
  for (const { name } of storedParts)
    record(pass, `pull ${name} from disk`, size, sharedMemory.name, metricsOf(reports[0]!, usage));
  await pass.drop(topic);
}

async function latencyAt(pass: Pass, size: number): Promise<void> {
  const topic = await pass.topic(partitions);
  const rate = rateFor(size);
  const seconds = secondsFor(rate, pass.options);
  const { direct: bootstrap } = pass.system;
  const { name: path, ...way } = sharedMemory;
  const load = { topic, size, rate, seconds };
  // The direct client's events before the measurement are its lead-in.
  const plain = { ...load, partitions, lead: pass.options.seconds, properties: promptProducer('all') };
  const { report } =
    bootstrap === null
      ? { report: (await pass.measure([pass.native.load('latency', plain)])).reports[0]! }
      : await direct(pass, bootstrap, { ...load, ...way, what: 'latency' });
  record(pass, 'latency', size, path, latencyMetrics(report));
  await pass.drop(topic);
}

export const directApi: Workload = {
  name: 'direct',
  about:
    'the direct API (pushes, pulls of all, parts and metadata alone, latency) against librdkafka, which has to take every record as a whole; memory alone is what one thread copies between mappings, which pulls are shown as a part of',
  deployment: 'direct',
  onRequest: 'always',
  async run(pass) {
    const { direct: bootstrap } = pass.system;
    const sizes = sizesOf(
      pass,
      [1000, 1_000_000],
      [1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000],
    );
    const stored: (Stored | null)[] = [];
    if (bootstrap === null) {
      for (const size of sizes) stored.push(await throughPlain(pass, size));
    } else {
      const copied = memoryLimit();
      pass.record('direct', { what: 'memory alone, copied' }, { mbPerS: copied });
      for (const size of sizes)
        for (const way of await waysFor(size))
          stored.push(await throughDirect(pass, bootstrap, size, way, copied));
    }
    for (const size of [1000, 1_000_000]) await latencyAt(pass, size);
    for (const one of stored)
      if (one !== null)
        await (bootstrap === null ? plainFromDisk(pass, one) : fromDisk(pass, bootstrap, one));
  },
};
