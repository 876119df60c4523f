import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../harness/child.ts';
import { numbered, pythonProgram, readTopic, writeTopic } from './programs.ts';
import { Stage } from './stage.ts';

const patienceMs = 120_000;
const keys = 10;
const perRound = 2000;
const IN = 'quix-in';
const OUT = 'quix-out';

/** A stateful application whose counts show everything that is lost or done twice. */
describe('Quix Streams, exactly once', function () {
  this.timeout(600_000);
  const stage = Stage.set('quix', ['quix', 'kcat'], {
    overrides: { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '500' },
  });
  let fed = 0;

  async function feed(): Promise<void> {
    await writeTopic(stage.broker.bootstrap, IN, numbered(fed, perRound, keys));
    fed += perRound;
  }

  function start(): void {
    stage.start([
      ...pythonProgram('quix_app.py', 'quix'),
      stage.broker.bootstrap,
      join(stage.dir, 'state'),
      IN,
      OUT,
    ]);
  }

  async function results(): Promise<{ key: string; number: number; seen: number }[]> {
    const records = await readTopic(stage.broker.bootstrap, OUT).catch(() => []);
    return records.map(({ key, value }) => ({ key: key!, ...JSON.parse(value!) }));
  }

  async function hasDone(count: number): Promise<void> {
    let restarts = 0;
    await until(`${count} results`, patienceMs, async () => {
      // It ends by itself when the gateway is away for longer than its transaction may take.
      if (!stage.program.running && ++restarts <= 3) start();
      stage.assertRuns();
      return (await results()).length >= count;
    });
  }

  async function assertExact(): Promise<void> {
    await hasDone(fed);
    const counts: Record<string, string[]> = {};
    for (const { key, number, seen } of await results()) {
      counts[key] ??= [];
      counts[key].push(`${number}: ${seen}`);
    }
    const expected: Record<string, string[]> = {};
    for (let number = 0; number < fed; number++) {
      const key = `k${number % keys}`;
      expected[key] ??= [];
      expected[key].push(`${number}: ${expected[key].length + 1}`);
    }
    assert.deepEqual(counts, expected);
  }

  it('counts exactly when it is killed', async () => {
    await feed();
    start();
    await hasDone(1);
    await feed();
    await stage.program.kill('SIGKILL');
    await feed();
    start();
    await assertExact();
  });

  it('has its state again from its changelog, and goes on when the gateway restarts', async () => {
    await stage.program.kill('SIGTERM');
    rmSync(join(stage.dir, 'state'), { recursive: true });
    await feed();
    start();
    await hasDone(fed - perRound + 1);
    await stage.broker.restart();
    await feed();
    await assertExact();
  });
});
