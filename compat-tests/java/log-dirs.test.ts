import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from '../harness/broker.ts';
import { sleep, until } from '../harness/child.ts';
import { type Client, clientKinds, missing, requireClient, startClient } from '../harness/client.ts';
import { digest, type PlannedRecord, plannedValue, recordOf } from '../harness/payload.ts';
import { runTool } from '../harness/tools.ts';

const tools = 'org.apache.kafka.tools';
const topic = 'moving';
const PARTITIONS = [0, 1];
/** So that what is consumed again and again stays little. */
const WRITE_PAUSE_MS = 30;

interface LogDir {
  error: string | null;
  logDir: string;
  partitions: { partition: string; size: number; offsetLag: number; isFuture: boolean }[];
}

describe('partitions moved between data directories with Kafka’s tools, while they are written and read', () => {
  let dir: string;
  let directories: string[];
  let broker: Broker;
  /** For the tools, for a producer and for a consumer. */
  let java: Client;
  let producer: Client;
  let consumer: Client;
  const planned: PlannedRecord[][] = [[], []];

  before(async function () {
    const kind = requireClient(this, 'java');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-log-dirs-'));
    directories = [0, 1].map((position) => join(dir, `data-${position}`));
    broker = await makeBroker({
      dir,
      overrides: {
        'log.dirs': directories.join(','),
        ...(!targetIsKafka && { 'payload.segment.bytes': '1048576' }),
      },
    });
    await broker.start();
    java = startClient(kind, broker.bootstrap);
    const other =
      clientKinds.find(({ name, setup }) => name === 'franz-go' && missing(setup) === null) ?? kind;
    producer = startClient(other, broker.bootstrap);
    consumer = startClient(other, broker.bootstrap);
    await producer.call('create', { topic, partitions: 2, configs: { 'segment.bytes': '1048576' } });
  });

  after(async () => {
    await Promise.all([java?.stop(), producer?.stop(), consumer?.stop()]);
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true });
  });

  const run = (main: string, args: string) =>
    runTool(java, main, ['--bootstrap-server', broker.bootstrap, ...args.split(' ')]);

  /** Every fourth value is large enough to be diverted. */
  async function produce(partition: number): Promise<void> {
    const records = planned[partition]!;
    const seed = records.length + partition * 500_000;
    const size = seed % 4 === 0 ? 150_000 : 2_000;
    const record = recordOf(`k${seed}`, size, seed);
    await producer.call('produce', { topic, partition, codec: 'none', acks: -1, records: [record] });
    records.push(record);
  }

  /** All records of both partitions, in order, are what was produced. */
  async function consume(): Promise<void> {
    const ends = planned.map((records) => records.length);
    const expected = planned.map((records) => records.map((record) => digest(plannedValue(record)!)));
    const seen = await consumer.call('consume', { topics: [{ topic, ends }] });
    for (const partition of PARTITIONS) {
      const its = seen.filter((record) => record.partition === partition && record.offset < ends[partition]!);
      assert.deepEqual(
        its.map((record) => record.digest),
        expected[partition],
      );
    }
  }

  async function describeDirs(): Promise<LogDir[]> {
    const output = await run(`${tools}.LogDirsCommand`, `--describe --topic-list ${topic}`);
    const [, json] = output.match(/^(\{.*\})$/m)!;
    return (JSON.parse(json!) as { brokers: { logDirs: LogDir[] }[] }).brokers[0]!.logDirs;
  }

  /** The directory of each partition, by its position. */
  async function places(): Promise<number[]> {
    const dirs = await describeDirs();
    return PARTITIONS.map((partition) =>
      directories.indexOf(
        dirs.find(({ partitions }) =>
          partitions.some((each) => each.partition === `${topic}-${partition}` && !each.isFuture),
        )!.logDir,
      ),
    );
  }

  function plan(to: readonly number[]): string {
    const file = join(dir, 'reassignment.json');
    const partitions = PARTITIONS.map((partition) => ({
      topic,
      partition,
      replicas: [1],
      log_dirs: [directories[to[partition]!]],
    }));
    writeFileSync(file, JSON.stringify({ version: 1, partitions }));
    return file;
  }

  const reassign = (to: readonly number[], how: string) =>
    run(`${tools}.reassign.ReassignPartitionsCommand`, `--reassignment-json-file ${plan(to)} ${how}`);

  async function whileUsed(action: () => Promise<void>): Promise<void> {
    let isOver = false;
    const writers = PARTITIONS.map(async (partition) => {
      while (!isOver) {
        await produce(partition);
        await sleep(WRITE_PAUSE_MS);
      }
    });
    const reader = (async () => {
      while (!isOver) await consume();
    })();
    try {
      await action();
    } finally {
      isOver = true;
      await Promise.all([...writers, reader]);
    }
  }

  it('are there in the end, with every record', async () => {
    for (let count = 0; count < 120; count++) await Promise.all(PARTITIONS.map(produce));
    const before = await places();
    const to = before.map((place) => 1 - place);
    await whileUsed(async () => {
      // Slow enough for tools on a slow machine to see them on their way. The other throttle is of replication, which one node does not have.
      const throttles = '--throttle 1000000 --replica-alter-log-dirs-throttle 50000';
      const started = await reassign(to, `--execute ${throttles}`);
      assert.match(started, /Successfully started moving log directory to \S+ for replica moving-1/);
      assert.match(started, /The inter-broker throttle limit was set to 1000000 B\/s/);
      const during = await describeDirs();
      const future = during.flatMap(({ partitions }) => partitions).filter(({ isFuture }) => isFuture);
      assert.ok(future.length > 0, JSON.stringify(during));
      assert.ok(future.every(({ offsetLag }) => offsetLag >= 0));
      assert.match(await reassign(to, '--verify --preserve-throttles'), /is still in progress|completed/);
      // It stands in the way of nobody who is in a hurry.
      await reassign(to, '--execute --additional --replica-alter-log-dirs-throttle 500000000');
      await until('they are there', 60_000, async () => {
        const dirs = await describeDirs();
        const all = dirs.flatMap(({ partitions }) => partitions);
        return all.length === 2 && all.every(({ isFuture }) => !isFuture);
      });
    });
    assert.match(await reassign(to, '--verify'), /Reassignment of partition moving-0 is completed/);
    assert.deepEqual(await places(), to);
    await consume();
    if (broker.metricsUrl === null) return;
    const metrics = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
    assert.match(metrics, /^kafabric_log_dir_moves_completed_total 2$/m);
    assert.match(metrics, /^kafabric_log_dir_moves_failed_total 0$/m);
    assert.match(metrics, /^kafabric_log_dir_moves_running 0$/m);
    assert.ok(Number(/^kafabric_log_dir_moved_bytes_total (\d+)$/m.exec(metrics)![1]) > 1_000_000);
  });

  it('go on when the broker was killed in the middle', async () => {
    const to = (await places()).map((place) => 1 - place);
    await reassign(to, '--execute --replica-alter-log-dirs-throttle 200000');
    await until('a part is copied', 30_000, async () =>
      directories.some((directory) => readdirSync(directory).some((name) => name.endsWith('-future'))),
    );
    for (let count = 0; count < 5; count++) await Promise.all(PARTITIONS.map(produce));
    await broker.kill('SIGKILL');
    await broker.start();
    await consume();
    await reassign(to, '--execute --additional --replica-alter-log-dirs-throttle 500000000');
    await until('they are there', 60_000, async () => (await places()).every((place, i) => place === to[i]));
    await until(
      'nothing is left',
      30_000,
      async () => !directories.some((each) => readdirSync(each).some((name) => name.endsWith('-future'))),
    );
    await reassign(to, '--verify');
    await consume();
    await broker.restart();
    assert.deepEqual(await places(), to);
    await consume();
  });
});
