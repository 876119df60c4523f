import type { Report } from '../generators/load.ts';
import { producerProperties } from '../generators/native.ts';
import { Meter } from '../measure/meter.ts';
import { memoryOf } from '../measure/proc.ts';
import { median } from '../measure/statistics.ts';
import { loadMetrics, type Pass } from '../pass.ts';
import { latencyMetrics, promptProducer } from './latency.ts';
import { sizesOf, type Workload } from './workload.ts';

const share = 0.7;
const partitions = 4;
const probeSeconds = 5;
/** Rates that are tried, each so many times the one before; and how late records may be. */
const step = 1.25;
const promptMs = 100;
const retention = { 'retention.bytes': '1000000000', 'segment.bytes': '134217728' };

interface Sample {
  report: Report;
  rssMb: number;
}

/** Last quarter against the second: the first quarter is warm-up. 1 is flat. */
export function drift(values: number[]): number {
  const quarter = Math.floor(values.length / 4);
  if (quarter === 0) return Number.NaN;
  return median(values.slice(-quarter)) / median(values.slice(quarter, 2 * quarter));
}

/** A producer that goes ahead of its consumer, which reads from the disk then: less than both together can. */
async function flooded(pass: Pass, size: number): Promise<number> {
  const topic = await pass.topic(partitions);
  const producer = pass.native.load('produce', {
    topic,
    size,
    seconds: probeSeconds,
    properties: producerProperties('all'),
  });
  const consumer = pass.native.load('consume', { topic, partitions, idle: 1 });
  const { reports } = await pass.measure([producer, consumer]);
  await pass.drop(topic);
  return Math.min(...reports.map(({ records, seconds }) => records! / seconds!));
}

/** Whether half of the records that are due at this rate arrive while others are on their way, not behind ever more of them. */
async function keepsUp(pass: Pass, size: number, rate: number): Promise<boolean> {
  const topic = await pass.topic(partitions, retention);
  const load = { topic, partitions, size, rate: Math.round(rate), seconds: probeSeconds };
  const { reports } = await pass.measure([
    pass.native.load('latency', { ...load, properties: promptProducer('all') }),
  ]);
  await pass.drop(topic);
  return reports[0]!.p50! < promptMs;
}

/** Records a second that producer and consumer together sustain. */
async function sustained(pass: Pass, size: number): Promise<number> {
  let rate = await flooded(pass, size);
  while (await keepsUp(pass, size, rate * step)) rate *= step;
  return rate;
}

async function hold(pass: Pass, size: number, rate: number): Promise<void> {
  const topic = await pass.topic(partitions, retention);
  const minutes = pass.options.soakMinutes;
  const samples: Sample[] = [];
  const interval = Math.max(1, Math.min(10, (minutes * 60) / 20));
  const options = {
    topic,
    partitions,
    size,
    rate,
    seconds: minutes * 60,
    interval,
    properties: promptProducer('all'),
  };
  const load = pass.native.load('latency', options, {
    onReport(report) {
      const rssMb = (pass.system.pid !== null && memoryOf(pass.system.pid)?.rssMb) || Number.NaN;
      samples.push({ report, rssMb });
      const line = `p50 ${report.p50} ms, p99 ${report.p99} ms, max ${report.max} ms, resident ${rssMb.toFixed(0)} MB`;
      console.log(`  soak       ${(samples.length * interval).toFixed(0)} s: ${line}`);
    },
  });
  const meter = new Meter(pass.system.pid);
  await load.ready;
  meter.start();
  load.go();
  const last = await load.report.finally(() => meter.cancel());
  const usage = await meter.stop();
  const reports = [...samples.map(({ report }) => report), last];
  const sum = (name: string): number => reports.reduce((all, report) => all + report[name]!, 0);
  const total = { records: sum('records'), bytes: sum('bytes'), seconds: sum('seconds') };
  const over = (name: string): number[] => samples.map(({ report }) => report[name]!);
  const worst = {
    p50: median(over('p50')),
    p90: median(over('p90')),
    p99: median(over('p99')),
    p999: median(over('p999')),
    max: Math.max(...reports.map(({ max }) => max!)),
  };
  pass.record(
    'soak',
    { size, minutes },
    {
      ...loadMetrics(total, usage),
      ...latencyMetrics(worst),
      rssDrift: drift(samples.map(({ rssMb }) => rssMb)),
      p50Drift: drift(over('p50')),
      p99Drift: drift(over('p99')),
    },
  );
  await pass.drop(topic);
}

export const soak: Workload = {
  name: 'soak',
  about:
    'producer and consumer at 70 % of the load that the system sustains; drift is the last quarter against the second, 1 is flat',
  deployment: 'soak',
  onRequest: 'always',
  async run(pass) {
    for (const size of sizesOf(pass, [100_000], [100_000])) {
      const rate = Math.max(1, Math.floor((await sustained(pass, size)) * share));
      await hold(pass, size, rate);
    }
  },
};
