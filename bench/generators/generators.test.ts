import assert from 'node:assert/strict';
import { limitOf } from '../direct/limits.ts';
import type { Pass } from '../pass.ts';
import { External } from '../systems/external.ts';
import { splitAddress } from '../systems/wire.ts';
import { forget } from '../workloads/consume.ts';
import { untilInMemory } from '../workloads/direct.ts';
import { selectWorkloads } from '../workloads/index.ts';
import { latencyMetrics, secondsFor } from '../workloads/latency.ts';
import { drift } from '../workloads/soak.ts';
import { Omitted } from '../workloads/workload.ts';
import { parseConsumerPerformance, parseProducerPerformance } from './java.ts';
import { Load } from './load.ts';
import { nativeCommand } from './native.ts';

const node = (script: string): string[] => [process.execPath, '-e', script];

describe('the generators of the benchmark', () => {
  it('read what ProducerPerformance prints, its last line', () => {
    const output = `50 records sent, 10.0 records/sec (0.95 MB/sec), 3.2 ms avg latency, 100.0 ms max latency.
1000 records sent, 500.0 records/sec (47.68 MB/sec), 3.22 ms avg latency, 100.00 ms max latency, 2 ms 50th.\n`;
    assert.deepEqual(parseProducerPerformance(output, 100), { records: 1000, bytes: 100_000, seconds: 2 });
    assert.throws(() => parseProducerPerformance('nothing', 1), /no result in nothing/);
  });

  it('read what ConsumerPerformance prints, without the time to join', () => {
    const output = `start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
2026-01-01 00:00:00:000, 2026-01-01 00:00:04:000, 95.3, 23.8, 1000, 250.0, 3500, 500, 190.7, 2000.0\n`;
    assert.deepEqual(parseConsumerPerformance(output, 100_000), { records: 1000, bytes: 1e8, seconds: 0.5 });
  });

  it('read what memory allows', () => {
    const output =
      "of each event | us\nall | 200.00 | 130, 70\nmemcpy, one thread | 125.00\ngateway's copy, one thread | 100.00\n";
    assert.equal(limitOf(output), 10_000);
    assert.throws(() => limitOf('nothing'), /no figure for/);
  });

  it('pull a topic before it is measured until all of it comes from memory', async () => {
    const turns = async (parts: number[]) => {
      let count = 0;
      await untilInMemory(async () => parts[count++] ?? 1);
      return count;
    };
    assert.equal(await turns([0]), 1);
    assert.equal(await turns([0.4, 0.9, 0.2, 0.005, 1]), 4);
    assert.equal(await turns([]), 12, 'not for ever');
  });

  it('are started with their own options first and librdkafka’s behind two dashes', () => {
    const options = { topic: 't', size: 5, properties: { 'linger.ms': '0' } };
    assert.deepEqual(nativeCommand('c', 'produce', 'h:1', options), [
      'c',
      'produce',
      'bootstrap=h:1',
      'topic=t',
      'size=5',
      '--',
      'linger.ms=0',
    ]);
    assert.deepEqual(nativeCommand('c', 'delete', 'h:1', { topic: 't' }), [
      'c',
      'delete',
      'bootstrap=h:1',
      'topic=t',
    ]);
  });

  it('wait for the word, and report more than once when the load is long', async () => {
    const script = `console.log('ready'); process.stdin.once('data', () => {
      console.log('{"records":1}'); console.log('{"records":2}'); process.exit(0); });`;
    const early: number[] = [];
    const load = new Load(node(script), { onReport: ({ records }) => early.push(records!) });
    await load.ready;
    load.go();
    assert.deepEqual(await load.report, { records: 2 });
    assert.deepEqual(early, [1]);
  });

  it('say why they failed', async () => {
    const load = new Load(node('console.error("no broker"); process.exit(3)'));
    await assert.rejects(load.ready, /ended with 3: no broker/);
    await assert.rejects(load.report, /ended with 3: no broker/);
  });

  it('fail when they report and then end badly', async () => {
    const load = new Load(node(`console.log('ready'); console.log('{"records":1}'); process.exitCode = 1`));
    await assert.rejects(load.report, /ended with 1/);
  });
});

describe('the workloads of the benchmark', () => {
  it('are chosen by name, by themselves, or only on request', () => {
    const names = (list: string[] | null, quick: boolean) =>
      selectWorkloads(list, quick).map(({ name }) => name);
    assert.ok(!names(null, false).includes('soak') && names(null, false).includes('java'));
    assert.ok(!names(null, true).includes('java'));
    assert.deepEqual(names(['soak', 'java'], true), ['java', 'soak']);
  });

  it('measure latency until p99 means something, where that does not take too long', () => {
    const full = { seconds: 1.5, quick: false };
    assert.deepEqual(
      [1000, 200, 50, 5].map((rate) => secondsFor(rate, full)),
      [3, 5, 20, 10],
    );
    assert.equal(secondsFor(1000, { seconds: 6, quick: false }), 12);
    assert.equal(secondsFor(50, { seconds: 0.8, quick: true }), 4);
    const report = { records: 9999, p50: 1, p90: 2, p99: 3, p999: 4, max: 5 };
    assert.ok(Number.isNaN(latencyMetrics(report).p999Ms));
    assert.equal(latencyMetrics({ ...report, records: 10_000 }).p999Ms, 4);
  });

  it('leave out what is read from a disk on a system that they cannot restart', async () => {
    const running = { system: new External('x', 'h:1', null) } as Partial<Pass> as Pass;
    await assert.rejects(forget(running), Omitted);
  });

  it('see memory that grows, and memory that stays', () => {
    assert.equal(drift([9, 9, 2, 2, 2, 2, 2, 2]), 1);
    assert.equal(drift([1, 1, 2, 2, 3, 3, 4, 4]), 2);
    assert.ok(Number.isNaN(drift([1])));
  });

  it('take addresses as Kafka writes them', () => {
    assert.deepEqual(splitAddress('node-1:9092'), { host: 'node-1', port: 9092 });
    assert.deepEqual(splitAddress('[::1]:9092'), { host: '::1', port: 9092 });
    for (const wrong of ['node-1', ':9092', 'node-1:x'])
      assert.throws(() => splitAddress(wrong), /is not an address/);
  });
});
