import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { commandLine } from './cli.ts';
import { parseBytes, parseOptions, type RawOptions } from './options.ts';
import { quoted } from './tools.ts';

const known = { systems: ['kafabric', 'kafka'], workloads: ['produce', 'consume', 'soak'] };
const parse = (raw: RawOptions) => parseOptions(raw, known, { dataFolder: '/data' });

describe('the options of the benchmark', () => {
  it('reads sizes as people write them', () => {
    const texts = ['100', '1KB', '1 kb', '1.5GB', '1e9', '10g'];
    assert.deepEqual(texts.map(parseBytes), [100, 1000, 1000, 1.5e9, 1e9, 10e9]);
    for (const wrong of ['', 'x', '-1', '0', '1 TB', '1KB2'])
      assert.throws(() => parseBytes(wrong), /not a number of bytes/);
  });

  it('runs three rounds, and one when it is quick', () => {
    assert.equal(parse({}).rounds, 3);
    assert.equal(parse({ quick: true }).rounds, 1);
    assert.equal(parse({ quick: true, rounds: '4' }).rounds, 4);
  });

  it('counts system calls in a full run unless told not to', () => {
    assert.deepEqual(
      [parse({}), parse({ quick: true }), parse({ syscalls: false })].map((o) => o.syscalls),
      [true, false, false],
    );
  });

  it('refuses what it does not know', () => {
    assert.throws(
      () => parse({ systems: 'kafabric,nats' }),
      /--systems: nats unknown; there are kafabric, kafka/,
    );
    assert.throws(() => parse({ workloads: 'produse' }), /produse unknown/);
    for (const rounds of ['0', '0.4', '1.5']) assert.throws(() => parse({ rounds }), /whole number above 0/);
    assert.throws(() => parse({ systems: '' }), /nothing to measure/);
    assert.throws(() => parse({ kafabricOverride: ['log.ack'] }), /key=value/);
  });

  it('pairs targets with their names and processes', () => {
    const { targets } = parse({ target: ['h:1', 'h:2'], name: ['redpanda'], pid: ['42'] });
    assert.deepEqual(targets, [
      { bootstrap: 'h:1', name: 'redpanda', pid: 42 },
      { bootstrap: 'h:2', name: 'target2', pid: null },
    ]);
    assert.throws(() => parse({ name: ['redpanda'] }), /belongs to a --target/);
    assert.throws(() => parse({ target: ['h:1'], name: ['kafka'] }), /not all different/);
  });

  it('keeps everything behind the first equals sign of a setting', () => {
    assert.deepEqual(parse({ kafkaOverride: ['a=b=c', 'd='] }).kafkaOverrides, { a: 'b=c', d: '' });
  });

  it('are repeated as a shell takes them', () => {
    const words = ['--sizes', '1KB,1MB', 'a=tcp;ofi_rxm', '$HOME', "it's", ''];
    const text = words.map(quoted).join(' ');
    assert.match(text, /^--sizes 1KB,1MB 'a=tcp;ofi_rxm' /);
    const shown = execFileSync('sh', ['-c', `printf '%s|' ${text}`], { encoding: 'utf8' });
    assert.equal(shown, `${words.join('|')}|`);
  });

  it('reaches the right command from the command line', async () => {
    const seen: unknown[] = [];
    const note =
      (name: string) =>
      async (...args: unknown[]) =>
        void seen.push([name, ...args.slice(0, 2)]);
    const actions = { run: note('run'), clients: note('clients'), report: note('report') };
    const line = (words: string) =>
      commandLine(actions, known).parseAsync(words.split(' '), { from: 'user' });
    await line('--quick --target h:1 --target h:2 --no-syscalls --check');
    await line('report x.json --docs');
    await line('clients --type producer --bootstrap h:1 --num-records 5');
    const [run, report, clients] = seen as [string, RawOptions, unknown][];
    assert.deepEqual(run![1], {
      systems: 'kafabric,kafka',
      quick: true,
      target: ['h:1', 'h:2'],
      syscalls: false,
      check: true,
    });
    assert.deepEqual(report, ['report', ['x.json'], { docs: true }]);
    assert.equal(clients![0], 'clients');
  });
});
