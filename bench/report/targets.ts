import { type Case, groupCases, metricOf, ratioOf, type Summary } from '../measure/statistics.ts';
import { bytesText, type Measurement, type Params } from '../model.ts';
import { directTargets } from './direct-targets.ts';
import { figures, number } from './figures.ts';

/** A promise about a ratio to the baseline: at least, or at most, so much of its figure; or about the figure itself. */
export interface Target {
  path: string;
  workload: string;
  /** Values that the case's parameters must have; an array means any of them, undefined that there is none. */
  where: Record<string, string | number | readonly (string | number)[] | undefined>;
  metric: string;
  /** In words, for the report. */
  figure: string;
  atLeast?: number;
  atMost?: number;
  /** The figure itself, whatever the baseline's is. */
  own?: true;
  /** Where it is missed, the record in docs/decisions/ that says what the distance is. */
  limit?: string;
}

const plain = { acks: 'all', compression: 'none', partitions: 4, producers: 1 };
// Dropped topics stay for a minute by default; where they go at once, Kafka's page cache has their memory again.
const kept = 'default settings';
const reused = 'dropped topics gone at once';
const clientAndKernel = '0073-what-one-client-and-the-kernel-take.md';
const small = [1000, 10_000];
const large = [100_000, 1_000_000, 10_000_000];

/** What is asked of producing records of these sizes: times the throughput, and at most this part of broker CPU. */
function produceTargets(
  workload: string,
  group: string,
  size: number[],
  atLeast: number,
  atMost: number,
  more: { batches?: 'plain'; limit?: string } = {},
): Target[] {
  const { batches, ...limit } = more;
  const one = { path: `produce ${group}`, workload, where: { ...plain, size, batches }, ...limit };
  return [
    { ...one, metric: 'mbPerS', figure: 'throughput', atLeast },
    { ...one, metric: 'cpuPerGb', figure: 'broker CPU per GB', atMost },
  ];
}

export const targets: readonly Target[] = [
  ...produceTargets('produce-kept', `100 KB, 1 MB, 10 MB, ${kept}`, large, 8, 0.1, {
    limit: '0076-what-the-benchmark-counts.md',
  }),
  ...produceTargets('produce-kept', `100 KB, 1 MB, 10 MB, ${kept}`, large, 8, 0.1, { batches: 'plain' }),
  ...produceTargets('produce', `100 KB, 1 MB, 10 MB, ${reused}`, large, 8, 0.1, {
    limit: clientAndKernel,
  }),
  ...produceTargets('produce-kept', `1 KB, 10 KB, ${kept}`, small, 3, 1 / 6),
  ...produceTargets('produce', `1 KB, 10 KB, ${reused}`, small, 3, 1 / 6, { limit: clientAndKernel }),
  {
    path: 'produce 100 B',
    workload: 'produce',
    where: { ...plain, size: 100 },
    metric: 'recordsPerS',
    figure: 'throughput',
    atLeast: 1,
  },
  {
    path: 'produce 100 B',
    workload: 'produce',
    where: { ...plain, size: 100 },
    metric: 'cpuUsPerRecord',
    figure: 'broker CPU per record',
    atMost: 0.5,
  },
  {
    path: 'consume, tail and history',
    workload: 'consume',
    where: {},
    limit: '0077-what-small-requests-and-small-events-wait-for.md',
    metric: 'mbPerS',
    figure: 'throughput',
    atLeast: 1,
  },
  {
    path: 'consume, tail and history',
    workload: 'consume',
    where: {},
    limit: '0067-the-arena-grows-by-as-much-as-is-missed.md',
    metric: 'cpuPerGb',
    figure: 'broker CPU per GB',
    atMost: 1,
  },
  {
    path: 'latency at equal rates',
    workload: 'latency',
    where: {},
    metric: 'p50Ms',
    figure: 'p50',
    atMost: 1,
  },
  {
    path: 'latency at equal rates',
    workload: 'latency',
    // Of 10 MB there are too few records.
    where: { size: [100, 1000, 10_000, 100_000, 1_000_000] },
    metric: 'p99Ms',
    figure: 'p99',
    atMost: 1,
  },
  {
    path: 'small single-record requests',
    workload: 'small',
    where: {},
    metric: 'recordsPerS',
    figure: 'rate',
    atLeast: 2,
  },
  {
    path: 'small single-record requests',
    workload: 'small',
    where: {},
    metric: 'cpuUsPerRecord',
    figure: 'broker CPU per request',
    atMost: 0.5,
  },
  { path: 'fsync on both', workload: 'fsync', where: {}, metric: 'mbPerS', figure: 'throughput', atLeast: 5 },
  {
    path: 'start-up',
    workload: 'startup',
    where: {},
    metric: 'acceptSeconds',
    figure: 'first accepted connection',
    atMost: 0.25,
  },
  {
    path: 'memory at rest',
    workload: 'startup',
    where: {},
    metric: 'rssMb',
    figure: 'resident memory',
    atMost: 0.25,
  },
  {
    // The arena is the cache of what is stored; Kafka's is the page cache, which counts to no process.
    path: 'memory at rest',
    workload: 'startup',
    where: {},
    metric: 'rssOwnMb',
    figure: 'resident memory without the arena',
    atMost: 0.25,
  },
  ...['migration', 'migration-flush'].map(
    (workload): Target => ({
      path: 'latency while payload moves between tiers',
      workload,
      where: { moving: 'yes' },
      metric: 'p99OfStill',
      figure: 'p99 against that without moves',
      atMost: 1.2,
      own: true,
    }),
  ),
  ...directTargets,
];

