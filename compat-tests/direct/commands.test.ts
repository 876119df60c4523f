import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { targetIsKafka } from '../harness/broker.ts';
import { patience } from '../harness/child.ts';
import { gatewayProgram } from '../harness/paths.ts';
import { content, type DirectGateway, startDirectGateway } from './fixture.ts';

const run = promisify(execFile);

describe('commands of the direct API', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let directory: string;

  before(async () => {
    gateway = await startDirectGateway();
    directory = mkdtempSync(join(tmpdir(), 'commands-'));
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await gateway.broker.stop();
  });

  const kafabric = async (...args: string[]) =>
    (await run(process.execPath, [gatewayProgram, ...args, '--bootstrap', gateway.direct])).stdout;

  it('create, fill, read and delete a topic', async () => {
    await kafabric('topics', 'create', 'files', '--partitions', '2', '--set', 'retention.ms=1000000');
    assert.deepEqual(
      JSON.parse(await kafabric('topics', 'list', '--json')).map(({ topic, partitions }: never) => [
        topic,
        partitions,
      ]),
      [['files', 2]],
    );
    assert.match(await kafabric('configs', 'show', 'files'), /retention\.ms +1000000\n/);
    await kafabric('configs', 'set', 'files', 'retention.ms=');
    assert.match(await kafabric('configs', 'show', 'files'), /retention\.ms +604800000\n/);
    const file = join(directory, 'data');
    writeFileSync(file, content(300_000, 8));
    const pushed = await kafabric(
      'produce',
      'files',
      '--data',
      file,
      '--metadata',
      '{"a":1}',
      '--partition',
      '1',
      '--json',
    );
    assert.deepEqual(JSON.parse(pushed), { partition: 1, offset: '0' });
    const selection = ['--select', '1000:50:3:2000', '--count', '1', '--out', directory];
    const line = JSON.parse(await kafabric('consume', 'files', ...selection));
    assert.deepEqual([line.metadata, line.size, line.selected, line.partition], [{ a: 1 }, 300_000, 150, 1]);
    const bytes = content(300_000, 8);
    const blocks = [1000, 3000, 5000].map((at) => bytes.subarray(at, at + 50));
    assert.deepEqual(readFileSync(join(directory, 'files-1-0.bin')), Buffer.concat(blocks));
    await kafabric('topics', 'delete', 'files');
    await assert.rejects(
      kafabric('consume', 'files', '--count', '1'),
      /there is no such topic.*create it first/,
    );
  });

  it('describe a topic', async () => {
    const configs = { 'retention.ms': '1000000', 'direct.serializer': '{"type":"msgpack"}' };
    const set = Object.entries(configs).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    const { id } = JSON.parse(
      await kafabric('topics', 'create', 'seen', '--partitions', '2', ...set, '--json'),
    );
    const described = JSON.parse(await kafabric('topics', 'describe', 'seen', '--json'));
    const [node] = described.partitions[0].replicas;
    const partition = { leader: node, leaderEpoch: 0, replicas: [node], isr: [node], offline: [] };
    assert.deepEqual(described.partitions, [
      { partition: 0, ...partition },
      { partition: 1, ...partition },
    ]);
    assert.deepEqual([described.topic, described.id], ['seen', id]);
    for (const [key, value] of Object.entries(configs)) assert.equal(described.configs[key], value);
    assert.ok(!('preallocate' in described.configs), 'defaults are not told');
    const text = await kafabric('topics', 'describe', 'seen');
    assert.match(
      text,
      /^seen: 2 partitions, id \S+\npartition +leader +leaderEpoch +replicas +isr +offline\n/,
    );
    assert.match(text, new RegExp(`^1 +${node} +0 +${node} +${node} +-$`, 'm'));
    assert.match(text, /^retention\.ms=1000000$/m);
    await kafabric('topics', 'delete', 'seen');
    await assert.rejects(kafabric('topics', 'describe', 'seen'), /there is no such topic.*create it first/);
  });

  it('give every event of a run the key that is named', async () => {
    await kafabric('topics', 'create', 'keyed', '--partitions', '3');
    const input = ['{"n":0}', '{"n":1}'].map((line) => `${line}\n`).join('');
    const file = join(directory, 'lines');
    writeFileSync(file, input);
    const args = [gatewayProgram, 'produce', 'keyed', '--key', 'run-7', '--bootstrap', gateway.direct];
    await run('bash', ['-c', '"$@" < "$0"', file, process.execPath, ...args]);
    await kafabric('produce', 'keyed', '--key', 'run-7', '--metadata', '{"n":2}');
    await kafabric('produce', 'keyed', '--metadata', '{"n":3}');
    const lines = (await kafabric('consume', 'keyed', '--count', '4')).trim().split('\n');
    const events = lines.map((line) => JSON.parse(line)).sort((a, b) => a.metadata.n - b.metadata.n);
    assert.deepEqual(
      events.map(({ key }) => key),
      ['run-7', 'run-7', 'run-7', null],
    );
    assert.equal(new Set(events.slice(0, 3).map(({ partition }) => partition)).size, 1, 'one partition');
  });

  it('end when the selector of the group cannot be used here, and say so once', async () => {
    await kafabric('topics', 'create', 'selected');
    await kafabric('produce', 'selected', '--metadata', '{}');
    await kafabric('groups', 'selector', 'elsewhere', '{"type":"custom","name":"theirs"}');
    const args = [
      gatewayProgram,
      'consume',
      'selected',
      '--group',
      'elsewhere',
      '--bootstrap',
      gateway.direct,
    ];
    const failure = await run(process.execPath, args, {
      timeout: 30_000 * patience,
      killSignal: 'SIGKILL',
    }).then(
      () => null,
      (error: { code: unknown; stderr: string }) => error,
    );
    assert.equal(failure?.code, 1);
    assert.equal(failure.stderr.match(/"theirs" is not registered/g)?.length, 1);
  });
});
