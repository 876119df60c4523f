import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '../../src/client/index.ts';
import { deleteRecordsRequest } from '../../src/protocol/generated/delete-records-request.ts';
import { deleteRecordsResponse } from '../../src/protocol/generated/delete-records-response.ts';
import { freePort } from '../../src/util/free-port.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { gatewayProgram } from '../harness/paths.ts';
import { WireClient } from '../harness/wire-client.ts';
import { content, type DirectGateway, startDirectGateway } from './fixture.ts';

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  /** But for what is said where it takes long. */
  readonly stderr: string;
}

const PROGRESS = /.* (pulled|pushed), .*\n/g;

/** One of the commands at work, with what it has written so far. */
class Running {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly #stdout: Buffer[] = [];
  stderr = '';

  /** @param output in place of a pipe: a descriptor */
  constructor(words: readonly string[], env: Record<string, string>, output: 'pipe' | number = 'pipe') {
    this.process = spawn(process.execPath, [gatewayProgram, ...words], {
      stdio: ['pipe', output, 'pipe'],
      env: { ...process.env, ...env },
    });
    this.process.stdout?.on('data', (chunk: Buffer) => this.#stdout.push(chunk));
    this.process.stderr!.on('data', (chunk: Buffer) => {
      this.stderr += chunk;
    });
    // It may have ended before it has read all.
    this.process.stdin!.on('error', () => {});
    this.ended = new Promise((resolve) =>
      this.process.once('close', (code, signal) =>
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr.replaceAll(PROGRESS, '') }),
      ),
    );
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#stdout);
  }
}

