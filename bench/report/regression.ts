/** bench/regression.json: the ratios that a change must not make worse, and by how much they may wander. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Results } from '../model.ts';
import { caseName } from '../model.ts';
import { baseline } from './tables.ts';
import { judge, type Verdict } from './targets.ts';

export interface Regression {
  /** Part of the ratio by which it may be worse, unless an entry says otherwise. */
  tolerance: number;
  ratios: Record<string, { ratio: number; tolerance?: number }>;
}

export interface Fall {
  key: string;
  before: number;
  now: number;
  allowed: number;
}

/** "produce size=1000 acks=all ... mbPerS"; the figures are those that have a target. */
function keyOf({ target, params }: Verdict): string {
  return [target.workload, caseName(params), target.metric].filter((part) => part !== '').join(' ');
}

export function ratiosOf(results: Results, system = 'kafabric'): Map<string, Verdict> {
  const ratios = judge(results.measurements, system, baseline).filter(({ target }) => !target.own);
  return new Map(ratios.map((verdict) => [keyOf(verdict), verdict]));
}

/** The limit that a ratio must keep: below it where more is better, above it where less is. */
function limitOf({ target }: Verdict, ratio: number, tolerance: number): number {
  return target.atLeast === undefined ? ratio * (1 + tolerance) : ratio * (1 - tolerance);
}

/** Ratios that are worse than the file allows. What either side lacks is not compared. */
export function falls(results: Results, regression: Regression): Fall[] {
  return [...ratiosOf(results)].flatMap(([key, verdict]) => {
    const known = regression.ratios[key];
    if (!known) return [];
    const now = verdict.ratio.median;
    const allowed = limitOf(verdict, known.ratio, known.tolerance ?? regression.tolerance);
    const fallen = verdict.target.atLeast === undefined ? now > allowed : now < allowed;
    return fallen ? [{ key, before: known.ratio, now, allowed }] : [];
  });
}

/** The file with this run's ratios in place of the old; entries that were not measured stay, as do tolerances. */
export function updated(results: Results, regression: Regression): Regression {
  const ratios = { ...regression.ratios };
  for (const [key, { ratio }] of ratiosOf(results)) {
    ratios[key] = { ...ratios[key], ratio: Number(ratio.median.toPrecision(3)) };
  }
  return {
    ...regression,
    ratios: Object.fromEntries(Object.entries(ratios).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

export function readRegression(file: string): Regression {
  return JSON.parse(readFileSync(file, 'utf8')) as Regression;
}

export function writeRegression(file: string, regression: Regression): void {
  writeFileSync(file, `${JSON.stringify(regression, null, 2)}\n`);
}
