import type { Report } from '../generators/load.ts';
import type { Metrics } from '../model.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import { sizesOf, type Workload } from './workload.ts';

const partitions = 4;

/** Records a second at which a broker of either kind is far from its limit. */
export function rateFor(size: number): number {
  if (size <= 10_000) return 1000;
  if (size <= 100_000) return 200;
  return size <= 1_000_000 ? 50 : 5;
}

/** A producer that waits for nothing. */
export const promptProducer = (acks: string): Record<string, string> => ({
  acks,
  'linger.ms': '0',
  'message.max.bytes': '100000000',
  'queue.buffering.max.kbytes': '1048576',
});

export function latencyMetrics({ p50, p90, p99, p999, max }: Report): Metrics {
  return { p50Ms: p50!, p90Ms: p90!, p99Ms: p99!, p999Ms: p999!, maxMs: max! };
}

async function at(pass: Pass, size: number, rate: number): Promise<void> {
  const topic = await pass.topic(partitions);
  const seconds = pass.options.seconds * 2;
  const load = pass.native.load('latency', {
    topic,
    partitions,
    size,
    rate,
    seconds,
    properties: promptProducer('all'),
  });
  const { reports, usage } = await pass.measure([load]);
  const { cpuUsPerRecord, rssMb, recordsPerS } = loadMetrics(reports[0]!, usage);
  pass.record(
    'latency',
    { size, rate },
    {
      ...latencyMetrics(reports[0]!),
      cpuUsPerRecord: cpuUsPerRecord!,
      rssMb: rssMb!,
      recordsPerS: recordsPerS!,
    },
  );
  await pass.drop(topic);
}

export const latency: Workload = {
  name: 'latency',
  about: 'from the time when a record was due until a consumer has it, at a fixed rate; linger 0, acks=all',
  deployment: 'os',
  async run(pass) {
    const sizes = sizesOf(pass, [1000, 100_000, 1_000_000], [100, 1000, 10_000, 100_000, 1_000_000]);
    for (const size of sizes) await at(pass, size, rateFor(size));
  },
};
