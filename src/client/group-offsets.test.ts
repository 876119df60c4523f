import assert from 'node:assert/strict';
import {
  type OffsetCommitRequest,
  offsetCommitRequest,
} from '../protocol/generated/offset-commit-request.ts';
import type { CoordinatorLink } from './coordinator-link.ts';
import { commitOffsets, committedOffsets } from './group-offsets.ts';

describe('offsets of a group', () => {
  it('are committed, and read, with the leader epoch of the records before them', async () => {
    const stored: OffsetCommitRequest['topics'] = [];
    const coordinator = {
      call: async ({ apiKey }: { apiKey: number }, _: unknown, body: OffsetCommitRequest) => {
        if (apiKey === offsetCommitRequest.apiKey) stored.push(...body.topics);
        const topics = stored.map(({ name, partitions }) => ({
          name,
          partitions: partitions.map((one) => ({ ...one, errorCode: 0 })),
        }));
        return { errorCode: 0, topics };
      },
    } as unknown as CoordinatorLink;
    const member = { groupId: 'g', memberId: 'm', generation: 1 };
    const known = { topic: 't', partition: 0, offset: 5n, leaderEpoch: 3 };
    const unknown = { topic: 't', partition: 1, offset: 6n };
    await commitOffsets(coordinator, member, [known, unknown]);
    assert.deepEqual(await committedOffsets(coordinator, 'g', [known, unknown]), [
      known,
      { ...unknown, leaderEpoch: -1 },
    ]);
  });
});