export interface Verdict {
  target: Target;
  params: Params;
  /** The ratio to the baseline, over the rounds; or the figure itself, where the target is about it. */
  ratio: Summary;
  met: boolean;
}

function matches(target: Target, { workload, params }: Case): boolean {
  if (workload !== target.workload) return false;
  return Object.entries(target.where).every(([name, wanted]) =>
    Array.isArray(wanted) ? wanted.includes(params[name]!) : params[name] === wanted,
  );
}

/** Every target with every case that it speaks of and that both systems were measured in. */
export function judge(measurements: readonly Measurement[], system: string, baseline: string): Verdict[] {
  const cases = groupCases(measurements);
  return targets.flatMap((target) =>
    cases
      .filter((one) => matches(target, one))
      .flatMap((one) => {
        const ratio = target.own
          ? metricOf(one, system, target.metric)
          : ratioOf(one, system, baseline, target.metric);
        if (!ratio) return [];
        const met =
          ratio.median >= (target.atLeast ?? 0) &&
          ratio.median <= (target.atMost ?? Number.POSITIVE_INFINITY);
        return [{ target, params: one.params, ratio, met }];
      }),
  );
}

/** "at least 8x", "at most 1/10", "at most 0.3 s/GB". */
export function wanted({ atLeast, atMost, own, metric }: Target): string {
  if (own)
    return `at ${atLeast === undefined ? 'most' : 'least'} ${number(atLeast ?? atMost!)} ${figures[metric]!.unit}`;
  if (atLeast !== undefined) return `at least ${atLeast}x`;
  return atMost === 1 ? 'at most 1x' : `at most 1/${Math.round(1 / atMost!)}`;
}

/** What a case is unless it says otherwise. */
const usual: Params = { acks: 'all', compression: 'none', partitions: 4, producers: 1, consumers: 1 };

/** The parameters as a person would say them, without the usual ones. */
export function paramsText(params: Params): string {
  const words = Object.entries(params)
    .filter(([name, value]) => usual[name] !== value)
    .map(([name, value]) => {
      if (name === 'size') return bytesText(Number(value));
      if (name === 'rate') return `${value}/s`;
      if (name === 'acks') return `acks=${value}`;
      if (name === 'batches') return `${value} batches`;
      if (typeof value === 'number') return `${value} ${value === 1 ? name.replace(/s$/, '') : name}`;
      return value;
    });
  return words.join(', ');
}
