/** What the harness passes around, and what a results file holds. */

/** Figures by name; a figure that could not be taken is absent. */
export type Metrics = Record<string, number>;

/** What distinguishes one measurement of a workload from the others. */
export type Params = Record<string, string | number>;

export interface Measurement {
  workload: string;
  params: Params;
  system: string;
  round: number;
  metrics: Metrics;
}

/** Something that was not measured, and why. */
export interface Omission {
  workload: string;
  system: string;
  reason: string;
  /** The round in which it failed; absent where it was left out on purpose. */
  round?: number;
}

/** What was not measured, in lines; what failed in some rounds is told from what was never measured. */
export function omissionTexts({ omissions }: Results): string[] {
  const lines = omissions.map(
    ({ workload, system, reason, round }) =>
      `${workload}, ${system}: ${round === undefined ? '' : `failed in round ${round + 1}: `}${reason}`,
  );
  return [...new Set(lines)];
}

export interface SystemInfo {
  name: string;
  version: string;
  about: string;
}

/** How measurements came about. `started`: as ISO 8601; `command`: what was typed behind `npm run bench --`. */
interface Run {
  started: string;
  seconds: number;
  command: string;
  mode: string;
  rounds: number;
}

/** `workloads`: names of those that are of this run; `settings`: all of its own. */
export interface RunInfo extends Run {
  workloads: string[];
  settings: Record<string, string>;
}

export interface Results extends Run {
  machine: Record<string, string>;
  /** Those that are the same in all runs. */
  settings: Record<string, string>;
  systems: SystemInfo[];
  workloads: { name: string; about: string }[];
  measurements: Measurement[];
  omissions: Omission[];
  /** The runs that these are put together from; of one when absent. */
  runs?: RunInfo[];
}

/** Results as JSON with a line for each measurement, so that a diff shows which have changed. */
export function resultsText({ measurements, ...rest }: Results): string {
  const lines = measurements.map((measurement) => `  ${JSON.stringify(measurement)}`);
  return `${JSON.stringify(rest, null, 1).slice(0, -2)},\n "measurements": [\n${lines.join(',\n')}\n ]\n}\n`;
}

/** The key of a measurement within its workload: `size=1000 acks=all`. */
export function caseName(params: Params): string {
  return Object.entries(params)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

/** 1000 → "1 KB"; sizes are decimal, as throughput is. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}
