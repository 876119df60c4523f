import type { Measurement, Params } from '../model.ts';
import { caseName } from '../model.ts';

export interface Summary {
  median: number;
  min: number;
  max: number;
  count: number;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function summarize(values: readonly number[]): Summary {
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    count: values.length,
  };
}

/** Half the distance between the extremes as a part of the median: 0.1 is "± 10 %". */
export function spread({ median, min, max }: Summary): number {
  return median === 0 ? 0 : (max - min) / 2 / Math.abs(median);
}

/** The value that `part` of all values do not exceed (nearest rank). */
export function percentile(values: readonly number[], part: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(part * sorted.length) - 1))]!;
}

/** All measurements of one case: by system, in the order of rounds. */
export interface Case {
  workload: string;
  params: Params;
  bySystem: Map<string, Measurement[]>;
}

export function groupCases(measurements: readonly Measurement[]): Case[] {
  const cases = new Map<string, Case>();
  for (const one of measurements) {
    const key = `${one.workload} ${caseName(one.params)}`;
    let found = cases.get(key);
    if (!found) {
      found = { workload: one.workload, params: one.params, bySystem: new Map() };
      cases.set(key, found);
    }
    const list = found.bySystem.get(one.system) ?? [];
    list.push(one);
    found.bySystem.set(one.system, list);
  }
  return [...cases.values()];
}

export function metricOf(one: Case, system: string, metric: string): Summary | null {
  const values = (one.bySystem.get(system) ?? [])
    .map(({ metrics }) => metrics[metric])
    .filter((value) => value !== undefined);
  return values.length === 0 ? null : summarize(values);
}

/** `system` against `baseline`, each round's figures with each other only; null when no round has both. */
export function ratioOf(one: Case, system: string, baseline: string, metric: string): Summary | null {
  const others = new Map(one.bySystem.get(baseline)?.map((m) => [m.round, m.metrics[metric]]));
  const ratios = (one.bySystem.get(system) ?? []).flatMap(({ round, metrics }) => {
    const [ours, theirs] = [metrics[metric], others.get(round)];
    return ours === undefined || theirs === undefined || theirs === 0 ? [] : [ours / theirs];
  });
  return ratios.length === 0 ? null : summarize(ratios);
}
