import { setTimeout as sleep } from 'node:timers/promises';
import { producerProperties } from '../generators/native.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import { sizesOf, type Workload } from './workload.ts';

const partitions = 4;
const bursts = 3;
/** What the first tier of the deployment holds, with segments that are being written. */
const burstBytes = 2e9;
const quickBytes = 1e9;
/** In which what came in a burst can go on to the disk, at the deployment's storage.migrate.bytes.per.second. */
const pauseMs = 16_000;
const quickPauseMs = 8_000;

/** Pafka's scenario: as much as the first tier holds at the pace of the clients, then a pause, again and again. */
async function at(pass: Pass, size: number): Promise<void> {
  const topic = await pass.topic(partitions);
  const bytes = pass.options.quick ? quickBytes : burstBytes;
  for (let burst = 1; burst <= bursts; burst++) {
    const load = pass.native.load('produce', {
      topic,
      size,
      bytes,
      seconds: 60,
      properties: producerProperties('all'),
    });
    const { reports, usage } = await pass.measure([load]);
    pass.record('burst', { size, burst }, loadMetrics(reports[0]!, usage));
    await sleep(pass.options.quick ? quickPauseMs : pauseMs);
  }
  await pass.drop(topic);
}

export const burst: Workload = {
  name: 'burst',
  about:
    'bursts of 2 GB (quick: 1 GB), as much as the first tier holds, with 16 s (quick: 8 s) between them; Kafabric with a first tier in memory, Kafka with its page cache',
  deployment: 'burst',
  onRequest: 'always',
  async run(pass) {
    for (const size of sizesOf(pass, [1_000_000], [100_000, 1_000_000])) await at(pass, size);
  },
};
