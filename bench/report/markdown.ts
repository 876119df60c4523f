import { omissionTexts, type Results } from '../model.ts';
import { heading } from './figures.ts';
import { runsOf, runText } from './join.ts';
import { type TargetRow, tally, targetRows, type WorkloadTable, workloadTables } from './tables.ts';

function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

export function markdownTable(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

function pairs(record: Record<string, string>): string {
  return Object.entries(record)
    .map(([name, value]) => `* ${name}: ${value}`)
    .join('\n');
}

function missedText({ limit }: TargetRow): string {
  return limit === undefined ? '**missed**' : `**missed**, [why](decisions/${limit})`;
}

function targetSection(rows: TargetRow[]): string {
  if (rows.length === 0) return '';
  const { met, missed } = tally(rows);
  const table = markdownTable(
    ['path', 'case', 'figure', 'target', 'measured', ''],
    rows.map((row) => [
      row.path,
      row.params,
      row.figure,
      row.wanted,
      row.ratio,
      row.met ? 'met' : missedText(row),
    ]),
  );
  return `## Targets: ${met} met, ${missed} missed
Ratios to Apache Kafka, the median of the ratios of single rounds (with the extremes).

${table}

`;
}

function workloadSection({ name, about, metrics, rows }: WorkloadTable): string {
  if (rows.length === 0) return '';
  const table = markdownTable(
    ['case', 'system', ...metrics.map(heading)],
    rows.map(({ params, system, cells }) => [params, system, ...cells.map(({ text }) => text)]),
  );
  return `### ${name}\n${about}.\n\n${table}\n\n`;
}

function omissionSection(results: Results): string {
  if (results.omissions.length === 0) return '';
  const lines = omissionTexts(results).map((line) => `* ${escaped(line)}`);
  return `## Not measured\n${lines.join('\n')}\n`;
}

/** The whole of docs/benchmarks.md. */
export function markdownReport(results: Results): string {
  const systems = results.systems
    .map(({ name, version, about }) => `* ${name}: ${version}, ${about}`)
    .join('\n');
  const tables = workloadTables(results, false).map(workloadSection).join('');
  const said = runsOf(results).map(
    (run) => `    npm run bench -- ${run.command}\n\n${runText(run, results)}.`,
  );
  return `# Benchmarks

Written by the benchmark itself; see [bench](../bench/README.md) for what is measured and how.

${said.join('\n\n')}

## Systems
${systems}

## Machine
${pairs(results.machine)}

## Settings
${pairs(results.settings)}

${targetSection(targetRows(results))}## Figures
Medians of the rounds with half of their range in per cent; in parentheses the ratio to Kafka in the same round (the median of those).

${tables}${omissionSection(results)}`
    .replace(/\n{3,}/g, '\n\n')
    .trimEnd()
    .concat('\n');
}
