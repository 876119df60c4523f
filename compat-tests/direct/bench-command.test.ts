import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Client } from '../../src/client/index.ts';
import { storedBatches } from '../crash/on-disk.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { readMetric } from '../harness/metrics.ts';
import { gatewayProgram } from '../harness/paths.ts';
import { type DirectGateway, FABRIC, hasFabric, startDirectGateway } from './fixture.ts';

const run = promisify(execFile);
const PROVIDER = FABRIC.provider;
const hasProvider = await hasFabric();
/** Longer than a test waits. */
const LONG_MS = '3600000';

interface Phase {
  readonly phase: string;
  readonly path: string;
  readonly events: number;
  readonly bytes: number;
  readonly seconds: number;
}

describe('direct-bench', () => {
  if (targetIsKafka) return;
  let gateway: DirectGateway;
  let client: Client;

  before(async () => {
    gateway = await startDirectGateway({
      'direct.mapped.listeners': 'DIRECT',
      ...(hasProvider ? { 'fabric.provider': PROVIDER } : {}),
    });
    client = await gateway.connect();
  });
  after(async () => {
    client?.close();
    await gateway?.broker.stop();
  });

  async function kafabric(...args: string[]): Promise<string> {
    return (await run(process.execPath, [gatewayProgram, ...args, '--bootstrap', gateway.direct])).stdout;
  }

  async function bench(...args: string[]): Promise<[push: Phase, pull: Phase]> {
    const lines = (await kafabric('direct-bench', ...args, '--json')).trim().split('\n');
    return lines.map((line) => JSON.parse(line)) as [Phase, Phase];
  }

  const storedIn = (topic: string) => storedBatches(join(gateway.broker.dataDir, `${topic}-0`));
  const metric = (name: string) => readMetric(gateway.broker.metricsUrl!, `kafabric_direct_${name}`);

  it('pushes and pulls what it says', async () => {
    const [push, pull] = await bench('--events', '20', '--size', '100000', '--selectivity', '0.5');
    assert.deepEqual(
      [push.phase, push.bytes, pull.phase, pull.bytes],
      ['push', 2_000_000, 'pull', 1_000_000],
    );
  });

  it('adds up what several processes do', async () => {
    const options = ['--events', '10', '--size', '100000', '--metadata-size', '1000', '--partitions', '2'];
    const phases = await bench(...options, '--processes', '2');
    assert.deepEqual(
      phases.map(({ phase, events, bytes }) => [phase, events, bytes]),
      [
        ['push', 20, 2_000_000],
        ['pull', 20, 2_000_000],
      ],
    );
  });

  it('refuses parts and numbers that there are none of', async () => {
    await assert.rejects(bench('--selectivity', '2'), /not from 0 to 1/);
    await assert.rejects(bench('--interest', '-0.1'), /not from 0 to 1/);
    await assert.rejects(bench('--batch-size', '0'), /not a whole number of at least 1/);
    for (const number of ['0', '6'])
      await assert.rejects(bench('--max-in-flight', number), /not a whole number from 1 to 5/);
    await assert.rejects(bench('--linger-ms', 'adaptive'), /not a whole number/);
  });

  it('refuses what it would not use', async () => {
    await assert.rejects(bench('--provider', PROVIDER), /--provider is for --path fabric/);
    await assert.rejects(bench('--path', 'tcp', '--provider', PROVIDER), /--provider is for --path fabric/);
    await assert.rejects(bench('--topic', 'old', '--partitions', '2'), /--partitions.* cannot be used with/);
  });

  it('pushes batches of so many events, and waits for those', async () => {
    await client.createTopic('batches');
    const size = ['--events', '12', '--size', '10'];
    await bench('--topic', 'batches', ...size, '--batch-size', '4', '--linger-ms', LONG_MS);
    const batches = storedIn('batches');
    assert.deepEqual(
      batches.map(({ baseOffset }) => baseOffset),
      [0, 4, 8],
    );
    assert.ok(batches.every(({ producerId }) => producerId >= 0n));
  });

  it('waits so long for a batch that is not full', async () => {
    const [push] = await bench('--events', '3', '--size', '10', '--linger-ms', '700', '--max-in-flight', '1');
    assert.ok(push.seconds >= 0.7, `${push.seconds} s`);
    const [adaptive] = await bench('--events', '3', '--size', '10');
    assert.ok(adaptive.seconds < push.seconds);
  });

  it('pushes without idempotence where one acknowledgement is enough', async () => {
    await client.createTopic('unsafe');
    await bench('--topic', 'unsafe', '--events', '5', '--size', '10', '--acks', '1');
    const batches = storedIn('unsafe');
    assert.ok(batches.length > 0);
    assert.ok(batches.every(({ producerId }) => producerId === -1n));
  });

  it('pulls the data of as many events as are of interest', async () => {
    const size = ['--events', '20', '--size', '100000', '--selectivity', '0.5'];
    const before = await metric('get_items_total');
    const [, pull] = await bench(...size, '--interest', '0.25', '--path', 'tcp');
    assert.deepEqual([pull.events, pull.bytes], [20, 5 * 50_000]);
    assert.equal((await metric('get_items_total')) - before, 5);
    const [, none] = await bench(...size, '--interest', '0');
    assert.deepEqual([none.events, none.bytes], [20, 0]);
  });

  it('pushes memory that is handed over, and views what it pulls, where that is mapped', async () => {
    const size = ['--events', '40', '--size', '1000000'];
    const before = await metric('get_bytes_total');
    const [push, pull] = await bench(
      '--path',
      'mapped',
      ...size,
      '--selectivity',
      '0.5',
      '--interest',
      '0.5',
    );
    assert.deepEqual([push.path, push.bytes], ['mapped', 40_000_000]);
    assert.deepEqual([pull.path, pull.events, pull.bytes], ['mapped', 40, 20 * 500_000]);
    assert.equal(await metric('get_bytes_total'), before, 'nothing is copied');

    assert.equal(await metric('mapped_bytes'), 0, 'all of it is given back');
    const [, nothing] = await bench('--path', 'mapped', '--events', '5', '--size', '0');
    assert.deepEqual([nothing.events, nothing.bytes], [5, 0]);
    await assert.rejects(
      kafabric('produce', 'x', '--path', 'mapped'),
      /Allowed choices are auto, shared-memory, fabric, tcp/,
    );
  });

  it('moves data over the provider that is named, as produce and consume do', async function () {
    if (!hasProvider) return this.skip();
    const over = ['--path', 'fabric', '--provider', PROVIDER];
    const phases = await bench(...over, '--events', '5', '--size', '100000');
    assert.deepEqual(
      phases.map(({ path, bytes }) => [path, bytes]),
      [
        [`fabric ${PROVIDER}`, 500_000],
        [`fabric ${PROVIDER}`, 500_000],
      ],
    );
    await client.createTopic('over');
    const moved = () =>
      Promise.all(
        ['read', 'written'].map((what) => metric(`fabric_${what}_bytes_total{provider="${PROVIDER}"}`)),
      );
    const [read, written] = await moved();
    await kafabric('produce', 'over', '--data', process.execPath, ...over);
    const [readThen, writtenThen] = await moved();
    assert.ok(readThen! - read! > 10_000_000, 'it is read from the memory of produce');
    await kafabric('consume', 'over', '--select', '0:1000000', '--count', '1', ...over);
    assert.ok((await moved())[1]! - writtenThen! >= 1_000_000, 'and written to that of consume');
    assert.equal(writtenThen, written);
    await assert.rejects(
      kafabric('produce', 'over', '--path', 'fabric', '--provider', 'cxi', '--metadata', '1'),
      /cxi/,
    );
  });
});