describe('commands of the direct API in use', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;
  let directory: string;
  const running: Running[] = [];

  before(async () => {
    gateway = await startDirectGateway();
    client = await gateway.connect();
    directory = mkdtempSync(join(tmpdir(), 'commands-in-use-'));
  });
  afterEach(() => {
    for (const one of running.splice(0)) one.process.kill('SIGKILL');
  });
  after(async () => {
    client?.close();
    rmSync(directory, { recursive: true });
    await gateway?.broker.stop();
  });

  function start(words: readonly string[], output: 'pipe' | number = 'pipe'): Running {
    const one = new Running(words, { KAFABRIC_BOOTSTRAP: gateway.direct }, output);
    running.push(one);
    return one;
  }

  function run(words: readonly string[], input: string | Uint8Array = ''): Promise<Ended> {
    const one = start(words);
    one.process.stdin!.end(input);
    return one.ended;
  }

  async function fails(
    words: readonly string[],
    message: RegExp,
    input: string | Uint8Array = '',
  ): Promise<Ended> {
    const ended = await run(words, input);
    assert.match(ended.stderr, message);
    assert.doesNotMatch(ended.stderr, /^ +at /m, 'no stack');
    assert.equal(ended.code, 1);
    return ended;
  }

  async function metadataOf(topic: string, count: number): Promise<unknown[]> {
    const { stdout } = await run(['consume', topic, '--count', String(count), '--idle-ms', '60000']);
    return stdout
      .toString()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line).metadata);
  }

  it('say what is wrong with their options', async () => {
    const consume = ['consume', 'fields'];
    await fails(
      [...consume, '--count', 'many'],
      /--count <n>' argument 'many' is invalid. It is not a whole/,
    );
    await fails([...consume, '--idle-ms', '-1'], /--idle-ms/);
    await fails([...consume, '--select', '5'], /"5" is no selection: all, none/);
    await fails([...consume, '--select', '0:1e3'], /"0:1e3" is no selection/);
    await fails([...consume, '--select', '{5'], /"\{5" is no JSON/);
    await fails([...consume, '--metadata-only', '--select', 'all'], /cannot be used with option/);
    await fails([...consume, '--from', 'dawn'], /"dawn" is no position/);
    await fails(['produce', 'fields', '--partition', '1.5'], /not a whole number/);
    await fails(['produce', 'fields', '--metadata', '{'], /--metadata is not JSON/);
    await fails(['produce', 'fields', '--data', '/there/is/none'], /ENOENT/);
    await fails(
      ['topics', 'create', 'fields', '--partitions', '0'],
      /not a whole number of at least 1|from 1 to/,
    );
    await fails(['direct-bench', '--acks', '2'], /Allowed choices are all, 1/);
    await fails(['direct-bench', '--processes', '2', '--topic', 'x'], /a topic of its own/);
    const without = new Running(['topics', 'list'], { KAFABRIC_BOOTSTRAP: '' });
    assert.match((await without.ended).stderr, /--bootstrap|not of the form host:port/);
  });

  it('say what to do when the topic, or the gateway, is not there', async () => {
    await fails(['consume', 'nowhere'], /there is no such topic; create it first/);
    await fails(['produce', 'nowhere'], /there is no such topic/, '{}\n');
    await fails(['configs', 'show', 'nowhere'], /nowhere/);
    await fails(['topics', 'delete', 'nowhere'], /nowhere/);
    const silent = `127.0.0.1:${await freePort()}`;
    await fails(
      ['topics', 'list', '--bootstrap', silent],
      new RegExp(`connect to ${silent}: .*ECONNREFUSED.*see that the gateway runs`),
    );
    await fails(['topics', 'list', '--bootstrap', gateway.bootstrap], /DIRECT listener/);
  });

  it('say that there is nothing, and take nothing for what it is', async () => {
    assert.equal((await run(['groups', 'list'])).stdout.toString(), 'there are no groups\n');
    await client.createTopic('nothing');
    assert.equal((await run(['produce', 'nothing'])).stdout.toString(), '0 events pushed\n');
    assert.equal((await run(['produce', 'nothing'], '\n \n')).stdout.toString(), '0 events pushed\n');
    assert.equal((await run(['consume', 'nothing', '--idle-ms', '500'])).stdout.toString(), '');
    const empty = join(directory, 'empty');
    writeFileSync(empty, '');
    assert.equal((await run(['produce', 'nothing', '--data', empty])).stdout.toString(), '1 events pushed\n');
  });

  it('push what is before a line that is wrong, and say which that is', async () => {
    await client.createTopic('lines');
    const lines = ['{"n":0}', '', '{"n":1}'];
    for (const [wrong, message] of [
      ['{"n":', /line 4 is not JSON/],
      [Buffer.from([0x22, 0xff, 0x22]), /line 4 is not UTF-8/],
    ] as const) {
      const input = Buffer.concat([
        Buffer.from(`${lines.join('\n')}\n`),
        Buffer.from(wrong),
        Buffer.from('\n7\n'),
      ]);
      const { stdout } = await fails(['produce', 'lines'], message, input);
      assert.equal(stdout.toString(), '2 events pushed\n');
    }
    assert.deepEqual(await metadataOf('lines', 4), [{ n: 0 }, { n: 1 }, { n: 0 }, { n: 1 }]);
    const strict = { validator: { type: 'json-schema', schema: { type: 'object' } } } as const;
    await client.createTopic('strict', strict);
    const { stdout } = await fails(['produce', 'strict'], /line 2: push to strict: .*object/, '{}\n7\n');
    assert.equal(stdout.toString(), '1 events pushed\n');
    // Of two lines that are wrong the first is told; and who has written one need not write another to hear of it.
    await fails(['produce', 'strict'], /line 1: push to strict: .*object/, '7\n{');
    const waiting = start(['produce', 'strict']);
    waiting.process.stdin!.write('7\n');
    const ended = await waiting.ended;
    assert.deepEqual([ended.code, ended.stdout.toString()], [1, '0 events pushed\n']);
    assert.match(ended.stderr, /line 1: push to strict: .*object/);
  });

  it('take long lines, many of them, and say in which order they came', async () => {
    await client.createTopic('long-lines');
    const texts = Array.from({ length: 40 }, (_, n) => ({
      n,
      text: 'x'.repeat(n % 10 === 0 ? 3_000_000 : 10),
    }));
    const { stdout } = await run(
      ['produce', 'long-lines', '--json'],
      texts.map((text) => JSON.stringify(text)).join('\r\n'),
    );
    const results = stdout.toString().trim().split('\n');
    assert.deepEqual(
      results.map((line) => JSON.parse(line).offset),
      texts.map((_, n) => String(n)),
    );
    assert.deepEqual(await metadataOf('long-lines', texts.length), texts);
  });

  it('carry bytes as they are: data by pipes, keys and metadata as base64', async () => {
    const topic = await client.createTopic('bytes', { serializer: { type: 'raw' } });
    const data = content(3_000_001, 5);
    const producer = topic.producer();
    await producer.push(Buffer.from([0xff, 0]), data, { key: Buffer.from([0x80]) });
    await producer.push(Buffer.from('text'), data.subarray(0, 10), { key: 'k' });
    await producer.close();
    const whole = await run(['consume', 'bytes', '--out', '-', '--count', '2']);
    assert.ok(whole.stdout.equals(Buffer.concat([data, data.subarray(0, 10)])));
    const { stdout } = await run(['consume', 'bytes', '--count', '2', '--out', join(directory, 'a/new/one')]);
    const [first, second] = stdout
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      [first.key, first.metadata, first.selected],
      [{ base64: 'gA==' }, { base64: '/wA=' }, 3_000_001],
    );
    assert.equal(second.key, 'k');
    assert.ok(readFileSync(join(directory, 'a/new/one/bytes-0-0.bin')).equals(data));
    await client.createTopic('piped');
    await run(['produce', 'piped', '--data', '-', '--metadata', '{"hot":true}'], data);
    await run(['produce', 'piped', '--data', '-', '--metadata', '{"hot":false}'], data);
    const rules = JSON.stringify({ rules: [{ when: { hot: true }, select: { offset: 7, length: 5 } }] });
    const part = await run(['consume', 'piped', '--select', rules, '--out', '-', '--count', '2']);
    assert.ok(part.stdout.equals(data.subarray(7, 12)));
    // What one event does not have is no reason to leave out the next.
    const beyond = ['consume', 'bytes', '--select', '1000:4', '--out', '-', '--count', '2'];
    const { stdout: fitting } = await fails(
      beyond,
      /kafabric: select data of bytes-0 at 1: .*not inside data of 10 bytes/,
    );
    assert.ok(fitting.equals(data.subarray(1000, 1004)));
  });

  it('go on behind metadata that cannot be read, and name the event', async () => {
    const topic = await client.createTopic('unreadable', { serializer: { type: 'raw' } });
    const old = topic.producer();
    await old.push(Buffer.from('no JSON'), content(100));
    await old.close();
    await client.alterTopicConfigs('unreadable', { 'direct.serializer': null });
    const producer = (await client.openTopic('unreadable')).producer();
    await producer.push({ n: 1 }, content(100));
    await producer.close();
    const rules = JSON.stringify({ rules: [{ when: { n: 1 }, select: 'all' }] });
    for (const more of [
      ['--group', 'going-on'],
      ['--select', rules],
      ['--out', join(directory, 'readable')],
    ]) {
      const consume = ['consume', 'unreadable', ...more, '--count', '2'];
      const { stdout } = await fails(consume, /read metadata of unreadable-0 at 0: it cannot be read/);
      assert.deepEqual(JSON.parse(stdout.toString()).metadata, { n: 1 });
    }
    assert.deepEqual(readdirSync(join(directory, 'readable')), ['unreadable-0-1.bin']);
    assert.equal((await client.groups.describe('going-on')).partitions[0]!.committed, 2n);
  });

  it('go on behind data that is deleted while they read', async () => {
    const [events, deleted, bytes] = [100, 90, 1_000_000];
    const producer = (await client.createTopic('trimmed')).producer();
    for (let n = 0; n < events; n++) await producer.push({ n }, content(bytes, n));
    await producer.close();
    const one = start(['consume', 'trimmed', '--select', 'all', '--out', '-', '--idle-ms', '3000']);
    const { stdout } = one.process;
    await once(stdout!, 'data');
    // Nobody reads on: not all of the data has been asked for.
    stdout!.pause();
    const wire = await WireClient.connect(gateway.bootstrap);
    const partitions = [{ partitionIndex: 0, offset: BigInt(deleted) }];
    const request = { topics: [{ name: 'trimmed', partitions }], timeoutMs: 30_000 };
    await wire.call([deleteRecordsRequest, deleteRecordsResponse], 2, request);
    wire.close();
    stdout!.resume();
    const ended = await one.ended;
    assert.match(ended.stderr, /trimmed-0 at 8\d: The record has been deleted/);
    assert.equal(ended.code, 1);
    const left = Array.from({ length: events - deleted }, (_, i) => content(bytes, deleted + i));
    assert.ok(ended.stdout.subarray(-left.length * bytes).equals(Buffer.concat(left)));
  });

  it('end when nobody reads any more, and commit what was read', async () => {
    const topic = await client.createTopic('early');
    const producer = topic.producer({ batchSize: 1000 });
    await Promise.all(Array.from({ length: 20_000 }, (_, n) => producer.push({ n, more: 'x'.repeat(50) })));
    await producer.close();
    const one = start(['consume', 'early', '--group', 'head']);
    await once(one.process.stdout!, 'data');
    one.process.stdout!.destroy();
    const { code, stderr } = await one.ended;
    assert.deepEqual([code, stderr], [0, '']);
    const { members, partitions } = await client.groups.describe('head');
    assert.equal(members.length, 0);
    const committed = Number(partitions[0]!.committed);
    assert.ok(committed > 0 && committed < 20_000, `${committed}`);
  });

  it('fail when their output cannot be written, and commit nothing of that', async () => {
    const full = start(['consume', 'early', '--group', 'full'], openSync('/dev/full', 'w'));
    const { code, stderr } = await full.ended;
    assert.match(stderr, /the output cannot be written: .*ENOSPC/);
    assert.equal(code, 1);
    const groups = await client.groups.list();
    const isKnown = groups.some(({ groupId }) => groupId === 'full');
    const { partitions } = isKnown ? await client.groups.describe('full') : { partitions: [] };
    assert.ok(
      partitions.every(({ committed }) => committed === null),
      'nothing is committed',
    );
  });

  it('commit, leave and end at Ctrl-C', async () => {
    const one = start(['consume', 'early', '--group', 'interrupted']);
    await until('all came', 60_000, () => one.stdout.toString().split('\n').length === 20_001);
    one.process.kill('SIGINT');
    assert.deepEqual(await one.ended.then(({ code, stderr }) => [code, stderr]), [130, '']);
    const { members, partitions } = await client.groups.describe('interrupted');
    assert.deepEqual([members.length, partitions[0]!.committed], [0, 20_000n]);
  });

  it('push what they have read, and end, at Ctrl-C', async () => {
    const topic = await client.createTopic('half');
    const one = start(['produce', 'half', '--json']);
    one.process.stdin!.write('{"n":0}\n{"n":1}\n{"n":');
    const consumer = topic.consumer();
    for (const n of [0, 1]) assert.deepEqual((await consumer.pull({ timeoutMs: 30_000 }))!.metadata, { n });
    one.process.kill('SIGINT');
    const { code, stdout, stderr } = await one.ended;
    assert.deepEqual([code, stderr], [130, '']);
    assert.equal(stdout.toString().trim().split('\n').length, 2);
    assert.equal(await consumer.pull({ timeoutMs: 500 }), null);
    await consumer.close();
  });

  for (const processes of ['1', '2'])
    it(`leave no topic of a benchmark behind at Ctrl-C (${processes} processes)`, async () => {
      const isThere = async () =>
        (await client.listTopics()).some(({ name }) => name.startsWith('direct-bench-'));
      const one = start([
        'direct-bench',
        '--events',
        '1000000000',
        '--size',
        '100',
        '--processes',
        processes,
      ]);
      await until('it is at work', 60_000, isThere);
      one.process.kill('SIGINT');
      const { code, stderr } = await one.ended;
      assert.equal(code, 130);
      assert.doesNotMatch(stderr, /^ +at /m);
      await until('its topics are gone', 30_000, async () => !(await isThere()));
    });

  it('say what they do when it takes long', async () => {
    const one = start(['direct-bench', '--events', '1000000000', '--size', '100']);
    await until('there is progress', 60_000, () => /\d+ events pushed, [\d.]+ MB\n/.test(one.stderr));
    one.process.kill('SIGINT');
    assert.equal((await one.ended).code, 130);
    // Of little work too, if it takes long.
    await client.createTopic('slow');
    const produce = start(['produce', 'slow']);
    const consume = start(['consume', 'slow']);
    const line = '{"some":"metadata"}\n';
    let lines = 0;
    await until('both say what they have done', 60_000, () => {
      produce.process.stdin!.write(line);
      assert.ok(++lines < 800, 'it is said before much is under way');
      const isSaid = (all: string, what: string) =>
        new RegExp(`^\\d+ events ${what}, [\\d.]+ MB$`, 'm').test(all);
      return isSaid(produce.stderr, 'pushed') && isSaid(consume.stderr, 'pulled');
    });
    produce.process.stdin!.end();
    const { code, stderr } = await produce.ended;
    assert.deepEqual([code, stderr], [0, '']);
    consume.process.kill('SIGINT');
    assert.equal((await consume.ended).code, 130);
  });
});
