import assert from 'node:assert/strict';
import { createOffsetCommitRequest } from '../../protocol/generated/offset-commit-request.ts';
import { settled } from '../../util/testing/virtual-clock.ts';
import { startGroups } from './coordinator.fixture.ts';
import { commitOffsets } from './offset-commit.ts';
import type { TopicNames } from './ports.ts';

describe('the deletion of a topic', () => {
  it('deletes offsets in all partitions of __consumer_offsets at the same time', async () => {
    const partitions = 5;
    const topic = {
      name: '__consumer_offsets',
      partitionCount: () => partitions,
      isOffline: () => false,
      ensure: async () => partitions,
    };
    const { groups, log } = await startGroups(undefined, {}, topic);
    const names: TopicNames = { partitionCount: () => 4, idOf: () => null, nameOf: () => null };
    const part = { partitionIndex: 0, committedOffset: 1n, committedLeaderEpoch: -1, committedMetadata: '' };
    const topics = [{ name: 'events', topicId: '', partitions: [part] }];
    for (const groupId of ['a', 'b', 'c', 'd', 'e'])
      await commitOffsets(groups, names, createOffsetCommitRequest({ groupId, topics }), 9);
    const written = new Set<number>();
    const append = log.append.bind(log);
    log.append = (partition, ...rest) => {
      written.add(partition);
      return append(partition, ...rest);
    };
    log.hold();
    const deleted = groups.topicDeleted('events');
    await settled();
    assert.equal(written.size, partitions);
    log.release();
    await deleted;
    groups.close();
  });
});
