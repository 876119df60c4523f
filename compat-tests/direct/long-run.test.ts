import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { Path } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { Child, patience, sleep, until } from '../harness/child.ts';
import { anonymousBytes } from '../harness/process-memory.ts';
import { type DirectGateway, startDirectGateway } from './fixture.ts';

/** How long clients come and go; a few rounds by default. */
const seconds = Number(process.env.KAFABRIC_LONG_RUN_SECONDS ?? 0);
const MIN_ROUNDS = 4;
/** Heaps have their size by then. */
const WARM_ROUNDS = 2;
const MIB = 1 << 20;
/** What memory of a process may differ by from one time to another; each round moves more. */
const MAX_GROWTH = 96 * MIB;
const PATHS: readonly Path[] = ['shared-memory', 'mapped', 'tcp'];
const ENDLESS = 1_000_000;
const child = fileURLToPath(new URL('./long-run.child.js', import.meta.url));

describe('direct API in a long run', function () {
  if (targetIsKafka) return;
  this.timeout((seconds + 300) * 1000 * patience);
  let gateway: DirectGateway;
  const clients: Child[] = [];

  before(async () => {
    gateway = await startDirectGateway({
      'direct.mapped.listeners': 'DIRECT',
      'log.retention.check.interval.ms': '1000',
      'log.segment.delete.delay.ms': '1000',
      'arena.bytes': String(512 * MIB),
    });
    const client = await gateway.connect();
    const configs = { 'segment.bytes': '1048576', 'retention.bytes': String(512 * MIB) };
    await client.createTopic('long', { partitions: 1, configs });
    client.close();
  });
  after(async () => {
    await Promise.all(clients.map((one) => one.kill('SIGKILL')));
    await gateway?.broker.stop();
  });

  function start(path: Path, rounds: number): Child {
    const command = [process.execPath, child, gateway.direct, path, 'long', String(rounds)];
    const started = new Child(command);
    clients.push(started);
    return started;
  }

  async function ended(one: Child): Promise<void> {
    const { code } = await one.ended;
    clients.splice(clients.indexOf(one), 1);
    assert.equal(code, 0, one.output.slice(-2000));
  }

  async function metrics(): Promise<(name: string) => number> {
    const text = await (await fetch(`${gateway.broker.metricsUrl}/metrics`)).text();
    return (name) => {
      const found = new RegExp(`^kafabric_${name}(?:\\{[^}]*\\})? (\\d+)`, 'm').exec(text);
      assert.ok(found !== null, `the metric ${name} is there`);
      return Number(found[1]);
    };
  }

  it('keeps no memory of clients that come and go, and that of those which stay is flat', async () => {
    const stay = PATHS.map((path) => start(path, ENDLESS));
    const measured = [gateway.broker.pid!, ...stay.map(({ process: { pid } }) => pid!)];
    let warm: number[] = [];
    const from = Date.now();
    for (let round = 0; round < MIN_ROUNDS || Date.now() - from < seconds * 1000; round++) {
      const some = PATHS.map((path) => start(path, 1));
      // Whatever it is doing then.
      const killed = start(PATHS[round % PATHS.length]!, ENDLESS);
      await sleep(500 + 100 * (round % 10));
      await killed.kill('SIGKILL');
      clients.splice(clients.indexOf(killed), 1);
      await Promise.all(some.map(ended));
      for (const one of stay) assert.ok(one.running, one.output.slice(-2000));
      if (round === WARM_ROUNDS - 1) warm = measured.map(anonymousBytes);
    }
    const now = measured.map(anonymousBytes);
    for (const [i, bytes] of now.entries())
      assert.ok(
        bytes - warm[i]! < MAX_GROWTH,
        `${i === 0 ? 'the gateway' : PATHS[i - 1]} had ${warm[i]} bytes, and has ${bytes}`,
      );
    for (const one of stay) one.process.kill('SIGTERM');
    await Promise.all(stay.map(ended));
    await until('nothing is attached or held any more', 60_000, async () => {
      const of = await metrics();
      const attached = of('direct_attachments') + of('direct_region_bytes') + of('direct_mapped_bytes');
      // What gives way is in whole pages, with room for what a batch has around its data.
      const slack = of('cache_bytes') / 32 + MIB;
      return attached === 0 && of('arena_used_bytes') - of('cache_bytes') <= slack;
    });
  });
});
