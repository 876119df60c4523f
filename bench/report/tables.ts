/** The content of the report, which Markdown and HTML only dress. */
import { groupCases, metricOf, ratioOf, type Summary, spread } from '../measure/statistics.ts';
import type { Results } from '../model.ts';
import { figures, number } from './figures.ts';
import { judge, paramsText, wanted } from './targets.ts';

/** What every ratio is against. */
export const baseline = 'kafka';

export interface TargetRow {
  system: string;
  path: string;
  params: string;
  figure: string;
  wanted: string;
  ratio: string;
  met: boolean;
  /** Of a missed one: see `Target.limit`. */
  limit?: string;
}

export interface Cell {
  text: string;
  /** Against the baseline: which way the comparison went. */
  verdict: 'better' | 'worse' | 'none';
}

export interface WorkloadTable {
  name: string;
  about: string;
  metrics: string[];
  rows: { params: string; system: string; cells: Cell[] }[];
}

function hasBaseline(results: Results): boolean {
  return results.systems.some(({ name }) => name === baseline);
}

function others(results: Results): string[] {
  return results.systems.map(({ name }) => name).filter((name) => name !== baseline);
}

/** "0.42x (0.40-0.45)": the median of the rounds' ratios, with their extremes when there are several. */
function ratioText({ median, min, max, count }: Summary): string {
  const range = count > 1 ? ` (${number(min)}-${number(max)})` : '';
  return `${number(median)}x${range}`;
}

/** As `ratioText`, of a figure itself. */
function ownText({ median, min, max, count }: Summary, metric: string): string {
  const range = count > 1 ? ` (${number(min)}-${number(max)})` : '';
  return `${number(median)} ${figures[metric]!.unit}${range}`;
}

/** The targets are Kafabric's; its variants are held to them as well. */
export function targetRows(results: Results): TargetRow[] {
  if (!hasBaseline(results)) return [];
  const ours = others(results).filter((name) => name.startsWith('kafabric'));
  return ours.flatMap((system) =>
    judge(results.measurements, system, baseline).map(({ target, params, ratio, met }) => ({
      system,
      path: target.path,
      params: paramsText(params),
      figure: target.figure,
      wanted: wanted(target),
      ratio: target.own ? ownText(ratio, target.metric) : ratioText(ratio),
      met,
      ...(met || target.limit === undefined ? {} : { limit: target.limit }),
    })),
  );
}

function valueText(summary: Summary): string {
  const part = spread(summary);
  return summary.count > 1
    ? `${number(summary.median)} ± ${Math.round(part * 100)} %`
    : number(summary.median);
}

function cell(one: ReturnType<typeof groupCases>[number], system: string, metric: string): Cell {
  const value = metricOf(one, system, metric);
  if (!value) return { text: '', verdict: 'none' };
  const ratio = system === baseline ? null : ratioOf(one, system, baseline, metric);
  if (!ratio) return { text: valueText(value), verdict: 'none' };
  const wins = figures[metric]?.better === 'higher' ? ratio.median >= 1 : ratio.median <= 1;
  return { text: `${valueText(value)} (${number(ratio.median)}x)`, verdict: wins ? 'better' : 'worse' };
}

/** One table a workload: a row for each case and system, a column for each figure that was taken. */
export function workloadTables(results: Results, details: boolean): WorkloadTable[] {
  const cases = groupCases(results.measurements);
  return results.workloads.map(({ name, about }) => {
    const mine = cases.filter(({ workload }) => workload === name);
    const taken = new Set(
      mine.flatMap((one) => [...one.bySystem.values()].flat().flatMap((m) => Object.keys(m.metrics))),
    );
    const metrics = Object.keys(figures).filter(
      (metric) => taken.has(metric) && (details || !figures[metric]!.detail),
    );
    const rows = mine.flatMap((one) =>
      results.systems
        .filter((system) => one.bySystem.has(system.name))
        .map((system) => ({
          params: paramsText(one.params),
          system: system.name,
          cells: metrics.map((metric) => cell(one, system.name, metric)),
        })),
    );
    return { name, about, metrics, rows };
  });
}

export interface Tally {
  met: number;
  missed: number;
}

export function tally(rows: readonly TargetRow[]): Tally {
  const met = rows.filter((row) => row.met).length;
  return { met, missed: rows.length - met };
}
