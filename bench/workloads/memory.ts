import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { producerProperties } from '../generators/native.ts';
import { quiet } from '../measure/meter.ts';
import { type Memory, memoryOf } from '../measure/proc.ts';
import type { Metrics } from '../model.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import { dial, greet } from '../systems/wire.ts';
import { Omitted, type Workload } from './workload.ts';

const settleMs = 1000;
const patienceMs = 120_000;
const topicsAtOnce = 1000;
/** Connections that are opened at the same time: a listen backlog is 50. */
const dialingAtOnce = 25;

function resident(pass: Pass): Memory {
  const memory = pass.system.pid === null ? null : memoryOf(pass.system.pid);
  if (!memory) throw new Omitted("the system's process cannot be looked into");
  return memory;
}

/** Opens so many connections; `sockets` has those that are there, also when others could not be opened. */
async function dialMany(bootstrap: string, count: number, sockets: Set<Socket>): Promise<void> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = await dial(bootstrap);
      sockets.add(socket);
      socket.on('error', () => {});
      await greet(socket);
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: dialingAtOnce }, worker));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

function growth(before: Memory, after: Memory, count: number, name: string): Metrics {
  return { ...after, [name]: ((after.rssMb - before.rssMb) * 1e6) / count };
}

async function connections(pass: Pass, count: number): Promise<void> {
  const before = resident(pass);
  const sockets = new Set<Socket>();
  try {
    await dialMany(pass.system.bootstrap, count, sockets);
    await sleep(settleMs);
    const metrics = growth(before, resident(pass), count, 'bytesPerConnection');
    pass.record('memory', { connections: count }, metrics);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

async function partitions(pass: Pass, count: number): Promise<void> {
  const before = resident(pass);
  const each = Math.min(topicsAtOnce, count);
  const topics: string[] = [];
  const from = performance.now();
  for (let made = 0; made < count; made += each) topics.push(await pass.topic(each));
  // Kafka answers before it has made the logs: the work counts, not the answer.
  if (pass.system.pid !== null) await quiet(pass.system.pid, patienceMs);
  const createSeconds = (performance.now() - from) / 1000;
  await sleep(settleMs);
  pass.record(
    'memory',
    { partitions: count },
    { ...growth(before, resident(pass), count, 'bytesPerPartition'), createSeconds },
  );
  for (const topic of topics) await pass.drop(topic);
}

async function underLoad(pass: Pass): Promise<void> {
  const size = 100_000;
  const topic = await pass.topic(4);
  const { seconds, bytes } = pass.options;
  const load = pass.native.load('produce', {
    topic,
    size,
    seconds,
    bytes,
    properties: producerProperties('all'),
  });
  const { reports, usage } = await pass.measure([load]);
  const metrics = loadMetrics(reports[0]!, usage);
  const names = ['rssMb', 'rssAnonMb', 'rssFileMb', 'rssShmemMb', 'rssHugeMb', 'mbPerS'];
  pass.record(
    'memory',
    { load: '100 KB records' },
    Object.fromEntries(names.map((name) => [name, metrics[name]!])),
  );
  await pass.drop(topic);
}

export const memory: Workload = {
  name: 'memory',
  about: 'resident memory under load, with idle connections and with many partitions (at rest: startup)',
  deployment: 'os',
  onRequest: 'quick',
  once: true,
  async run(pass) {
    const count = pass.options.quick ? 1000 : 10_000;
    await underLoad(pass);
    await connections(pass, count);
    await partitions(pass, count);
  },
};
