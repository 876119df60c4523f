import assert from 'node:assert/strict';
import { OffsetIndex } from './offset-index.ts';
import { TimeIndex } from './time-index.ts';

describe('OffsetIndex', () => {
  it('gives the position of the last entry at or below an offset', () => {
    const index = new OffsetIndex(100n, 80);
    index.append(109n, 400);
    index.append(119n, 800);
    const looked = [100n, 108n, 109n, 118n, 119n, 5000n].map((offset) => index.lookup(offset));
    assert.deepEqual(looked, [0, 0, 400, 400, 800, 800]);
  });

  it('is written as pairs of relative offset and position, and read again', () => {
    const index = new OffsetIndex(100n, 80);
    index.append(109n, 400);
    assert.deepEqual([...index.content()], [0, 0, 0, 9, 0, 0, 1, 144]);
    const again = new OffsetIndex(100n, 80, index.content());
    assert.equal(again.lastOffset, 109n);
    assert.equal(again.lastPosition, 400);
  });

  it('drops the entries from an offset on', () => {
    const index = new OffsetIndex(0n, 800);
    for (let entry = 1; entry <= 10; entry++) index.append(BigInt(entry * 10), entry * 100);
    index.truncateTo(55n);
    assert.equal(index.lastOffset, 50n);
    index.truncateTo(50n);
    assert.equal(index.lastOffset, 40n);
    index.append(41n, 450);
    assert.equal(index.lookup(1000n), 450);
  });

  it('is full at its size and takes no more', () => {
    const index = new OffsetIndex(0n, 17);
    index.append(1n, 10);
    assert.equal(index.isFull, false);
    index.append(2n, 20);
    assert.equal(index.isFull, true);
    index.append(3n, 30);
    assert.equal(index.count, 2);
  });

  it('knows damage: zeros at the end, positions beyond the segment, entries out of order', () => {
    const index = new OffsetIndex(0n, 800);
    index.append(5n, 10);
    index.append(9n, 20);
    assert.equal(index.isValid(21), true);
    assert.equal(index.isValid(20), false);
    const zeros = new Uint8Array(24);
    zeros.set(index.content());
    assert.equal(new OffsetIndex(0n, 800, zeros).isValid(100), false);
  });
});

describe('TimeIndex', () => {
  it('gives an offset before which all timestamps are smaller', () => {
    const index = new TimeIndex(100n, 800);
    index.append(1000n, 105n);
    index.append(2000n, 110n);
    const looked = [999n, 1000n, 1001n, 2000n, 2001n].map((time) => index.lookup(time));
    assert.deepEqual(looked, [100n, 100n, 105n, 105n, 110n]);
  });

  it('takes only larger timestamps, and keeps its last slot for closing', () => {
    const index = new TimeIndex(0n, 36);
    index.append(10n, 1n);
    index.append(10n, 2n);
    index.append(9n, 3n);
    assert.equal(index.count, 1);
    index.append(20n, 4n);
    assert.equal(index.isFull, true);
    index.append(30n, 5n);
    assert.equal(index.count, 2);
    index.append(30n, 5n, true);
    assert.deepEqual(index.last, { timestamp: 30n, offset: 5n });
  });

  it('is written as timestamp and relative offset', () => {
    const index = new TimeIndex(100n, 800);
    index.append(258n, 103n);
    assert.deepEqual([...index.content()], [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3]);
    assert.equal(new TimeIndex(100n, 800, index.content()).isValid(), true);
    assert.equal(new TimeIndex(100n, 800, new Uint8Array(24)).isValid(), false);
  });
});
