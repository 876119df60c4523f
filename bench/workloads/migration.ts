import { producerProperties } from '../generators/native.ts';
import type { Pass } from '../pass.ts';
import { latencyMetrics, promptProducer, rateFor } from './latency.ts';
import { Omitted, sizesOf, type Workload } from './workload.ts';

const partitions = 4;
/** What is to be moved meanwhile: enough for the time of the measurement. */
const backlogBytes = 3e9;
/** Shorter than the backlog takes at storage.migrate.bytes.per.second, 128 MiB by default. */
const seconds = 15;

async function at(pass: Pass, size: number, isMoving: boolean): Promise<void> {
  if (!pass.system.info.name.startsWith('kafabric')) throw new Omitted('it has no storage tiers');
  const old = await pass.topic(partitions);
  const properties = producerProperties('all');
  await pass.native.run('produce', {
    topic: old,
    size: 1_000_000,
    bytes: backlogBytes,
    seconds: 60,
    properties,
  });
  const topic = await pass.topic(partitions);
  const rate = rateFor(size);
  const load = pass.native.load('latency', {
    ...{ topic, partitions, size, rate },
    seconds,
    properties: promptProducer('all'),
  });
  const { reports } = await pass.measure([load]);
  pass.record('migration', { size, rate, moving: isMoving ? 'yes' : 'no' }, latencyMetrics(reports[0]!));
  await pass.drop(topic);
  await pass.drop(old);
}

/** The same with and without payload that moves from tier to tier at the same time, each on a gateway of its own. */
function measured(isMoving: boolean): Workload {
  return {
    name: isMoving ? 'migration' : 'no-migration',
    about: `latency as in latency, behind 3 GB of payload in the first of two tiers that ${isMoving ? 'move down meanwhile' : 'stay where they are'}`,
    deployment: isMoving ? 'moving' : 'still',
    onRequest: 'always',
    async run(pass) {
      for (const size of sizesOf(pass, [100_000], [100_000, 1_000_000])) await at(pass, size, isMoving);
    },
  };
}

export const migration = measured(true);
export const noMigration = measured(false);
