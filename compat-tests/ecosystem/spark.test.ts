import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { sleep, until } from '../harness/child.ts';
import { installed, suites } from '../harness/paths.ts';
import { readTopic, writeTopic } from './programs.ts';
import { Stage } from './stage.ts';

const patienceMs = 240_000;
const names = 10;
const perRound = 4000;
const perMinute = 1000;
const IN = 'spark-in';
const OUT = 'spark-out';

interface Counted {
  count: number;
  sum: number;
}

/** Its sink writes a batch again when it is not sure of it, so that the newest count of each window is what has to be exact. */
describe('Spark Structured Streaming', function () {
  this.timeout(900_000);
  const stage = Stage.set('spark', ['spark', 'kcat']);
  let fed = 0;

  const checkpoint = () => join(stage.dir, 'checkpoint');

  /** Event `number` is of one of the names, in one of the minutes since 1970. */
  const event = (number: number) => ({
    name: `n${number % names}`,
    time: Math.floor(number / perMinute) * 60 + (number % 60),
    number,
  });

  async function feed(): Promise<void> {
    const numbers = Array.from({ length: perRound }, (_, i) => fed + i);
    const records = numbers
      .map(event)
      .map(({ name, ...rest }): [string, string] => [name, JSON.stringify(rest)]);
    await writeTopic(stage.broker.bootstrap, IN, records);
    fed += perRound;
  }

  /** The driver is the Java virtual machine that spark-submit becomes: a signal to it reaches no one else. */
  function start(): void {
    const libs = join(installed, 'spark/libs');
    const jars = readdirSync(libs).map((name) => join(libs, name));
    const settings = {
      'spark.ui.enabled': 'false',
      'spark.sql.shuffle.partitions': '2',
      'spark.local.dir': join(stage.dir, 'local'),
      'spark.driver.extraJavaOptions': `-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.io.tmpdir=${stage.dir}`,
      'spark.driver.bindAddress': '127.0.0.1',
      'spark.driver.host': '127.0.0.1',
    };
    const words = [
      ...['--master', 'local[2]', '--driver-memory', '768m', '--jars', jars.join(',')],
      ...Object.entries(settings).flatMap(([key, value]) => ['--conf', `${key}=${value}`]),
      ...[join(suites, 'ecosystem/python/spark_app.py'), stage.broker.bootstrap, checkpoint(), IN, OUT],
    ];
    const python = join(installed, 'spark/bin/python');
    stage.start([join(installed, 'spark/bin/spark-submit'), ...words], { PYSPARK_PYTHON: python });
  }

  /** Every count that was written, in order, by name and minute. */
  async function results(): Promise<Record<string, Counted[]>> {
    const found: Record<string, Counted[]> = {};
    for (const { key, value } of await readTopic(stage.broker.bootstrap, OUT).catch(() => [])) {
      found[key!] ??= [];
      found[key!]!.push(JSON.parse(value!));
    }
    return found;
  }

  const newest = (found: Record<string, Counted[]>) =>
    Object.fromEntries(Object.entries(found).map(([key, counted]) => [key, counted.at(-1)!]));

  async function hasCounted(count: number): Promise<void> {
    await until(`${count} events are counted`, patienceMs, async () => {
      stage.assertRuns();
      await sleep(500);
      const counted = Object.values(newest(await results()));
      return counted.reduce((sum, { count }) => sum + count, 0) >= count;
    });
  }

  async function assertExact(): Promise<void> {
    await hasCounted(fed);
    const expected: Record<string, Counted> = {};
    for (let number = 0; number < fed; number++) {
      const { name, time } = event(number);
      const key = `${name}@${time - (time % 60)}`;
      expected[key] ??= { count: 0, sum: 0 };
      expected[key].count++;
      expected[key].sum += number;
    }
    const found = await results();
    assert.deepEqual(newest(found), expected);
    for (const [key, counted] of Object.entries(found)) {
      const counts = counted.map(({ count }) => count);
      assert.deepEqual(
        counts,
        [...counts].sort((a, b) => a - b),
        `${key} only grows`,
      );
    }
  }

  it('counts exactly when its driver is killed and goes on from its checkpoint', async () => {
    await feed();
    start();
    await hasCounted(perRound / 4);
    await feed();
    await stage.program.kill('SIGKILL');
    assert.ok(existsSync(join(checkpoint(), 'offsets/0')));
    start();
    await assertExact();
  });

  it('counts exactly when the gateway is killed under it', async () => {
    await feed();
    await hasCounted(fed - perRound + 1);
    await stage.broker.kill('SIGKILL');
    await stage.broker.start();
    await feed();
    await assertExact();
  });
});
