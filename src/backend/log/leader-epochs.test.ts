import assert from 'node:assert/strict';
import { LeaderEpochs } from './leader-epochs.ts';

const epochs = (...entries: [number, bigint][]) =>
  new LeaderEpochs(
    entries.map(([epoch, startOffset]) => ({ epoch, startOffset })),
    () => {},
  );
const pairs = (cache: LeaderEpochs) => cache.entries().map(({ epoch, startOffset }) => [epoch, startOffset]);

describe('LeaderEpochs', () => {
  it('says where an epoch ended', () => {
    const cache = epochs([2, 6n], [3, 8n], [7, 11n]);
    const ends = [1, 2, 3, 5, 7, 8, -1].map((epoch) => Object.values(cache.endOffsetFor(epoch, 20n)));
    assert.deepEqual(ends, [
      [1, 6n],
      [2, 8n],
      [3, 11n],
      [3, 11n],
      [7, 20n],
      [-1, -1n],
      [-1, -1n],
    ]);
  });

  it('says in which epoch an offset was written', () => {
    const cache = epochs([2, 6n], [3, 8n]);
    assert.deepEqual(
      [5n, 6n, 7n, 8n, 100n].map((offset) => cache.epochFor(offset)),
      [-1, 2, 2, 3, 3],
    );
  });

  it('drops entries that a new one contradicts', () => {
    const cache = epochs([2, 6n], [3, 8n]);
    cache.assign(3, 9n);
    assert.deepEqual(pairs(cache), [
      [2, 6n],
      [3, 8n],
    ]);
    cache.assign(4, 8n);
    assert.deepEqual(pairs(cache), [
      [2, 6n],
      [4, 8n],
    ]);
    cache.assign(5, 1n);
    assert.deepEqual(pairs(cache), [[5, 1n]]);
  });

  it('is cut at the end and at the start of a log', () => {
    let changes = 0;
    const cache = new LeaderEpochs([], () => changes++);
    cache.assign(1, 0n);
    cache.assign(2, 10n);
    cache.assign(3, 20n);
    cache.truncateFromEnd(20n);
    assert.deepEqual(pairs(cache), [
      [1, 0n],
      [2, 10n],
    ]);
    cache.truncateFromStart(15n);
    assert.deepEqual(pairs(cache), [[2, 15n]]);
    assert.equal(changes, 5);
    cache.truncateFromStart(15n);
    cache.truncateFromEnd(16n);
    assert.equal(changes, 5);
  });
});
