import type { Path } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience } from '../harness/child.ts';
import { ClientPrograms } from './client-programs.ts';
import { type DirectGateway, startDirectGateway } from './fixture.ts';
import { contentOf, sizes } from './stress-data.ts';

/** How long clients work; some seconds by default. */
const seconds = Number(process.env.KAFABRIC_STRESS_SECONDS ?? 8);
const seed = Number(process.env.KAFABRIC_STRESS_SEED ?? 1);
const MIB = 1 << 20;
const EVENTS = 120;
/** Of each path. */
const CLIENTS = 2;
/** For one call, on a machine that does much else; a wait that nothing ends lasts longer. */
const LIMIT_MS = 180_000 * patience;
const PATHS: readonly Path[] = ['shared-memory', 'mapped', 'tcp'];

describe('direct API where memory is short', function () {
  if (targetIsKafka) return;
  this.timeout((seconds + 600) * 1000 * patience);
  let gateway: DirectGateway;
  const clients = new ClientPrograms('stress');

  before(async () => {
    gateway = await startDirectGateway({
      'direct.mapped.listeners': 'DIRECT',
      // Much less than there is to read.
      'arena.bytes': String(40 * MIB),
      'socket.request.max.bytes': String(16 * MIB),
      'log.retention.check.interval.ms': '1000',
      'log.segment.delete.delay.ms': '1000',
    });
    const client = await gateway.connect();
    const configs = { 'segment.bytes': String(16 * MIB), 'retention.bytes': String(256 * MIB) };
    const topic = await client.createTopic('stress', { partitions: 2, configs });
    const producer = topic.producer();
    for (let i = 0; i < EVENTS; i++) {
      const size = sizes[i % sizes.length]!;
      await producer.push({ seed: i, size }, contentOf(size, i));
    }
    await producer.close();
    client.close();
  });
  after(async () => {
    await clients.killAll();
    await gateway?.broker.stop();
  });

  it('serves every client in time, whatever the others do, hold, and leave behind', async () => {
    const started = PATHS.flatMap((path, i) =>
      Array.from({ length: CLIENTS }, (_, n) => {
        const mine = String(seed * 100 + i * CLIENTS + n);
        return clients.start(gateway.direct, path, 'stress', mine, String(seconds), String(LIMIT_MS));
      }),
    );
    for (const one of started) await clients.ended(one);
  });
});
