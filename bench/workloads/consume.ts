import { consumerProperties } from '../generators/native.ts';
import { dropCaches } from '../measure/machine.ts';
import { loadMetrics, type Pass, type Stored } from '../pass.ts';
import { freshTopic } from './stored.ts';
import { allSizes, Omitted, quickSizes, sizesOf, type Workload } from './workload.ts';

interface ConsumeCase {
  size: number;
  from: 'tail' | 'history';
  consumers: number;
}

/** Several consumers are done so soon that beginning to read is a large part of it: they read as often as there are of them, and the median counts. */
async function consumeCase(
  pass: Pass,
  { topic, partitions, records }: Stored,
  { size, from, consumers }: ConsumeCase,
): Promise<void> {
  const options = {
    topic,
    partitions,
    records,
    clients: consumers,
    seconds: pass.options.seconds * 2,
    properties: consumerProperties,
  };
  const runs: Record<string, number>[] = [];
  for (let i = 0; i < consumers; i++) {
    await pass.readyMemory();
    const { reports, usage } = await pass.measure([pass.native.load('consume', options)]);
    runs.push(loadMetrics(reports[0]!, usage));
  }
  runs.sort((a, b) => a.mbPerS! - b.mbPerS!);
  // After the measured run: a read before it would leave history in the caches.
  const syscallsPerRequest = await pass.syscalls(() => [
    pass.native.load('consume', { ...options, seconds: 0.5 }),
  ]);
  const metrics = { ...runs[runs.length >> 1], syscallsPerRequest, writtenPerByte: Number.NaN };
  pass.record('consume', { size, from, consumers }, metrics);
}

/** Nothing of what is stored may be in memory: neither in the broker's own caches nor in the operating system's. */
export async function forget(pass: Pass): Promise<void> {
  if (!pass.system.controllable)
    throw new Omitted('what is not in memory: the benchmark does not start and stop this system');
  await pass.system.stop('SIGTERM');
  dropCaches();
  await pass.system.resume();
  await pass.warmUp();
}

export const consume: Workload = {
  name: 'consume',
  about:
    'librdkafka consumers that read a topic, four of them four times, of which the median counts: from the tail (just written) and from history (after a restart, caches dropped)',
  deployment: 'os',
  async run(pass) {
    const sizes = sizesOf(pass, quickSizes, allSizes);
    const several = sizesOf(pass, [100_000], [1000, 100_000]);
    for (const size of sizes) {
      const written = await freshTopic(pass, size);
      for (const consumers of several.includes(size) ? [1, 4] : [1])
        await consumeCase(pass, written, { size, from: 'tail', consumers });
      pass.stored.push(written);
    }
    // It takes a restart and another warm-up.
    if (pass.options.quick) return;
    await forget(pass);
    for (const stored of pass.stored)
      await consumeCase(pass, stored, { size: stored.size, from: 'history', consumers: 1 });
  },
};
