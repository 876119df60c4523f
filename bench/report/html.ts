import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { omissionTexts, type Results } from '../model.ts';
import { type Chart, chartsOf } from './charts.ts';
import { heading } from './figures.ts';
import { runsOf, runText } from './join.ts';
import { drawCharts, style } from './page.ts';
import { type TargetRow, tally, targetRows, type WorkloadTable, workloadTables } from './tables.ts';

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => entities[character]!);
}

function table(head: string[], rows: string[]): string {
  const columns = head.map((one) => `<th>${escapeHtml(one)}</th>`).join('');
  return `<div class="scroll"><table><thead><tr>${columns}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

function targetsHtml(rows: TargetRow[]): string {
  if (rows.length === 0)
    return '<p>No targets: they are ratios of Kafabric to Kafka, which were not both measured.</p>';
  const { met, missed } = tally(rows);
  const several = new Set(rows.map(({ system }) => system)).size > 1;
  const lines = rows.map((row) => {
    const cells = [
      several ? `${row.system}: ${row.path}` : row.path,
      row.params,
      row.figure,
      row.wanted,
      row.ratio,
    ].map(escapeHtml);
    const verdict = row.met ? 'met' : 'missed';
    const why = row.limit === undefined ? '' : `, see docs/decisions/${escapeHtml(row.limit)}`;
    return `<tr><td>${cells.join('</td><td>')}</td><td class="${verdict}">${verdict}${why}</td></tr>`;
  });
  return `<p><span class="met">${met} met</span>, <span class="missed">${missed} missed</span>. Ratios to Apache Kafka: the median of the ratios of single rounds, with the extremes.</p>
${table(['path', 'case', 'figure', 'target', 'measured', ''], lines)}`;
}

function workloadHtml({ name, about, metrics, rows }: WorkloadTable, charts: Chart[], first: number): string {
  if (rows.length === 0) return '';
  let previous = '';
  const lines = rows.map(({ params, system, cells }) => {
    const opens = params !== previous;
    previous = params;
    const figures = cells
      .map(({ text, verdict }) => `<td class="${verdict}">${escapeHtml(text)}</td>`)
      .join('');
    return `<tr${opens ? ' class="opens"' : ''}><td>${opens ? escapeHtml(params) : ''}</td><td>${escapeHtml(system)}</td>${figures}</tr>`;
  });
  const canvases = charts
    .map(
      (chart, i) =>
        `<figure><figcaption>${escapeHtml(chart.title)}</figcaption><div class="plot"><canvas id="chart-${first + i}"></canvas></div></figure>`,
    )
    .join('\n');
  return `<section id="${name}"><h2>${name}</h2><p>${escapeHtml(about)}.</p>
<div class="plots">${canvases}</div>
<details open><summary>Figures</summary>${table(['case', 'system', ...metrics.map(heading)], lines)}</details></section>`;
}

function definitions(record: Record<string, string>): string {
  const entries = Object.entries(record).map(
    ([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`,
  );
  return `<dl>${entries.join('')}</dl>`;
}

function chartLibrary(): string {
  // The package exports no path to its build for browsers, which lies beside its main file.
  const main = createRequire(import.meta.url).resolve('chart.js');
  return readFileSync(join(dirname(main), 'chart.umd.min.js'), 'utf8').replace(
    /\n\/\/# sourceMappingURL.*/,
    '',
  );
}

/** JSON inside a script element: nothing in it may end the element. */
function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}

function omissionsHtml(results: Results): string {
  if (results.omissions.length === 0) return '';
  return `<section><h2>Not measured</h2><ul>${omissionTexts(results)
    .map((line) => `<li>${escapeHtml(line)}</li>`)
    .join('')}</ul></section>`;
}

/** One page with everything in it: it needs no network. */
export function htmlReport(results: Results): string {
  const tables = workloadTables(results, true);
  const charts = tables.map(({ name }) => chartsOf(results, name));
  let first = 0;
  const sections = tables.map((one, i) => {
    const html = workloadHtml(one, charts[i]!, first);
    first += charts[i]!.length;
    return html;
  });
  const links = tables
    .filter(({ rows }) => rows.length > 0)
    .map(({ name }) => `<a href="#${name}">${name}</a>`);
  const systems = Object.fromEntries(
    results.systems.map(({ name, version, about }) => [name, `${version}, ${about}`]),
  );
  const said = runsOf(results).map(
    (run) =>
      `<p>${escapeHtml(runText(run, results))}. Reproduce with <code>npm run bench -- ${escapeHtml(run.command)}</code></p>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kafabric benchmark, ${results.started.slice(0, 10)}</title><style>${style}</style></head>
<body><header><h1>Kafabric beside its peers</h1>
${said.join('\n')}<nav><a href="#targets">targets</a> ${links.join(' ')}</nav></header>
<section id="targets"><h2>Targets</h2>${targetsHtml(targetRows(results))}</section>
<p>In the tables below: the median of the rounds ± half of their range, and in parentheses the ratio to Kafka. Lines over the bars are the extremes.</p>
${sections.join('\n')}
${omissionsHtml(results)}
<section class="facts"><div><h2>Systems</h2>${definitions(systems)}</div><div><h2>Machine</h2>${definitions(results.machine)}</div>
<div><h2>Settings</h2>${definitions(results.settings)}</div></section>
<script>${chartLibrary()}</script><script>const charts = ${scriptJson(charts.flat())};${drawCharts}</script></body></html>
`;
}
