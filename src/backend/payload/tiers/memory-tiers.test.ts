import assert from 'node:assert/strict';
import { silentLogger } from '../../../util/logger.ts';
import { MemoryTiers } from './memory-tiers.ts';
import type { TierFile } from './tier-file.ts';

describe('What leaves memory', () => {
  const file = (beganMs: number, bytes: number, isVolatile = true) =>
    ({ at: { isVolatile }, beganMs, bytes }) as TierFile;
  const files = [file(0, 10, false), file(3, 10), file(1, 100), file(2, 20)];

  it('is the oldest for which there is room', () => {
    const memory = new MemoryTiers(() => ({ mayLose: true, maxAgeMs: 10 }), silentLogger);
    const next = (nowMs: number, ...rooms: number[]) => {
      const tiers = rooms.map((roomBytes) => ({ roomBytes }));
      const move = memory.nextMove(files, tiers, nowMs);
      return move && [move.file.beganMs, move.to];
    };
    assert.equal(next(10, 0, 1000, 1000), null);
    assert.deepEqual(next(20, 0, 1000, 1000), [1, 1]);
    assert.deepEqual(next(20, 0, 50, 1000), [1, 2]);
    // One that finds no room keeps nobody else there.
    assert.deepEqual(next(20, 0, 50, 15), [2, 1]);
    assert.equal(next(20, 0, 5, 5), null);
  });
});
