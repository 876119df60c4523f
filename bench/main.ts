import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandLine, type ReportFlags, type RunFlags } from './cli.ts';
import { parsePlan } from './clients/plan.ts';
import { printClients } from './clients/run.ts';
import { omissionTexts, type Results, resultsText } from './model.ts';
import { parseOptions, type RawOptions } from './options.ts';
import { cache, recordedFile, resultsFolder, root, sources } from './paths.ts';
import { number } from './report/figures.ts';
import { htmlReport } from './report/html.ts';
import { joined } from './report/join.ts';
import { markdownReport } from './report/markdown.ts';
import { compare, type Regression, readRegression, updated, writeRegression } from './report/regression.ts';
import { tally, targetRows } from './report/tables.ts';
import { runBenchmark } from './runner.ts';
import { variants } from './systems/deployments.ts';
import { abandonSystems } from './systems/local.ts';
import { quoted } from './tools.ts';
import { workloads } from './workloads/index.ts';

const regressionFile = join(sources, 'regression.json');
const known = { systems: Object.keys(variants), workloads: workloads.map(({ name }) => name) };

/** What was typed, so that the report can say how to do it again. */
function typed(): string {
  return process.argv.slice(2).map(quoted).join(' ');
}

function readResults(file: string): Results {
  return JSON.parse(readFileSync(file, 'utf8')) as Results;
}

function writeReports(results: Results, name: string): void {
  const page = join(resultsFolder, `${name}.html`);
  const table = join(resultsFolder, `${name}.md`);
  writeFileSync(page, htmlReport(results));
  writeFileSync(table, markdownReport(results));
  console.log(`\n${relative(root, page)}\n${relative(root, table)}`);
}

/** Workloads that were not measured now stay in docs/benchmarks.md as they were recorded. */
function record(results: Results): void {
  const all = existsSync(recordedFile) ? joined([readResults(recordedFile), results]) : results;
  const table = join(root, 'docs/benchmarks.md');
  writeFileSync(recordedFile, resultsText(all));
  writeFileSync(table, markdownReport(all));
  console.log(`${relative(root, recordedFile)}\n${relative(root, table)}`);
}

function summary(results: Results): void {
  const rows = targetRows(results);
  const { met, missed } = tally(rows);
  console.log(`\n${results.seconds} s; targets: ${met} met, ${missed} missed`);
  for (const row of rows)
    console.log(
      `  ${row.met ? 'met   ' : 'MISSED'} ${[row.path, row.params].filter((part) => part !== '').join(', ')}: ${row.figure} ${row.ratio}, ${row.wanted}`,
    );
  for (const line of omissionTexts(results)) console.log(`  not measured: ${line.split('\n')[0]}`);
}

/** Fails the run when something got worse than allowed, or was to be checked and could not be measured. */
function check(results: Results, before: Regression): void {
  const compared = compare(results, before);
  if (compared.length === 0)
    throw new Error('--check: this run measured nothing that bench/regression.json has');
  const worse = compared.filter(({ fallen }) => fallen);
  for (const { key, before, now, allowed } of worse)
    console.error(`worse: ${key}: ${number(now)}, was ${before}, allowed ${number(allowed)}`);
  if (worse.length > 0) process.exitCode = 1;
  else console.log(`none of ${compared.length} figures is worse than bench/regression.json allows`);
}

/** After which an interrupted benchmark ends whether or not its brokers have. */
const interruptMs = 30_000;

/** Brokers end with the benchmark, and their data goes. */
function endInOrder(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, async () => {
      console.error(`bench: ${signal}, stopping what is running ...`);
      await Promise.race([abandonSystems(signal), sleep(interruptMs)]);
      process.exit(128 + constants.signals[signal]);
    });
}

async function run(raw: RawOptions & RunFlags): Promise<void> {
  endInOrder();
  const options = parseOptions(raw, known, { dataFolder: join(cache, 'data') });
  const before = readRegression(regressionFile);
  const results = await runBenchmark(options, typed());
  mkdirSync(resultsFolder, { recursive: true });
  const name = results.started.replace(/[:T]/g, '-').slice(0, 19);
  writeFileSync(join(resultsFolder, `${name}.json`), resultsText(results));
  summary(results);
  writeReports(results, name);
  if (raw.docs) record(results);
  if (raw.saveRegression) writeRegression(regressionFile, updated(results, before));
  // With what was there before, whether or not it is kept.
  if (raw.check) check(results, before);
  if (results.omissions.some(({ round }) => round !== undefined)) process.exitCode = 1;
}

function newestResults(): string {
  const names = readdirSync(resultsFolder).filter((name) => name.endsWith('.json'));
  const last = names.sort().at(-1);
  if (!last) throw new Error('there are no results yet: npm run bench -- --quick');
  return join(resultsFolder, last);
}

async function report(files: string[], { docs, saveRegression }: ReportFlags): Promise<void> {
  const sources = files.length > 0 ? files : [newestResults()];
  const results = joined(sources.map(readResults));
  const name = basename(sources.at(-1)!, '.json');
  summary(results);
  writeReports(results, sources.length > 1 ? `${name}-joined` : name);
  if (docs) record(results);
  if (saveRegression) writeRegression(regressionFile, updated(results, readRegression(regressionFile)));
}

try {
  await commandLine({ run, report, clients: (raw) => printClients(parsePlan(raw)) }, known).parseAsync();
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
}
