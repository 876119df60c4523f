import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SeededRandom } from '../../util/testing/seeded-random.ts';
import { StoresFixture, type TestStore } from './stores.fixture.ts';

const seeds = Number(process.env.KAFABRIC_STORE_SEEDS ?? 3);
const STEPS = 40;
const CONFIG = { 'payload.replicas': '2' };
/** Events after which gateways remove something at stores. */
const RECLAIMING = new Set([
  'give up records',
  'give back space',
  'restart a gateway',
  'start a gateway without its logs for once',
]);

/** Two gateways over four stores, of which at most one is away, damaged or stale at a time; what happens is chosen by a seed. */
describe(`Payload at stores that come and go, ${seeds} seeds`, () => {
  for (let seed = 1; seed <= seeds; seed++) {
    it(`seed ${seed}: has two copies of all that is referred to, and nothing else`, async () => {
      const first = new StoresFixture();
      const second = new StoresFixture();
      await first.startStores(4, ['a', 'b', 'c', 'c']);
      second.stores.push(...first.stores);
      const gateways = [first, second];
      const setups = [1, 2].map((nodeId) => ({
        config: CONFIG,
        stores: {
          owner: { clusterId: 'cluster', nodeId },
          copySource: seed % 2 === 0 ? ('store' as const) : ('gateway' as const),
        },
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
        // So does a process that is stopped, or that others leave no processor; longer than signs of life may be missing.
        'stand still': async () => {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1200);
          await events.check!();
        },
        'take a store away': async () => {
          if (first.stores.every(({ server }) => server !== null))
            await random.pick(first.stores).stop({ killed: random.chance(0.5) });
        },
        'bring it back': async () => {
          for (const store of first.stores) if (store.server === null) await store.start();
          // Another one may go only when nothing depends on this one any more.
          for (const gateway of gateways) await gateway.healed();
        },
        'give up records': async () => {
          const i = random.integer(0, 1);
          const gateway = gateways[i]!;
          starts[i] = random.integer(starts[i]!, gateway.produced.length);
          const partition = gateway.broker!.partitions.find('t', 0)!;
          await partition.deleteRecordsBefore(BigInt(starts[i]!));
        },
        'give back space': async () => {
          const partition = random.pick(gateways).broker!.partitions.find('t', 0);
          // What was deleted is settled by the second time.
          for (let i = 0; i < 2; i++) await partition?.payloads.clean(1);
        },
        'restart a gateway': async () => {
          const i = random.integer(0, 1);
          await leave(i);
          await gateways[i]!.start(setups[i]);
        },
        'start a gateway without its logs for once': async () => {
          const i = random.integer(0, 1);
          await leave(i);
          const { logs } = gateways[i]!;
          renameSync(logs, `${logs}-away`);
          await gateways[i]!.start(setups[i]);
          await gateways[i]!.compared();
          await gateways[i]!.stop();
          rmSync(logs, { recursive: true });
          renameSync(`${logs}-away`, logs);
          await gateways[i]!.start(setups[i]);
        },
        'kill a store, and have it lose or change what it has': async () => {
          await events['bring it back']!();
          const store = random.pick(first.stores);
          await store.stop({ killed: true });
          if (store.files.length > 0) spoil(store);
          await events.produce!();
          if (random.chance(0.3)) await events['restart a gateway']!();
          await events['bring it back']!();
          await scrubbed();
        },
        'keep what a store has, and put it back later': async () => {
          await events['bring it back']!();
          const store = random.pick(first.stores);
          const copy = `${store.path}-kept`;
          await store.stop({ killed: random.chance(0.5) });
          if (existsSync(copy)) {
            rmSync(store.path, { recursive: true });
            renameSync(copy, store.path);
          } else cpSync(store.path, copy, { recursive: true });
          await events['bring it back']!();
          await scrubbed();
        },
        check: async () => {
          for (const [i, gateway] of gateways.entries()) await gateway.check(starts[i]);
        },
      };
      async function leave(i: number): Promise<void> {
        if (random.chance(0.5)) await gateways[i]!.crash();
        else await gateways[i]!.stop();
      }

      /** What is not whole is found, before the other copy may go. */
      async function scrubbed(): Promise<void> {
        for (const gateway of gateways) {
          await gateway.broker!.stores!.scrubber.round();
          await gateway.healed();
        }
      }

      /** Cuts off a file, or changes a part of it, or removes it. */
      function spoil(store: TestStore): void {
        const path = join(store.path, random.pick(store.paths));
        const bytes = readFileSync(path);
        const at = random.integer(0, Math.max(0, bytes.length - 1));
        if (random.chance(0.4)) truncateSync(path, at);
        else if (random.chance(0.2)) rmSync(path);
        else writeFileSync(path, bytes.fill(random.integer(0, 255), at, Math.min(bytes.length, at + 50_000)));
      }

      for (let step = 0; step < STEPS; step++) {
        const event = random.pick(['produce', 'produce', ...Object.keys(events)]);
        await events[event]!();
        // What one gateway gives up is nothing that the other one, whose partition has the same name and id, refers to.
        if (RECLAIMING.has(event)) await events.check!();
      }
      await events['bring it back']!();
      await events.check!();
      for (const [i, gateway] of gateways.entries()) {
        await gateway.stop();
        await gateway.start(setups[i]);
        await gateway.compared();
      }
      await first.until('stores have two copies of each segment, and nothing else', () => {
        const wanted = gateways.flatMap(({ broker }) => [...broker!.stores!.segments]);
        const found = first.placement();
        const isWanted = wanted.every(({ copies }) => copies.length === 2);
        const count = [...found.values()].reduce((sum, { length }) => sum + length, 0);
        return isWanted && count === 2 * wanted.length;
      });
      await events.check!();
      await second.stop();
      rmSync(second.root, { recursive: true });
      await first.end();
    });
  }
});
