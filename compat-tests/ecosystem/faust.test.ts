import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { Child, freePort, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { pythonProgram, readTopic, writeTopic } from './programs.ts';

const patienceMs = 120_000;
const keys = 10;
const perRound = 1000;

/** At least once: what is done twice is allowed, what is missing is not. */
describe('Faust', function () {
  this.timeout(600_000);
  let broker: Broker;
  let dir: string;
  let app: Child | null = null;
  let fed = 0;

  before(async function () {
    for (const toolchain of ['ecosystem-python', 'kcat']) requireToolchain(this, toolchain);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-faust-'));
    broker = await startBroker();
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
    await writeTopic(broker.bootstrap, 'faust-in', records);
    fed += perRound;
  }

  /** It keeps its tables in memory, so that it has to read them back from their changelog; resolves when it has. */
  async function start(): Promise<void> {
    const words = [
      `--datadir=${join(dir, 'data')}`,
      'worker',
      '-l',
      'info',
      '--web-port',
      `${await freePort()}`,
    ];
    const env = { FAUST_BROKER: `kafka://${broker.bootstrap}` };
    const child = new Child([...pythonProgram('faust_app.py'), ...words], env);
    app = child;
    await until('Faust is ready', patienceMs, () => {
      if (!child.running) throw new Error(`the application ended:\n${child.output.slice(-4000)}`);
      return child.output.includes('Worker ready');
    });
  }

  async function passedOn(): Promise<Set<number>> {
    const records = await readTopic(broker.bootstrap, 'faust-out').catch(() => []);
    return new Set(records.map(({ value }) => Number(value)));
  }

  async function hasDone(count: number): Promise<void> {
    await until(`${count} events are passed on`, patienceMs, async () => {
      if (!app!.running) throw new Error(`the application ended:\n${app!.output.slice(-4000)}`);
      return (await passedOn()).size >= count;
    });
  }

  /** The newest count of each key in the table's changelog is that of all events, or more. */
  async function assertCounted(): Promise<void> {
    await hasDone(fed);
    let counts: Record<string, number> = {};
    await until('the table is written', patienceMs, async () => {
      const records = await readTopic(broker.bootstrap, 'faust-counts-changelog');
      counts = Object.fromEntries(records.map(({ key, value }) => [JSON.parse(key!), Number(value)]));
      return Object.values(counts).filter((count) => count >= fed / keys).length === keys;
    });
    assert.deepEqual(Object.keys(counts).sort(), Array.from({ length: keys }, (_, i) => `k${i}`).sort());
  }

  it('counts in a table, and loses nothing when it is killed', async () => {
    await start();
    await feed();
    await hasDone(1);
    await app!.kill('SIGKILL');
    await feed();
    await start();
    await assertCounted();
  });

  it('has its table again from the changelog after a clean end, with the gateway restarted', async () => {
    await app!.kill('SIGTERM');
    await broker.restart();
    await start();
    await feed();
    await assertCounted();
  });
});
