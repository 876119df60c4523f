import assert from 'node:assert/strict';
import { forEachState } from './share-state-requests.ts';

const FIRST = 'AAAAAAAAAAAAAAAAAAAABQ';
const SECOND = 'AAAAAAAAAAAAAAAAAAAABg';

describe('requests of the share coordinator', () => {
  const offsets = (...partitions: [partition: number, offset: number][]) =>
    partitions.map(([partition, offset]) => ({ partition, offset }));
  let carriedOut = 0;
  const ask = (...topics: { topicId: string; partitions: { partition: number; offset: number }[] }[]) =>
    forEachState(
      'group',
      topics,
      (result) => result,
      async (_, { offset }) => {
        carriedOut++;
        return { offset };
      },
    );

  it('are carried out and answered once, the last of them, where something is named twice', async () => {
    const results = await ask(
      { topicId: FIRST, partitions: offsets([0, 1], [1, 2], [0, 3]) },
      { topicId: SECOND, partitions: offsets([0, 4]) },
      { topicId: FIRST, partitions: offsets([1, 5]) },
    );
    assert.deepEqual(results, [
      { topicId: FIRST, partitions: offsets([0, 3], [1, 5]) },
      { topicId: SECOND, partitions: offsets([0, 4]) },
    ]);
    assert.equal(carriedOut, 3);
  });

  it('have no results where a topic has no partitions', async () => {
    const results = await ask(
      { topicId: FIRST, partitions: offsets([0, 1]) },
      { topicId: SECOND, partitions: [] },
    );
    assert.deepEqual(results, []);
  });
});
