import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Metrics, type Params, type Results, resultsText } from '../model.ts';
import { root } from '../paths.ts';
import { chartsOf } from './charts.ts';
import { figures, number } from './figures.ts';
import { escapeHtml, htmlReport } from './html.ts';
import { joined } from './join.ts';
import { markdownReport, markdownTable } from './markdown.ts';
import { compare, type Regression, updated } from './regression.ts';
import { tally, targetRows } from './tables.ts';
import { judge, paramsText, targets, wanted } from './targets.ts';

const plain = (size: number): Params => ({
  size,
  acks: 'all',
  compression: 'none',
  partitions: 4,
  producers: 1,
});

function results(measured: [system: string, workload: string, params: Params, metrics: Metrics][]): Results {
  const names = [...new Set(measured.map(([, workload]) => workload))];
  return {
    started: '2026-01-02T03:04:05.000Z',
    seconds: 120,
    command: '--quick',
    mode: 'quick',
    rounds: 1,
    machine: { processor: 'one <script>' },
    settings: { client: 'librdkafka', 'one measurement': '1 s' },
    systems: ['kafabric', 'kafka'].map((name) => ({ name, version: '1', about: 'as it is' })),
    workloads: names.map((name) => ({ name, about: `about ${name}` })),
    measurements: measured.map(([system, workload, params, metrics]) => ({
      system,
      workload,
      params,
      metrics,
      round: 0,
    })),
    omissions: [
      { workload: 'node', system: 'kafka', reason: 'no | client' },
      { workload: 'small', system: 'kafka', reason: 'it ended', round: 1 },
    ],
  };
}

const sample = results([
  ['kafabric', 'produce', plain(100_000), { mbPerS: 2700, cpuPerGb: 0.6 }],
  ['kafka', 'produce', plain(100_000), { mbPerS: 300, cpuPerGb: 3 }],
  ['kafabric', 'startup', {}, { acceptSeconds: 0.5, rssMb: 100 }],
  ['kafka', 'startup', {}, { acceptSeconds: 4, rssMb: 300 }],
]);

