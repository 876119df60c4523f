import assert from 'node:assert/strict';
import { type Part, stepsOf } from './segment-copier.ts';

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
