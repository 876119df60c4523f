import type { Results, RunInfo } from '../model.ts';

/** What is said of how results came about: of each run that they are of. */
export function runsOf(results: Results): RunInfo[] {
  if (results.runs !== undefined) return results.runs;
  const { started, seconds, command, mode, rounds, settings, workloads } = results;
  return [
    { started, seconds, command, mode, rounds, settings, workloads: workloads.map(({ name }) => name) },
  ];
}

/**
 * Several runs as one: every workload is of the last run that has it, as a whole, so that ratios stay within a run.
 * @param runs from the first to the last; throws when they are of different machines
 */
export function joined(runs: readonly Results[]): Results {
  return runs.reduce((before, after) => {
    if (JSON.stringify(before.machine) !== JSON.stringify(after.machine))
      throw new Error(`the runs of ${before.started} and ${after.started} are of different machines`);
    const again = new Set(after.workloads.map(({ name }) => name));
    const isKept = ({ workload }: { workload: string }) => !again.has(workload);
    const measurements = [...before.measurements.filter(isKept), ...after.measurements];
    const measured = new Set(measurements.map(({ system }) => system));
    const systems = new Map([...before.systems, ...after.systems].map((system) => [system.name, system]));
    const kept = runsOf(before).map((run) => ({
      ...run,
      workloads: run.workloads.filter((name) => !again.has(name)),
    }));
    const runs = [...kept.filter(({ workloads }) => workloads.length > 0), ...runsOf(after)];
    return {
      ...after,
      settings: common(runs),
      systems: [...systems.values()].filter(({ name }) => measured.has(name)),
      workloads: [...before.workloads.filter(({ name }) => !again.has(name)), ...after.workloads],
      measurements,
      omissions: [...before.omissions.filter(isKept), ...after.omissions],
      runs,
    };
  });
}

function common(runs: readonly RunInfo[]): Record<string, string> {
  const isOfAll = ([key, value]: [string, string]) => runs.every(({ settings }) => settings[key] === value);
  return Object.fromEntries(Object.entries(runs[0]!.settings).filter(isOfAll));
}

/** "2026-01-02, full, 3 rounds, 59 minutes"; where there are several runs, of which workloads, and what only it was set to. */
export function runText(
  { started, mode, rounds, seconds, workloads, settings }: RunInfo,
  { runs, settings: ofAll }: Results,
): string {
  const parts = [started.slice(0, 10), mode, `${rounds} rounds`, `${(seconds / 60).toFixed(0)} minutes`];
  if (runs === undefined || runs.length === 1) return parts.join(', ');
  const own = Object.entries(settings).filter(([key]) => !(key in ofAll));
  return [`${parts.join(', ')}: ${workloads.join(', ')}`, ...own.map((pair) => pair.join(': '))].join('; ');
}
