import assert from 'node:assert/strict';
import type { Path } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { type Child, patience, sleep, until } from '../harness/child.ts';
import { readMetric } from '../harness/metrics.ts';
import { anonymousBytes } from '../harness/process-memory.ts';
import { ClientPrograms } from './client-programs.ts';
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

describe('direct API in a long run', function () {
  if (targetIsKafka) return;
  this.timeout((seconds + 600) * 1000 * patience);
  let gateway: DirectGateway;
  const clients = new ClientPrograms('long-run');

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
    await clients.killAll();
    await gateway?.broker.stop();
  });

  const start = (path: Path, rounds: number): Child =>
    clients.start(gateway.direct, path, 'long', String(rounds));

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
      await clients.kill(killed);
      await Promise.all(some.map((one) => clients.ended(one)));
      for (const one of stay) assert.ok(one.running, one.output.slice(-2000));
      if (round !== WARM_ROUNDS - 1) continue;
      await until('those that stay have gone round, too', 120_000, () =>
        stay.every(({ output }) => output.includes(`round ${WARM_ROUNDS - 1}:`)),
      );
      warm = measured.map(anonymousBytes);
    }
    const now = measured.map(anonymousBytes);
    for (const [i, bytes] of now.entries())
      assert.ok(
        bytes - warm[i]! < MAX_GROWTH,
        `${i === 0 ? 'the gateway' : PATHS[i - 1]} had ${warm[i]} bytes, and has ${bytes}`,
      );
    for (const one of stay) one.process.kill('SIGTERM');
    await Promise.all(stay.map((one) => clients.ended(one)));
    await until('nothing is attached or held any more', 60_000, async () => {
      const of = (name: string) => readMetric(gateway.broker.metricsUrl!, `kafabric_${name}`);
      const attached =
        (await of('direct_attachments')) +
        (await of('direct_region_bytes')) +
        (await of('direct_mapped_bytes'));
      const cached = await of('cache_bytes');
      // What gives way is in whole pages, with room for what a batch has around its data.
      const slack = cached / 32 + MIB;
      return attached === 0 && (await of('arena_used_bytes')) - cached <= slack;
    });
  });
});
