/** bench/regression.json: the figures with targets that a change must not make worse, and by how much they may wander. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Results } from '../model.ts';
import { caseName } from '../model.ts';
import { baseline } from './tables.ts';
import { judge, type Verdict } from './targets.ts';

interface Entry {
  /** To the baseline; or the figure itself, where the target is about it. */
  ratio: number;
  tolerance?: number;
  /** What a figure itself was taken on; a ratio holds anywhere. */
  processor?: string;
}

export interface Regression {
  /** Part of a ratio by which it may be worse, unless an entry says otherwise. */
  tolerance: number;
  ratios: Record<string, Entry>;
}

export interface Comparison {
  key: string;
  before: number;
  now: number;
  /** The limit: below it where more is better, above it where less is. */
  allowed: number;
  fallen: boolean;
}

/** How much worse than the worst of its rounds a ratio may be; more rounds would have had a worse one. */
const margin = 0.15;

/** "produce size=1000 acks=all ... mbPerS"; the figures are those that have a target. */
function keyOf({ target, params }: Verdict): string {
  const parts = [target.workload, caseName(params), target.metric, target.own ? 'itself' : ''];
  return parts.filter((part) => part !== '').join(' ');
}

function watched(results: Results): Map<string, Verdict> {
  const verdicts = judge(results.measurements, 'kafabric', baseline);
  return new Map(verdicts.map((verdict) => [keyOf(verdict), verdict]));
}

/** A figure itself depends on the machine, so that one that meets its target is good enough, however good it was. */
function limitOf({ target: { own, atLeast, atMost } }: Verdict, ratio: number, tolerance: number): number {
  if (atLeast !== undefined)
    return Math.min(ratio * (1 - tolerance), own ? atLeast : Number.POSITIVE_INFINITY);
  return Math.max(ratio * (1 + tolerance), own ? atMost! : 0);
}

/** What both sides have, a figure itself only on the processor that it was saved on. */
export function compare(results: Results, regression: Regression): Comparison[] {
  return [...watched(results)].flatMap(([key, verdict]) => {
    const known = regression.ratios[key];
    if (!known || (known.processor ?? results.machine.processor) !== results.machine.processor) return [];
    const now = verdict.ratio.median;
    const allowed = limitOf(verdict, known.ratio, known.tolerance ?? regression.tolerance);
    const fallen = verdict.target.atLeast === undefined ? now > allowed : now < allowed;
    return [{ key, before: known.ratio, now, allowed, fallen }];
  });
}

/** Up to the worst round and the margin beyond it, in hundredths; no less than `least`. */
function toleranceOf({ target, ratio: { median, min, max } }: Verdict, least: number): number {
  const worst =
    target.atLeast === undefined ? (max / median) * (1 + margin) - 1 : 1 - (min / median) * (1 - margin);
  return Math.max(least, Math.ceil(worst * 100) / 100);
}

function entryOf(verdict: Verdict, before: Entry | undefined, least: number, processor: string): Entry {
  // One round has no spread: what was seen in several stays.
  const tolerance = verdict.ratio.count > 1 ? toleranceOf(verdict, least) : (before?.tolerance ?? least);
  return {
    ratio: Number(verdict.ratio.median.toPrecision(3)),
    ...(tolerance > least ? { tolerance } : {}),
    ...(verdict.target.own ? { processor } : {}),
  };
}

/** The file with this run's ratios, and tolerances after their spread, in place of the old; entries that were not measured stay. */
export function updated(results: Results, regression: Regression): Regression {
  const ratios = { ...regression.ratios };
  const { tolerance } = regression;
  for (const [key, verdict] of watched(results))
    ratios[key] = entryOf(verdict, ratios[key], tolerance, results.machine.processor!);
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
