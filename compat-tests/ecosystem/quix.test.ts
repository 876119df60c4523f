import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { Child, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { pythonProgram, readTopic, writeTopic } from './programs.ts';

const patienceMs = 120_000;
const keys = 10;
const perRound = 2000;
const IN = 'quix-in';
const OUT = 'quix-out';

/** A stateful application whose counts show everything that is lost or done twice. */
describe('Quix Streams, exactly once', function () {
  this.timeout(600_000);
  let broker: Broker;
  let dir: string;
  let app: Child | null = null;
  let fed = 0;

  before(async function () {
    for (const toolchain of ['quix', 'kcat']) requireToolchain(this, toolchain);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-quix-'));
    broker = await startBroker({
      overrides: { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '500' },
    });
  });

  after(async () => {
    await app?.kill('SIGKILL');
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  async function feed(): Promise<void> {
    const records = Array.from({ length: perRound }, (_, i): [string, string] => [
      `k${(fed + i) % keys}`,
      `${fed + i}`,
    ]);
    await writeTopic(broker.bootstrap, IN, records);
    fed += perRound;
  }

  function start(): void {
    app = new Child([...pythonProgram('quix_app.py', 'quix'), broker.bootstrap, join(dir, 'state'), IN, OUT]);
  }

  async function results(): Promise<{ key: string; number: number; seen: number }[]> {
    const records = await readTopic(broker.bootstrap, OUT).catch(() => []);
    return records.map(({ key, value }) => ({ key: key!, ...JSON.parse(value!) }));
  }

  async function hasDone(count: number): Promise<void> {
    let restarts = 0;
    await until(`${count} results`, patienceMs, async () => {
      // It ends by itself when the gateway is away for longer than its transaction may take.
      if (!app!.running && ++restarts > 3)
        throw new Error(`the application ended:\n${app!.output.slice(-4000)}`);
      if (!app!.running) start();
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
    await app!.kill('SIGKILL');
    await feed();
    start();
    await assertExact();
  });

  it('has its state again from its changelog, and goes on when the gateway restarts', async () => {
    await app!.kill('SIGTERM');
    rmSync(join(dir, 'state'), { recursive: true });
    await feed();
    start();
    await hasDone(fed - perRound + 1);
    await broker.restart();
    await feed();
    await assertExact();
  });
});
