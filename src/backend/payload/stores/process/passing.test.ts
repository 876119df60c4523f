import assert from 'node:assert/strict';
import { NativeMemory } from '../../../../native/arena.ts';
import { VirtualClock } from '../../../../util/testing/virtual-clock.ts';
import { GRACE_MS } from '../store-connection.ts';
import { FILE } from '../testing.ts';
import { Passing } from './passing.ts';
import type { PassedAppend, Relays } from './relays.ts';

describe('What a store passes on', () => {
  it('has failed before the gateway takes the store itself for one that does not answer', async () => {
    const clock = new VirtualClock();
    const orders: PassedAppend[] = [];
    const relays = { append: async (_store: string, order: PassedAppend) => void orders.push(order) };
    const memory = NativeMemory.allocate(1)!;
    for (const timeoutMs of [30_000, 1000]) {
      const order = { file: FILE, position: 0, length: 1, source: 0, key: '0', fromMemory: true, timeoutMs };
      const append = { op: 'append' as const, ...order, onward: [{ store: 'another', file: FILE }] };
      const passing = new Passing(append, relays as unknown as Relays, clock, clock.now() + timeoutMs);
      await passing.pass(memory, 0, 0, 1);
      // What the other store has, and its grace, is less than the time and the grace of this one.
      const { timeoutMs: passedMs } = orders.pop()!;
      assert.ok(passedMs + Math.min(GRACE_MS, timeoutMs / 2) <= timeoutMs, `${passedMs} of ${timeoutMs} ms`);
      assert.ok(passedMs >= timeoutMs / 2, `${passedMs} of ${timeoutMs} ms`);
    }
    memory.release();
  });
});
