import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { SeededRandom } from '../../util/testing/seeded-random.ts';
import { StoresFixture } from './stores.fixture.ts';

const seeds = Number(process.env.KAFABRIC_STORE_SEEDS ?? 3);
const STEPS = 40;
const CONFIG = { 'payload.replicas': '2' };

/** Two gateways over four stores, of which at most one is away at a time; what happens is chosen by a seed. */
describe(`Payload at stores that come and go, ${seeds} seeds`, function () {
  this.timeout(60_000 * seeds);

  for (let seed = 1; seed <= seeds; seed++) {
    it(`seed ${seed}: has two copies of all that is referred to, and nothing else`, async () => {
      const first = new StoresFixture();
      const second = new StoresFixture();
      await first.startStores(4, ['a', 'b', 'c', 'c']);
      second.stores.push(...first.stores);
      const gateways = [first, second];
      const setups = [1, 2].map((nodeId) => ({
        config: CONFIG,
        stores: { owner: { clusterId: 'cluster', nodeId } },
      }));
      for (const [i, gateway] of gateways.entries()) await gateway.start(setups[i]);
      const starts = [0, 0];
      const random = new SeededRandom(seed);

      const events: Record<string, () => Promise<void>> = {
        produce: async () => {
          for (let i = random.integer(1, 6); i > 0; i--) {
            try {
              await random.pick(gateways).produceOne();
            } catch (error) {
              // A store has gone a moment ago; whoever produces tries again.
              assert.equal((error as { code?: unknown }).code, 19, String(error));
            }
          }
        },
        'take a store away': async () => {
          if (first.stores.every(({ server }) => server !== null))
            await random.pick(first.stores).stop({ killed: random.chance(0.5) });
        },
        'bring it back': async () => {
          for (const store of first.stores) if (store.server === null) await store.start();
          // Another one may go only when nothing depends on this one any more.
          for (const gateway of gateways) await healed(gateway);
        },
        'give up records': async () => {
          const i = random.integer(0, 1);
          const gateway = gateways[i]!;
          starts[i] = random.integer(starts[i]!, gateway.produced.length);
          const partition = gateway.broker!.partitions.find('t', 0)!;
          await partition.deleteRecordsBefore(BigInt(starts[i]!));
        },
        'restart a gateway': async () => {
          const i = random.integer(0, 1);
          if (random.chance(0.5)) await gateways[i]!.crash();
          else await gateways[i]!.stop();
          await gateways[i]!.start(setups[i]);
        },
        check: async () => {
          for (const [i, gateway] of gateways.entries()) await gateway.check(starts[i]);
        },
      };
      for (let step = 0; step < STEPS; step++) {
        const event = random.pick(['produce', 'produce', ...Object.keys(events)]);
        await events[event]!();
      }
      await events['bring it back']!();
      await events.check!();
      for (const [i, gateway] of gateways.entries()) {
        await gateway.stop();
        await gateway.start(setups[i]);
        for (const peer of gateway.broker!.stores!.peers) gateway.broker!.stores!.repairs.compare(peer);
      }
      await first.until('stores have two copies of each segment, and nothing else', () => {
        const wanted = gateways.flatMap(({ broker }) => [...broker!.stores!.segments]);
        const found = first.placement();
        return wanted.length === found.size && [...found.values()].every(({ length }) => length === 2);
      });
      await events.check!();
      await second.stop();
      rmSync(second.root, { recursive: true });
      await first.end();
    });
  }

  /** Nothing lacks a copy, and no copy is in doubt. */
  async function healed(gateway: StoresFixture): Promise<void> {
    const stores = gateway.broker!.stores!;
    gateway.broker!.partitions.find('t', 0)!.payloads.endSegment();
    await gateway.until('it is repaired', () => {
      for (const { copies, isComplete } of stores.segments) {
        const whole = copies.filter(({ doubtful }) => !doubtful);
        if (!isComplete || whole.length < 2 || whole.length !== copies.length) return false;
      }
      return stores.peers.every(({ isUp }) => isUp);
    });
  }
});
