import { setTimeout as sleep } from 'node:timers/promises';
import { producerProperties } from '../generators/native.ts';
import type { Metrics } from '../model.ts';
import type { Pass } from '../pass.ts';
import { latencyMetrics, promptProducer, rateFor } from './latency.ts';
import { Omitted, sizesOf, type Workload } from './workload.ts';

const partitions = 4;
/** With and without moves, so often, one after the other on the same gateway: a machine that changes its pace changes it for both. */
const turns = 3;
/** What is to be moved in a turn: enough for the time of a measurement at storage.migrate.bytes.per.second, 128 MiB by default. */
const backlogBytes = 7e8;
const seconds = 4;
/** In which the rest of it moves. */
const pauseMs = 3_000;

async function fill(pass: Pass): Promise<string> {
  const topic = await pass.topic(partitions);
  const properties = producerProperties('all');
  await pass.native.run('produce', { topic, size: 1_000_000, bytes: backlogBytes, seconds: 60, properties });
  // Its segments are complete then, but for the last of each partition.
  return topic;
}

async function latencyOf(pass: Pass, size: number): Promise<Metrics> {
  const topic = await pass.topic(partitions);
  const load = pass.native.load('latency', {
    ...{ topic, partitions, size, rate: rateFor(size), seconds },
    properties: promptProducer('all'),
  });
  const { reports, usage } = await pass.measure([load]);
  await pass.drop(topic);
  const { cpuSeconds, writtenBytes } = usage;
  // What was written says whether anything moved.
  return {
    ...latencyMetrics(reports[0]!),
    cpuSeconds: cpuSeconds ?? Number.NaN,
    writtenMb: (writtenBytes ?? Number.NaN) / 1e6,
  };
}

async function at(pass: Pass, size: number): Promise<void> {
  if (!pass.system.info.name.startsWith('kafabric')) throw new Omitted('it has no storage tiers');
  const backlog: string[] = [];
  for (let turn = 0; turn < turns; turn++) backlog.push(await fill(pass));
  for (const [turn, old] of backlog.entries()) {
    for (const moving of ['no', 'yes']) {
      if (moving === 'yes') await pass.native.configureTopic(old, { 'payload.tier': 'second' });
      const metrics = await latencyOf(pass, size);
      pass.record('migration', { size, rate: rateFor(size), turn: turn + 1, moving }, metrics);
    }
    await sleep(pauseMs);
  }
  for (const one of backlog) await pass.drop(one);
}

export const migration: Workload = {
  name: 'migration',
  about:
    'latency as in latency, in turns with and without payload that moves from one tier to another on the same disk',
  deployment: 'moving',
  onRequest: 'always',
  async run(pass) {
    for (const size of sizesOf(pass, [100_000], [100_000, 1_000_000])) await at(pass, size);
  },
};
