import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { arenaStats, NativeMemory } from '../../../native/arena.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import type { PayloadStores } from './payload-stores.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import { type Part, SegmentCopier, stepsOf } from './segment-copier.ts';
import type { StorePeer } from './store-peer.ts';

const MIB = 1 << 20;
const source = {} as Part['source'];
const part = (position: number, length: number, isLive: boolean): Part => ({
  position,
  length,
  source,
  isLive,
});

function steps(parts: readonly Part[], ...holes: number[]): (number | string)[][] {
  const all = [...stepsOf(parts, Float64Array.from(holes))];
  return all.map(({ position, length, isHole }) => [position, length, isHole ? 'hole' : 'copied']);
}

describe('The steps in which a segment is copied', () => {
  it('are no larger than a request, and leave out holes', () => {
    assert.deepEqual(steps([part(0, 9 * MIB, true)]), [
      [0, 4 * MIB, 'copied'],
      [4 * MIB, 4 * MIB, 'copied'],
      [8 * MIB, MIB, 'copied'],
    ]);
    assert.deepEqual(steps([part(0, 5000, false), part(5000, 100, true)], 0, 4096), [
      [0, 4096, 'hole'],
      [4096, 904, 'copied'],
      [5000, 100, 'copied'],
    ]);
    const wide = [part(0, 10, true), part(10, 9 * MIB, false)];
    assert.deepEqual(steps(wide, 4096, 4096, 16_384, 9 * MIB + 10 - 16_384), [
      [0, 10, 'copied'],
      [10, 4086, 'copied'],
      [4096, 4096, 'hole'],
      [8192, 8192, 'copied'],
      [16_384, 4 * MIB, 'hole'],
      [16_384 + 4 * MIB, 4 * MIB, 'hole'],
      [16_384 + 8 * MIB, MIB + 10 - 16_384, 'hole'],
    ]);
  });

  it('copy what is live, whatever is said of holes', () => {
    assert.deepEqual(steps([part(0, 100, true), part(100, 8092, false)], 0, 8192), [
      [0, 100, 'copied'],
      [100, 8092, 'hole'],
    ]);
  });
});

describe('A copy of a segment', () => {
  it('waits for memory, and is not begun anew for want of it', async () => {
    const asked: string[] = [];
    const peer = {
      request: async ({ op }: { op: string }) => {
        asked.push(op);
        return { length: 100, crc: 0 };
      },
    } as unknown as StorePeer;
    const segment = {
      bytes: 100,
      holes: async () => ({ ranges: new Float64Array(), round: 0 }),
      copiedWithHoles: () => undefined,
    } as unknown as ReplicatedSegment;
    const stores = { requestTimeoutMs: 1000, has: () => true, pinOf: () => null };
    const clock = new VirtualClock();
    const copier = new SegmentCopier(stores as unknown as PayloadStores, async () => undefined, clock);
    const others: NativeMemory[] = [];
    for (let bytes = arenaStats().capacityBytes; bytes >= 4096; ) {
      const memory = NativeMemory.allocate(bytes);
      if (memory === null) bytes = Math.floor(bytes / 2);
      else others.push(memory);
    }
    const of = { peer, copy: { file: 'from' } } as unknown as Part['source'];
    const copied = copier.copy(segment, [{ ...part(0, 100, false), source: of }], [], { peer, file: 'to' });
    while (clock.pending === 0) await setImmediate();
    assert.deepEqual(asked, ['create']);
    for (const memory of others) memory.release();
    clock.tick(50);
    assert.equal(await copied, true);
    assert.deepEqual(asked, ['create', 'read', 'append', 'seal']);
    assert.equal(arenaStats().usedBytes, 0);
  });
});
