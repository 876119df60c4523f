import assert from 'node:assert/strict';
import { join } from 'node:path';
import { freePort } from '../../src/util/free-port.ts';
import { until } from '../harness/child.ts';
import { helperClient } from '../harness/client.ts';
import { numbered, pythonProgram, readTopic, writeTopic } from './programs.ts';
import { Stage } from './stage.ts';

const patienceMs = 120_000;
const keys = 10;
const perRound = 1000;

/** At least once: what is done twice is allowed, what is missing is not. */
describe('Faust', function () {
  this.timeout(600_000);
  const stage = Stage.set('faust', ['ecosystem-python', 'kcat', 'java']);
  let fed = 0;

  async function feed(): Promise<void> {
    await writeTopic(stage.broker.bootstrap, 'faust-in', numbered(fed, perRound, keys));
    fed += perRound;
  }

  // A subscription to a topic that the broker creates for it finds no partitions for minutes, with Kafka as well.
  before(async () => {
    await helperClient(stage.broker.bootstrap).call('create', {
      topic: 'faust-in',
      partitions: 2,
      configs: {},
    });
  });

  /** It keeps its tables in memory, so that it has to read them back from their changelog; resolves when it has. */
  async function start(): Promise<void> {
    const words = [
      `--datadir=${join(stage.dir, 'data')}`,
      'worker',
      '-l',
      'info',
      '--web-port',
      `${await freePort()}`,
    ];
    const env = { FAUST_BROKER: `kafka://${stage.broker.bootstrap}` };
    stage.start([...pythonProgram('faust_app.py'), ...words], env);
    await until('Faust is ready', patienceMs, () => {
      stage.assertRuns();
      return stage.program.output.includes('Worker ready');
    });
  }

  async function passedOn(): Promise<Set<number>> {
    const records = await readTopic(stage.broker.bootstrap, 'faust-out').catch(() => []);
    return new Set(records.map(({ value }) => Number(value)));
  }

  async function hasDone(count: number): Promise<void> {
    await until(`${count} events are passed on`, patienceMs, async () => {
      stage.assertRuns();
      return (await passedOn()).size >= count;
    });
  }

  /** The newest count of each key in the table's changelog is that of all events, or more. */
  async function assertCounted(): Promise<void> {
    await hasDone(fed);
    let counts: Record<string, number> = {};
    await until('the table is written', patienceMs, async () => {
      const records = await readTopic(stage.broker.bootstrap, 'faust-counts-changelog');
      counts = Object.fromEntries(records.map(({ key, value }) => [JSON.parse(key!), Number(value)]));
      return Object.values(counts).filter((count) => count >= fed / keys).length === keys;
    });
    assert.deepEqual(Object.keys(counts).sort(), Array.from({ length: keys }, (_, i) => `k${i}`).sort());
  }

  it('counts in a table, and goes on with it when it was killed', async () => {
    await start();
    await feed();
    await hasDone(fed);
    await stage.program.kill('SIGKILL');
    await start();
    await feed();
    await assertCounted();
  });

  it('has its table again from the changelog after a clean end, with the gateway restarted', async () => {
    await stage.program.kill('SIGTERM');
    await stage.broker.restart();
    await start();
    await feed();
    await assertCounted();
  });
});
