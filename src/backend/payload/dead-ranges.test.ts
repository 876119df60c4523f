import assert from 'node:assert/strict';
import { deadRanges, overlaps } from './dead-ranges.ts';

const extent = (position: number, length: number) => ({ baseOffset: 0n, lastOffset: 0n, position, length });

describe('deadRanges', () => {
  it('are whole blocks that no extent touches, and the last block of the file', () => {
    assert.deepEqual([...deadRanges([], 10_000)], [0, 10_000]);
    assert.deepEqual([...deadRanges([extent(0, 10_000)], 10_000)], []);
    assert.deepEqual([...deadRanges([extent(1, 4095)], 10_000)], [4096, 10_000 - 4096]);
    assert.deepEqual([...deadRanges([extent(4095, 1), extent(12_289, 100)], 13_000)], [4096, 8192]);
    assert.deepEqual([...deadRanges([extent(4097, 4095), extent(8193, 1)], 8194)], [0, 4096]);
    assert.deepEqual([...deadRanges([extent(20_000, 10), extent(0, 10)], 20_010)], [4096, 12_288]);
  });

  it('are told from what is live', () => {
    const ranges = deadRanges([extent(8192, 4096), extent(20_480, 4096)], 40_000);
    assert.deepEqual([...ranges], [0, 8192, 12_288, 8192, 24_576, 15_424]);
    for (const [position, length, isDead] of [
      [0, 1, true],
      [8191, 1, true],
      [8191, 2, true],
      [8192, 4096, false],
      [8192, 4097, true],
      [12_288, 1, true],
      [20_480, 4096, false],
      [39_999, 1, true],
      [40_000, 100, false],
    ] as const)
      assert.equal(overlaps(ranges, position, length), isDead, `${position} ${length}`);
    assert.ok(!overlaps(new Float64Array(0), 0, 100));
  });
});
