import assert from 'node:assert/strict';
import { arenaStats, type NativeMemory } from '../../../../native/arena.ts';
import { VirtualClock } from '../../../../util/testing/virtual-clock.ts';
import { ArenaQueue } from './arena-queue.ts';

const LIMIT = 1 << 20;
const SMALL = 64 << 10;

describe('The queue for memory of a store', () => {
  let clock: VirtualClock;
  let queue: ArenaQueue;
  const held: NativeMemory[] = [];

  beforeEach(() => {
    clock = new VirtualClock();
    queue = new ArenaQueue(clock, LIMIT);
  });
  afterEach(() => {
    for (const memory of held.splice(0)) memory.release();
    assert.equal(arenaStats().usedBytes, 0);
  });

  /** Asks for memory, and notes in `order` that it came. */
  async function ask(bytes: number, name: string, order: string[], patienceMs = 60_000): Promise<void> {
    held.push(await queue.allocate(bytes, clock.now() + patienceMs));
    order.push(name);
  }

  it('lets small requests pass a large one, but not for ever', async () => {
    const order: string[] = [];
    await ask(LIMIT - SMALL, 'first', order);
    const large = ask(LIMIT, 'large', order);
    let passed = 0;
    // Each takes the last of the memory, and gives it back: the large one would never get enough.
    while (passed < 1000) {
      const small = ask(SMALL, 'small', order);
      await new Promise(setImmediate);
      if (order.at(-1) !== 'small') {
        queue.freed(LIMIT - SMALL);
        await large;
        queue.freed(LIMIT);
        await small;
        break;
      }
      order.pop();
      queue.freed(SMALL);
      passed++;
    }
    assert.ok(passed > 0 && passed < 1000, String(passed));
    assert.deepEqual(order, ['first', 'large', 'small']);
    queue.freed(SMALL);
    assert.deepEqual([queue.heldBytes, queue.waiting], [0, 0]);
  });

  it('serves in the order in which it was asked, as soon as there is some', async () => {
    const order: string[] = [];
    await ask(LIMIT, 'first', order);
    const all = ['a', 'b', 'c'].map((name) => ask(LIMIT / 2, name, order));
    await new Promise(setImmediate);
    assert.deepEqual(order, ['first']);
    queue.freed(LIMIT);
    await Promise.all(all.slice(0, 2));
    assert.deepEqual(order, ['first', 'a', 'b']);
    queue.freed(LIMIT / 2);
    await all[2];
    assert.deepEqual(order, ['first', 'a', 'b', 'c']);
  });

  it('refuses what will never fit, and what nobody waits for any more', async () => {
    const order: string[] = [];
    await assert.rejects(ask(LIMIT + 1, 'never', order), { code: 'ENOMEM' });
    await ask(LIMIT, 'first', order);
    // Behind one that waits long.
    const patient = ask(LIMIT, 'patient', order);
    const late = assert.rejects(ask(SMALL, 'late', order, 100), { code: 'ENOMEM' });
    await clock.advance(150);
    await late;
    assert.equal(queue.waiting, 1);
    queue.freed(LIMIT);
    await patient;
  });

  it('forgets what was asked for by somebody who is gone', async () => {
    const order: string[] = [];
    await ask(LIMIT, 'first', order);
    let isThere = true;
    const gone = queue.allocate(SMALL, clock.now() + 60_000, () => isThere);
    const stays = ask(SMALL, 'stays', order);
    isThere = false;
    const forgotten = assert.rejects(async () => gone, { code: 'ENOTCONN' });
    clock.tick(5);
    await forgotten;
    queue.freed(LIMIT);
    await stays;
    assert.deepEqual([order, queue.heldBytes], [['first', 'stays'], SMALL]);
    queue.freed(SMALL);
  });
});
