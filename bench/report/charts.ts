/** What the page plots: grouped bars, one chart for each figure worth a look. */
import { groupCases, metricOf } from '../measure/statistics.ts';
import type { Results } from '../model.ts';
import { heading } from './figures.ts';
import { paramsText } from './targets.ts';

export interface Chart {
  title: string;
  unit: string;
  labels: string[];
  /** By system, a value for each label; null where it was not measured. The extremes are drawn as a line. */
  series: { name: string; values: (number | null)[]; ranges: ([number, number] | null)[] }[];
  logarithmic: boolean;
}

const plotted: Record<string, string[]> = {
  startup: ['acceptSeconds', 'rssMb'],
  produce: ['mbPerS', 'cpuPerGb', 'syscallsPerRequest'],
  consume: ['mbPerS', 'cpuPerGb'],
  mixed: ['mbPerS', 'cpuPerGb'],
  latency: ['p50Ms', 'p99Ms'],
  small: ['recordsPerS', 'cpuUsPerRecord'],
  rebalance: ['formSeconds'],
  java: ['mbPerS'],
  node: ['mbPerS'],
  recovery: ['restartSeconds', 'recoverySeconds'],
  memory: ['rssMb'],
  fsync: ['mbPerS', 'cpuPerGb'],
  burst: ['mbPerS', 'cpuPerGb'],
  migration: ['p50Ms', 'p99Ms'],
  soak: ['mbPerS', 'p99Ms'],
};

/** Bars that differ by more than this are readable on a logarithmic axis only. */
const linearRange = 30;

function chart(results: Results, workload: string, metric: string): Chart | null {
  const cases = groupCases(results.measurements).filter(
    (one) => one.workload === workload && results.systems.some(({ name }) => metricOf(one, name, metric)),
  );
  if (cases.length === 0) return null;
  const series = results.systems.map(({ name }) => {
    const summaries = cases.map((one) => metricOf(one, name, metric));
    return {
      name,
      values: summaries.map((s) => s?.median ?? null),
      ranges: summaries.map((s): [number, number] | null => (s && s.count > 1 ? [s.min, s.max] : null)),
    };
  });
  const values = series
    .flatMap((one) => one.values)
    .filter((value) => value !== null && value > 0) as number[];
  return {
    title: heading(metric),
    unit: metric,
    labels: cases.map(({ params }) => paramsText(params) || workload),
    series,
    logarithmic: Math.max(...values) / Math.min(...values) > linearRange,
  };
}

export function chartsOf(results: Results, workload: string): Chart[] {
  const metrics = plotted[workload] ?? [];
  return metrics.map((metric) => chart(results, workload, metric)).filter((one) => one !== null);
}
