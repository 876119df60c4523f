import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { producerProperties } from '../generators/native.ts';
import type { Metrics } from '../model.ts';
import type { Pass } from '../pass.ts';
import type { DeploymentName } from '../systems/deployments.ts';
import { latencyMetrics, promptProducer, rateFor } from './latency.ts';
import { Omitted, sizesOf, type Workload } from './workload.ts';

const partitions = 4;
/** With and without moves, so often, one after the other on the same gateway: a machine that changes its pace changes it for both. */
const turns = 5;
const quickTurns = 3;
/** What is to be moved in a turn: enough for the time of a measurement at storage.migrate.bytes.per.second, 128 MiB by default. */
const backlogBytes = 7e8;
const seconds = 4;
/** In which the rest of it moves, at most. */
const restMs = 60_000;
const pollMs = 100;

async function fill(pass: Pass): Promise<string> {
  const topic = await pass.topic(partitions);
  const properties = producerProperties('all');
  await pass.native.run('produce', { topic, size: 1_000_000, bytes: backlogBytes, seconds: 60, properties });
  // Its segments are complete then, but for the last of each partition.
  return topic;
}

/** Until all has moved but for the segments that are being written. */
async function moved(pass: Pass, topic: string): Promise<void> {
  const first = join(pass.system.dataFolder!, 'first');
  const left = () =>
    readdirSync(first)
      .filter((name) => name.startsWith(`${topic}-`))
      .flatMap((name) => (existsSync(join(first, name)) ? readdirSync(join(first, name)) : []))
      .filter((name) => name.endsWith('.payload')).length;
  for (const deadline = performance.now() + restMs; left() > partitions; await sleep(pollMs))
    if (performance.now() > deadline) throw new Error(`${left()} segments have not moved within a minute`);
}

async function latencyOf(pass: Pass, size: number, begin?: () => Promise<void>): Promise<Metrics> {
  const topic = await pass.topic(partitions);
  const load = pass.native.load('latency', {
    ...{ topic, partitions, size, rate: rateFor(size), seconds, lead: pass.options.seconds },
    properties: promptProducer('all'),
  });
  const { reports, usage } = await pass.measure([load], begin);
  await pass.drop(topic);
  const { cpuSeconds, writtenBytes } = usage;
  // What was written says whether anything moved.
  return {
    ...latencyMetrics(reports[0]!),
    cpuSeconds: cpuSeconds ?? Number.NaN,
    writtenMb: (writtenBytes ?? Number.NaN) / 1e6,
  };
}

async function at(pass: Pass, name: string, size: number): Promise<void> {
  if (!pass.system.info.name.startsWith('kafabric')) throw new Omitted('it has no storage tiers');
  const backlog: string[] = [];
  const count = pass.options.quick ? quickTurns : turns;
  for (let turn = 0; turn < count; turn++) backlog.push(await fill(pass));
  for (const old of backlog) {
    const still = await latencyOf(pass, size);
    const moving = await latencyOf(pass, size, () =>
      pass.native.configureTopic(old, { 'payload.tier': 'second' }),
    );
    const params = { size, rate: rateFor(size) };
    pass.record(name, { ...params, moving: 'no' }, still);
    const p99OfStill = moving.p99Ms! / still.p99Ms!;
    pass.record(name, { ...params, moving: 'yes' }, { ...moving, p99OfStill });
    await moved(pass, old);
  }
  for (const one of backlog) await pass.drop(one);
}

function workload(name: string, deployment: DeploymentName, promise: string): Workload {
  return {
    name,
    about: `latency as in latency, acks=all answered ${promise}, in turns with and without payload that moves from one tier to another on the same disk`,
    deployment,
    onRequest: 'always',
    async run(pass) {
      for (const size of sizesOf(pass, [100_000], [100_000, 1_000_000])) await at(pass, name, size);
    },
  };
}

export const migration = workload('migration', 'moving', 'when the operating system has the records');
export const migrationFlush = workload(
  'migration-flush',
  'movingFlush',
  'when the records are on the device',
);
