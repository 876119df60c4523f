import type { Report } from '../generators/load.ts';
import type { Metrics } from '../model.ts';
import type { Options } from '../options.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import { allSizes, sizesOf, type Workload } from './workload.ts';

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

/** Ten of so many records are beyond p99.9; of fewer it says little. */
const p999Records = 10_000;

export function latencyMetrics({ records = Number.POSITIVE_INFINITY, ...report }: Report): Metrics {
  const { p50, p90, p99, p999, max } = report;
  const isEnough = records >= p999Records;
  return { p50Ms: p50!, p90Ms: p90!, p99Ms: p99!, p999Ms: isEnough ? p999! : Number.NaN, maxMs: max! };
}

/** Of so many records ten are beyond p99. A rate that takes too long for them has less time. */
const leastRecords = 1000;
const quickRecords = 200;
const longestSeconds = 20;
const slowSeconds = 10;

/** How long a case is measured: twice `seconds`, or as long as its records take. */
export function secondsFor(rate: number, { seconds, quick }: Pick<Options, 'seconds' | 'quick'>): number {
  const needed = (quick ? quickRecords : leastRecords) / rate;
  return Math.max(seconds * 2, needed <= longestSeconds ? needed : slowSeconds);
}

/** A short run has enough requests with so many records. */
const countedRecords = 20;

async function at(pass: Pass, size: number, rate: number): Promise<void> {
  const shape = { partitions, size, rate, properties: promptProducer('all') };
  const syscallsPerRequest = await pass.syscallsApart(partitions, (topic) => [
    pass.native.load('latency', {
      ...shape,
      topic,
      seconds: Math.max(0.5, countedRecords / rate),
      count: 1,
    }),
  ]);
  const topic = await pass.topic(partitions);
  const { reports, usage } = await pass.measure([
    pass.native.load('latency', {
      ...shape,
      topic,
      lead: pass.options.seconds,
      seconds: secondsFor(rate, pass.options),
    }),
  ]);
  const { cpuUsPerRecord, rssMb, recordsPerS } = loadMetrics(reports[0]!, usage);
  pass.record(
    'latency',
    { size, rate },
    {
      ...latencyMetrics(reports[0]!),
      cpuUsPerRecord: cpuUsPerRecord!,
      rssMb: rssMb!,
      recordsPerS: recordsPerS!,
      syscallsPerRequest,
    },
  );
  await pass.drop(topic);
}

export const latency: Workload = {
  name: 'latency',
  about:
    'from the time when a record was due until a consumer has it, at a fixed rate, after a lead-in; linger 0, acks=all',
  deployment: 'os',
  async run(pass) {
    const sizes = sizesOf(pass, [1000, 100_000, 1_000_000], allSizes);
    for (const size of sizes) await at(pass, size, rateFor(size));
  },
};
