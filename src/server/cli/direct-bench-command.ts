import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import type { Client, Path, TopicHandle } from '../../client/index.ts';

interface BenchOptions {
  bootstrap: string;
  topic?: string;
  events: number;
  size: number;
  batchSize: number;
  acks: 'all' | '1';
  path: Path | 'auto';
  /** The part of the events whose data is pulled, and the part of that. */
  interest: number;
  selectivity: number;
  json: boolean;
}

interface Phase {
  phase: 'push' | 'pull';
  path: string;
  events: number;
  bytes: number;
  seconds: number;
  eventsPerSecond: number;
  megabytesPerSecond: number;
  /** Of this process, per 10^9 bytes moved. */
  cpuSecondsPerGB: number;
}

/** Bytes that are reused in turn, by pushes and by pulls. */
const RING_BYTES = 64 << 20;

/** `kafabric direct-bench`: pushes events and pulls them again, in one process, and says how fast. */
export function addDirectBenchCommand(program: Command): void {
  program
    .command('direct-bench')
    .description('measure pushes and pulls of the direct API against a running gateway')
    .requiredOption('--bootstrap <host:port>', 'a DIRECT listener')
    .option('--topic <name>', 'an existing topic; a new one, removed at the end, when absent')
    .option('--events <n>', 'events to push and pull', Number, 1000)
    .option('--size <bytes>', 'data of one event', Number, 1_000_000)
    .option('--batch-size <n>', 'events of one batch at most', Number, 128)
    .option('--acks <acks>', 'all or 1', 'all')
    .option('--path <path>', 'auto, shared-memory or tcp', 'auto')
    .option('--interest <part>', 'part of the events whose data is pulled, 0 to 1', Number, 1)
    .option('--selectivity <part>', 'part of each such event that is pulled, 0 to 1', Number, 1)
    .option('--json', 'one JSON line for each phase', false)
    .action(async (options: BenchOptions) => {
      for (const phase of await bench(options))
        process.stdout.write(`${options.json ? JSON.stringify(phase) : textOf(phase)}\n`);
    });
}

async function bench(options: BenchOptions): Promise<Phase[]> {
  const { bootstrap, path } = options;
  // Other commands need not load it.
  const { Client } = await import('../../client/index.ts');
  const client = await Client.connect({ bootstrap, path, sharedMaxBytes: 2 ** 31 });
  const name = options.topic ?? `direct-bench-${randomBytes(4).toString('hex')}`;
  try {
    const topic =
      options.topic === undefined
        ? await client.createTopic(name, { configs: { 'max.message.bytes': '2147483647' } })
        : await client.openTopic(name);
    return [await push(client, topic, options), await pull(client, topic, options)];
  } finally {
    if (options.topic === undefined) await client.deleteTopic(name).catch(() => undefined);
    client.close();
  }
}

async function push(client: Client, topic: TopicHandle, options: BenchOptions): Promise<Phase> {
  const { events, size, batchSize, acks } = options;
  const slots = Math.max(2, Math.floor(RING_BYTES / Math.max(size, 1)));
  const producer = topic.producer({ batchSize, acks: acks === '1' ? 1 : 'all' });
  const ring = await client.allocate(Math.max(1, slots * size));
  ring.bytes.fill(7);
  const inUse: Promise<unknown>[] = [];
  const measured = begin();
  for (let i = 0; i < events; i++) {
    const slot = i % slots;
    await inUse[slot];
    inUse[slot] = producer.push({ i }, ring.bytes.subarray(slot * size, (slot + 1) * size));
  }
  await Promise.all(inUse);
  const phase = measured('push', producer.path ?? client.path, events, events * size);
  await producer.close();
  ring.release();
  return phase;
}

async function pull(client: Client, topic: TopicHandle, options: BenchOptions): Promise<Phase> {
  const { events, size, interest, selectivity } = options;
  const wanted = Math.round(size * selectivity);
  const slots = Math.max(4, Math.floor((2 * RING_BYTES) / Math.max(wanted, 1)));
  const ring = await client.allocate(Math.max(1, slots * wanted));
  let taken = 0;
  const consumer = topic.consumer({
    select: (metadata) =>
      (metadata as { i: number }).i < events * interest && wanted > 0
        ? { offset: 0, length: wanted }
        : 'none',
    broker: (_metadata, _descriptor, bytes) => {
      const at = (taken++ % slots) * wanted;
      return ring.bytes.subarray(at, at + bytes);
    },
    // What is under way must not come round the ring.
    prefetchDataBytes: Math.max(1, Math.floor(RING_BYTES / 2)),
  });
  const measured = begin();
  let bytes = 0;
  for (let i = 0; i < events; i++) bytes += (await consumer.pull())!.selected?.byteLength ?? 0;
  const phase = measured('pull', client.path, events, bytes);
  await consumer.close();
  ring.release();
  return phase;
}

function begin() {
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  return (phase: Phase['phase'], path: string, events: number, bytes: number): Phase => {
    const seconds = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    return {
      phase,
      path,
      events,
      bytes,
      seconds,
      eventsPerSecond: events / seconds,
      megabytesPerSecond: bytes / seconds / 1e6,
      cpuSecondsPerGB: bytes > 0 ? (user + system) / 1e6 / (bytes / 1e9) : 0,
    };
  };
}

function textOf({
  phase,
  path,
  events,
  seconds,
  eventsPerSecond,
  megabytesPerSecond,
  cpuSecondsPerGB,
}: Phase): string {
  return `${phase} (${path}): ${events} events in ${seconds.toFixed(2)} s, ${eventsPerSecond.toFixed(0)}/s, ${megabytesPerSecond.toFixed(0)} MB/s, ${cpuSecondsPerGB.toFixed(2)} s of this process's CPU per GB`;
}
