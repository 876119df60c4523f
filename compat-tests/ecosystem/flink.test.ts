import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sleep, until } from '../harness/child.ts';
import { javaProgram, readTopic, writeTopic } from './programs.ts';
import { Stage } from './stage.ts';

const patienceMs = 180_000;
const perBatch = 200;
const batches = 25;

/** What a job of Flink SQL writes in transactions that end with its checkpoints. */
describe('Flink SQL, with the exactly-once sink', function () {
  this.timeout(600_000);
  const stage = Stage.set('flink', ['flink', 'kcat']);

  before(() => {
    writeFileSync(join(stage.dir, 'job.sql'), script());
  });

  function script(): string {
    const table = (topic: string, more: string) => `'connector' = 'kafka', 'topic' = '${topic}',
      'properties.bootstrap.servers' = '${stage.broker.bootstrap}', 'format' = 'json', ${more}`;
    const source = `'properties.group.id' = 'flink', 'scan.startup.mode' = 'earliest-offset'`;
    const sink = `'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'flink',
      'properties.transaction.timeout.ms' = '60000'`;
    return `
      CREATE TABLE numbers (n BIGINT) WITH (${table('flink-in', source)});
      CREATE TABLE doubled (n BIGINT, twice BIGINT) WITH (${table('flink-out', sink)});
      INSERT INTO doubled SELECT n, 2 * n FROM numbers;`;
  }

  /** The newest checkpoint that is whole, of all runs of the job. */
  function newestCheckpoint(): string | null {
    const folder = join(stage.dir, 'checkpoints');
    const runs = existsSync(folder) ? readdirSync(folder).map((run) => join(folder, run)) : [];
    const found = runs
      .flatMap((run) => readdirSync(run).map((name) => join(run, name)))
      .filter((path) => existsSync(join(path, '_metadata')))
      .map((path) => ({ path, time: statSync(join(path, '_metadata')).mtimeMs }));
    return found.sort((a, b) => b.time - a.time)[0]?.path ?? null;
  }

  function start(): void {
    const checkpoint = newestCheckpoint();
    const settings = [
      'execution.checkpointing.interval=500ms',
      `execution.checkpointing.dir=file://${join(stage.dir, 'checkpoints')}`,
      'execution.checkpointing.externalized-checkpoint-retention=RETAIN_ON_CANCELLATION',
      'restart-strategy.type=fixed-delay',
      'restart-strategy.fixed-delay.attempts=100',
      'restart-strategy.fixed-delay.delay=1s',
      'parallelism.default=2',
      ...(checkpoint ? [`execution.state-recovery.path=file://${checkpoint}`] : []),
    ];
    const flags = ['java.lang', 'java.util', 'java.net', 'java.io', 'java.time'].map(
      (name) => `--add-opens=java.base/${name}=ALL-UNNAMED`,
    );
    flags.push(`-Djava.io.tmpdir=${stage.dir}`);
    stage.start([...javaProgram('flink', 'FlinkSql', 640, flags), join(stage.dir, 'job.sql'), ...settings]);
  }

  async function feed(from: number, to: number): Promise<void> {
    for (let batch = from; batch < to; batch++) {
      const numbers = Array.from({ length: perBatch }, (_, i) => batch * perBatch + i);
      const records = numbers.map((n): [string, string] => [`${n}`, JSON.stringify({ n })]);
      await writeTopic(stage.broker.bootstrap, 'flink-in', records);
      await sleep(100);
    }
  }

  async function results(): Promise<{ n: number; twice: number }[]> {
    const records = await readTopic(stage.broker.bootstrap, 'flink-out').catch(() => []);
    return records.map(({ value }) => JSON.parse(value!));
  }

  async function hasDone(count: number): Promise<void> {
    await until(`${count} results`, patienceMs, async () => {
      stage.assertRuns();
      await sleep(500);
      return (await results()).length >= count;
    });
  }

  async function assertExact(count: number): Promise<void> {
    await hasDone(count);
    const found = (await results()).sort((a, b) => a.n - b.n);
    assert.deepEqual(
      found,
      Array.from({ length: count }, (_, n) => ({ n, twice: 2 * n })),
    );
  }

  it('has every result once, when the job is killed and goes on from its checkpoint', async () => {
    await feed(0, 5);
    start();
    await hasDone(1);
    await feed(5, 15);
    await stage.program.kill('SIGKILL');
    assert.notEqual(newestCheckpoint(), null);
    await feed(15, batches);
    start();
    await assertExact(batches * perBatch);
  });

  it('has every result once, when the gateway is killed under it', async () => {
    await feed(batches, batches + 5);
    await stage.broker.kill('SIGKILL');
    await stage.broker.start();
    await feed(batches + 5, 2 * batches);
    await assertExact(2 * batches * perBatch);
  });
});