describe('the targets', () => {
  it('are met and missed by the ratio, in both directions', () => {
    const verdicts = judge(sample.measurements, 'kafabric', 'kafka');
    const seen = verdicts.map(({ target, ratio, met }) => [
      target.metric,
      Number(ratio.median.toFixed(3)),
      met,
    ]);
    assert.deepEqual(seen, [
      ['mbPerS', 9, true],
      ['cpuPerGb', 0.2, false],
      ['acceptSeconds', 0.125, true],
      ['rssMb', 0.333, false],
    ]);
    assert.deepEqual(tally(targetRows(sample)), { met: 2, missed: 2 });
  });

  it('speak of the plain case alone where they say so', () => {
    const lz4 = { ...plain(100_000), compression: 'lz4' };
    const changed = results([
      ['kafabric', 'produce', lz4, { mbPerS: 1 }],
      ['kafka', 'produce', lz4, { mbPerS: 1 }],
    ]);
    assert.deepEqual(judge(changed.measurements, 'kafabric', 'kafka'), []);
  });

  it('of plain batches and of others are told apart', () => {
    const batches = { ...plain(1_000_000), batches: 'plain' };
    const both = results([
      ['kafabric', 'produce-kept', plain(1_000_000), { mbPerS: 900 }],
      ['kafka', 'produce-kept', plain(1_000_000), { mbPerS: 100 }],
      ['kafabric', 'produce-kept', batches, { mbPerS: 700 }],
      ['kafka', 'produce-kept', batches, { mbPerS: 100 }],
    ]);
    const rows = targetRows(both).map((row) => [row.params, row.ratio, row.met]);
    assert.deepEqual(rows, [
      ['1 MB', '9x', true],
      ['1 MB, plain batches', '7x', false],
    ]);
  });

  it('each state one direction, for a figure that the report knows', () => {
    for (const target of targets) {
      assert.ok((target.atLeast === undefined) !== (target.atMost === undefined), target.path);
      assert.ok(figures[target.metric] !== undefined, target.metric);
    }
    assert.deepEqual(
      [wanted(targets[0]!), wanted(targets[1]!), wanted(targets.find(({ atMost }) => atMost === 1)!)],
      ['at least 8x', 'at most 1/10', 'at most 1x'],
    );
  });

  it('name the record of what the distance is, where they are missed', () => {
    const text = (mbPerS: number) =>
      markdownReport(
        results([
          ['kafabric', 'produce', plain(1_000_000), { mbPerS }],
          ['kafka', 'produce', plain(1_000_000), { mbPerS: 100 }],
        ]),
      );
    const { limit } = targets.find(({ workload }) => workload === 'produce')!;
    const link = `**missed**, [why](decisions/${limit})`;
    assert.ok(text(700).includes(link));
    assert.ok(!text(900).includes('why'));
    for (const one of targets)
      if (one.limit !== undefined) assert.ok(existsSync(join(root, 'docs/decisions', one.limit)), one.limit);
  });

  it('may be about a figure itself, whatever the baseline has', () => {
    const params = { what: 'latency', size: 1000, path: 'shared-memory' };
    const direct = results([
      ['kafabric', 'direct', params, { p50Ms: 0.15 }],
      ['kafka', 'direct', params, { p50Ms: 0.1 }],
    ]);
    const rows = targetRows(direct).map((row) => [row.wanted, row.ratio, row.met]);
    assert.deepEqual(rows, [
      ['at most 1x', '1.5x', false],
      ['at most 0.2 ms', '0.15 ms', true],
    ]);
  });

  it('judge metadata by that of as many small events, and CPU by a push and a pull', () => {
    const path = 'shared-memory';
    const direct = results([
      ['kafabric', 'direct', { what: 'pull metadata only', size: 10_000_000, path }, { ofSmall: 0.5 }],
      ['kafabric', 'direct', { what: 'pull all', size: 1_000_000, path }, { pushPullCpuPerGb: 0.36 }],
      ['kafabric', 'direct', { what: 'pull all', size: 1000, path }, { recordsPerS: 500_000 }],
      ['kafabric', 'direct', { what: 'memory alone, copied' }, { mbPerS: 13_000 }],
    ]);
    const rows = targetRows(direct).map(({ params, wanted, ratio, met }) => [params, wanted, ratio, met]);
    assert.deepEqual(rows, [
      ['pull all, 1 KB, shared-memory', 'at least 52,000 1/s', '500,000 1/s', true],
      ['pull all, 1 MB, shared-memory', 'at most 0.3 s/GB', '0.36 s/GB', false],
      ['pull metadata only, 10 MB, shared-memory', 'at least 0.67 x', '0.5 x', false],
    ]);
  });

  it('are not judged without a baseline', () => {
    const alone = { ...sample, systems: sample.systems.slice(0, 1) };
    assert.deepEqual(targetRows(alone), []);
  });
});

