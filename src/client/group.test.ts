import assert from 'node:assert/strict';
import { joinGroupRequest } from '../protocol/generated/join-group-request.ts';
import { joinGroupResponse } from '../protocol/generated/join-group-response.ts';
import { leaveGroupResponse } from '../protocol/generated/leave-group-response.ts';
import { syncGroupRequest } from '../protocol/generated/sync-group-request.ts';
import { syncGroupResponse } from '../protocol/generated/sync-group-response.ts';
import type { Cluster } from './cluster.ts';
import { writeAssignment } from './consumer-protocol.ts';
import { GroupMember } from './group.ts';

const MINE = [{ topic: 't', partition: 0 }];

/** Of a group that has another leader, who assigns one partition. */
async function answer({ apiKey }: { readonly apiKey: number }) {
  if (apiKey === joinGroupRequest.apiKey)
    return joinGroupResponse.create({ memberId: 'me', generationId: 1, leader: 'another' });
  if (apiKey === syncGroupRequest.apiKey)
    return syncGroupResponse.create({ assignment: writeAssignment(MINE) });
  return leaveGroupResponse.create({});
}

describe('a member of a group', () => {
  it('is assigned nothing after it was closed, however long it prepares for it', async () => {
    const cluster = { coordinator: async () => ({ call: answer }), closeConnections: () => undefined };
    const times = { heartbeatMs: 60_000, sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 60_000 };
    for (const isClosed of [false, true]) {
      let assigned: unknown = null;
      let begin = () => {};
      let end = () => {};
      const begun = new Promise<void>((resolve) => {
        begin = resolve;
      });
      const prepared = new Promise<void>((resolve) => {
        end = resolve;
      });
      const member = new GroupMember(
        { groupId: 'g', topics: ['t'], ...times },
        cluster as unknown as Cluster,
        {
          revoked: async () => undefined,
          prepare: () => {
            begin();
            return prepared;
          },
          assigned: async (partitions) => {
            assigned = partitions;
          },
          stays: () => undefined,
          failed: (error) => {
            throw error;
          },
        },
      );
      member.start();
      await begun;
      if (isClosed) await member.close();
      end();
      await new Promise((resolve) => setImmediate(resolve));
      await member.close();
      assert.deepEqual(assigned, isClosed ? null : MINE);
    }
  });
});
