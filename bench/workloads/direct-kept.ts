import type { Pass } from '../pass.ts';
import {
  directTopic,
  largeSize,
  metricsOf,
  partitions,
  producePlain,
  pushDirect,
  sharedMemory,
} from './direct.ts';
import { sustainedFactor } from './produce.ts';
import { sizesOf, type Workload } from './workload.ts';

/**
 * So many times what is measured is pushed before, on every system: the rate that lasts is what a gateway's arena has grown for. Not of the largest, of which many are
 * more than Kafka's heap takes well.
 */
const aheadFactor = 2;

async function pushKept(pass: Pass, size: number): Promise<void> {
  const { direct: bootstrap } = pass.system;
  const { name: path, ...way } = sharedMemory;
  const factor = pass.options.quick ? 1 : sustainedFactor;
  const topic = bootstrap === null ? await pass.topic(partitions) : await directTopic(pass);
  const pushed = (times: number) =>
    bootstrap === null
      ? producePlain(pass, topic, size, times)
      : pushDirect(pass, bootstrap, { ...way, topic, size }, times);
  if (size <= largeSize) await pushed(factor * aheadFactor);
  const { report, usage } = await pushed(factor);
  pass.record('direct-kept', { what: 'push', size, path }, metricsOf(report, usage));
  await pass.drop(topic);
}

export const directKept: Workload = {
  name: 'direct-kept',
  about:
    "pushes as in direct, three times as much and as long, behind twice as much that is not measured (of up to 10 MB), with both brokers' default for the files of dropped topics: they stay for a minute, so that what one case has used is not the next one's",
  deployment: 'directKept',
  onRequest: 'always',
  async run(pass) {
    for (const size of sizesOf(pass, [1_000_000], [1_000_000, 10_000_000, 100_000_000]))
      await pushKept(pass, size);
  },
};