describe('the report', () => {
  it('says in words what a case is', () => {
    assert.equal(paramsText(plain(1000)), '1 KB');
    assert.equal(
      paramsText({ ...plain(100), compression: 'lz4', producers: 64 }),
      '100 B, lz4, 64 producers',
    );
    assert.equal(paramsText({ size: 1e6, from: 'tail', consumers: 4 }), '1 MB, tail, 4 consumers');
    assert.equal(paramsText({ client: 'sockets', connections: 1 }), 'sockets, 1 connection');
  });

  it('rounds to three digits', () => {
    assert.deepEqual([1234.5, 12.345, 0.012345, Number.NaN].map(number), ['1,235', '12.3', '0.0123', '-']);
  });

  it('is a Markdown page with the command, both systems, wins and losses', () => {
    const text = markdownReport(sample);
    assert.match(text, /npm run bench -- --quick/);
    assert.match(text, /## Targets: 2 met, 2 missed/);
    assert.match(
      text,
      /\| produce 100 KB, 1 MB, 10 MB, dropped topics gone at once \| 100 KB \| throughput \| at least 8x \| 9x \| met \|/,
    );
    assert.match(
      text,
      /\| memory at rest \| {2}\| resident memory \| at most 1\/4 \| 0.333x \| \*\*missed\*\* \|/,
    );
    assert.match(text, /\| 100 KB \| kafabric \| 2,700 \(9x\) \| 0.6 \(0.2x\) \|/);
    assert.match(text, /\* node, kafka: no \\\| client/);
    assert.match(text, /\* small, kafka: failed in round 2: it ended/);
    assert.match(text, /one <script>/);
  });

  it('escapes cells and markup', () => {
    assert.equal(markdownTable(['a'], [['b|c']]), '| a |\n|---|\n| b\\|c |');
    assert.equal(escapeHtml('<a href="&">'), '&lt;a href=&quot;&amp;&quot;&gt;');
  });

  it('is one HTML page that loads nothing', () => {
    const page = htmlReport(sample);
    assert.doesNotMatch(page, /<(script|link|img)[^>]*(src|href)=/);
    assert.doesNotMatch(page, /one <script>/);
    assert.match(page, /<span class="missed">2 missed<\/span>/);
    assert.match(page, /<td class="better">2,700 \(9x\)<\/td>/);
    assert.equal(page.match(/<canvas/g)!.length, 4);
  });

  it('plots on a logarithmic axis what would not fit otherwise', () => {
    const wide = results([
      ['kafabric', 'produce', plain(1000), { mbPerS: 2 }],
      ['kafka', 'produce', plain(1000), { mbPerS: 200 }],
    ]);
    assert.deepEqual(
      chartsOf(wide, 'produce').map((chart) => chart.logarithmic),
      [true],
    );
    const [narrow] = chartsOf(sample, 'produce');
    assert.deepEqual([narrow!.logarithmic, narrow!.labels], [false, ['100 KB']]);
    assert.deepEqual(
      narrow!.series.map(({ values }) => values),
      [[2700], [300]],
    );
  });
});

describe('the regression check', () => {
  const key = 'produce size=100000 acks=all compression=none partitions=4 producers=1';
  const file = (mbPerS: number, cpuPerGb: number) => ({
    tolerance: 0.1,
    ratios: { [`${key} mbPerS`]: { ratio: mbPerS }, [`${key} cpuPerGb`]: { ratio: cpuPerGb } },
  });

  const falls = (run: Results, regression: Regression) =>
    compare(run, regression).filter(({ fallen }) => fallen);
  /** A run whose rounds had these figures, where the baseline had 1. */
  const rounds = (workload: string, metric: string, values: number[], params: Params = {}): Results => {
    const run = results([]);
    const of = (system: string, value: number, round: number) => ({
      ...{ system, workload, params, round },
      metrics: { [metric]: value },
    });
    return {
      ...run,
      measurements: values.flatMap((value, round) => [of('kafabric', value, round), of('kafka', 1, round)]),
    };
  };

  it('lets a ratio wander within the tolerance', () => {
    assert.deepEqual(falls(sample, file(9.9, 0.19)), []);
    assert.deepEqual(falls(sample, file(1, 5)), []);
  });

  it('names what got worse, in the direction in which it does', () => {
    const worse = falls(sample, file(10.1, 0.18));
    assert.deepEqual(
      worse.map((fall) => fall.key),
      [`${key} mbPerS`, `${key} cpuPerGb`],
    );
    assert.equal(worse[0]!.allowed.toFixed(2), '9.09');
  });

  it('obeys a tolerance of a single entry', () => {
    const loose = { tolerance: 0.1, ratios: { [`${key} mbPerS`]: { ratio: 20, tolerance: 0.6 } } };
    assert.deepEqual(falls(sample, loose), []);
  });

  it('takes new ratios and keeps what was not measured', () => {
    const before = {
      tolerance: 0.1,
      ratios: { 'other x': { ratio: 1 }, [`${key} mbPerS`]: { ratio: 1, tolerance: 0.5 } },
    };
    assert.deepEqual(
      compare(sample, before).map((one) => one.key),
      [`${key} mbPerS`],
    );
    const after = updated(sample, before);
    assert.deepEqual(after.ratios['other x'], { ratio: 1 });
    assert.deepEqual(after.ratios[`${key} mbPerS`], { ratio: 9, tolerance: 0.5 });
    assert.deepEqual(after.ratios['startup acceptSeconds'], { ratio: 0.125 });
    assert.deepEqual(Object.keys(after.ratios), Object.keys(after.ratios).sort());
  });

  it('takes the tolerance of a ratio from the spread of its rounds', () => {
    const saved = (run: Results) => Object.values(updated(run, { tolerance: 0.3, ratios: {} }).ratios);
    // 15 % beyond the worst: 0.2 * 1.15 is 2.3 times the median, 5 * 0.85 is 0.425 of it.
    assert.deepEqual(saved(rounds('startup', 'acceptSeconds', [0.1, 0.2, 0.05])), [
      { ratio: 0.1, tolerance: 1.3 },
    ]);
    assert.deepEqual(saved(rounds('small', 'recordsPerS', [10, 5, 12])), [{ ratio: 10, tolerance: 0.58 }]);
    assert.deepEqual(saved(rounds('small', 'recordsPerS', [10, 9.5, 12])), [{ ratio: 10 }]);
    const noisy = updated(rounds('small', 'recordsPerS', [10, 5, 12]), { tolerance: 0.3, ratios: {} });
    assert.deepEqual(falls(rounds('small', 'recordsPerS', [5]), noisy), []);
    assert.equal(falls(rounds('small', 'recordsPerS', [4]), noisy).length, 1);
    const calm = updated(rounds('small', 'recordsPerS', [10, 9.5, 10]), noisy);
    assert.equal(falls(rounds('small', 'recordsPerS', [5]), calm).length, 1);
  });

  it('lets a figure itself fall to its target, and watches it on the processor that it was saved on alone', () => {
    const params = { what: 'push', size: 1_000_000, path: 'tcp' };
    const cpu = (...values: number[]) => rounds('direct', 'bothCpuPerGb', values, params);
    const name = 'direct what=push size=1000000 path=tcp bothCpuPerGb itself';
    const met = updated(cpu(0.5), { tolerance: 0.3, ratios: {} });
    assert.deepEqual(met.ratios, { [name]: { ratio: 0.5, processor: 'one <script>' } });
    assert.deepEqual(falls(cpu(1), met), []);
    assert.deepEqual(
      falls(cpu(1.1), met).map((fall) => fall.allowed),
      [1],
    );
    const missed = updated(cpu(2), met);
    assert.deepEqual(falls(cpu(2.5), missed), []);
    assert.equal(falls(cpu(2.7), missed).length, 1);
    assert.deepEqual(compare({ ...cpu(9), machine: { processor: 'another' } }, missed), []);
  });
});

describe('several runs in one report', () => {
  const later: Results = {
    ...results([
      ['kafabric', 'produce', plain(100_000), { mbPerS: 3000, cpuPerGb: 0.5 }],
      ['kafka', 'produce', plain(100_000), { mbPerS: 200, cpuPerGb: 4 }],
    ]),
    started: '2026-01-03T03:04:05.000Z',
    command: '--workloads produce',
    settings: { client: 'librdkafka', 'one measurement': '4 s' },
    omissions: [],
  };

  it('has each workload as a whole from the last run that has it', () => {
    const bare = { ...sample.systems[0]!, name: 'bare' };
    const figures = {
      system: 'bare',
      workload: 'produce',
      params: plain(100_000),
      round: 0,
      metrics: { mbPerS: 3100 },
    };
    const first = {
      ...sample,
      systems: [...sample.systems, bare],
      measurements: [...sample.measurements, figures],
    };
    const both = joined([first, later]);
    const of = (workload: string) => both.measurements.filter((one) => one.workload === workload);
    assert.deepEqual(of('produce'), later.measurements);
    assert.deepEqual(of('startup'), sample.measurements.slice(2));
    assert.deepEqual(
      both.systems.map(({ name }) => name),
      ['kafabric', 'kafka'],
    );
    assert.deepEqual(both.omissions, sample.omissions);
    assert.deepEqual(both.settings, { client: 'librdkafka' });
    assert.match(
      markdownReport(both),
      /-- --quick\n\n2026-01-02, quick, 1 rounds, 2 minutes: startup; one measurement: 1 s\.\n\n {4}npm run bench -- --workloads produce\n\n2026-01-03, .*: produce; one measurement: 4 s\./,
    );
    assert.match(htmlReport(both), /minutes: startup; one measurement: 1 s\..*--quick<\/code>/);
    assert.equal(joined([sample]), sample);
  });

  it('is kept as JSON with a line for each measurement', () => {
    const both = joined([sample, later]);
    assert.deepEqual(JSON.parse(resultsText(both)), both);
    const lines = resultsText(both).split('\n');
    for (const one of both.measurements)
      assert.ok(lines.some((line) => line.replace(/,$/, '') === `  ${JSON.stringify(one)}`));
  });

  it('is refused for runs of different machines', () => {
    assert.throws(
      () => joined([sample, { ...later, machine: { processor: 'another' } }]),
      /different machines/,
    );
  });
});
