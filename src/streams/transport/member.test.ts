import assert from 'node:assert/strict';
import type { Cluster } from './cluster.ts';
import { BrokerError } from './errors.ts';
import { Member } from './member.ts';

const UNKNOWN_MEMBER_ID = 'UNKNOWN_MEMBER_ID';

/** A member of a group whose coordinator does not know it any more when it makes the call that `told.forgets` names. */
function scene() {
  const told = { forgets: '' };
  let changed = () => {};
  const cluster = {
    apis: { joinGroup: 'join', syncGroup: 'sync', heartbeat: 'beat', leaveGroup: 'leave' },
    closed: false,
    retry: (attempt: () => unknown) => attempt(),
    callCoordinator: async (_type: number, _key: string, api: string) => {
      if (api === told.forgets) throw new BrokerError(UNKNOWN_MEMBER_ID, api);
      return { errorCode: 0, memberId: 'm', leader: 'other', generationId: 1, assignment: Buffer.alloc(0) };
    },
    check: (code: number) => assert.equal(code, 0),
    idOf: (code: number) => `error ${code}`,
  } as unknown as Cluster;
  const member = new Member(cluster, {
    groupId: 'g',
    topics: ['t'],
    sessionTimeoutMs: 1000,
    heartbeatMs: 1,
    rebalanceTimeoutMs: 1000,
    topology: 'x',
    changed: () => changed(),
  });
  const given = new Promise<void>((resolve) => {
    changed = resolve;
  });
  return { told, member, given, join: (tasks: string[]) => member.join(tasks, () => new Map()) };
}

describe('a member that the coordinator has given up', () => {
  it('does not claim the tasks that it has, which others may have had, when a heartbeat tells', async () => {
    const { told, member, given, join } = scene();
    await join([]);
    told.forgets = 'beat';
    await given;
    assert.equal(member.rejoinNeeded, true);
    await assert.rejects(join(['0_0']), { id: UNKNOWN_MEMBER_ID });
    told.forgets = '';
    await join([]);
    assert.equal(member.rejoinNeeded, false);
    await member.leave();
  });

  it('nor when it joins again', async () => {
    const { told, member, join } = scene();
    await join([]);
    await join(['0_0']);
    told.forgets = 'join';
    await assert.rejects(join(['0_0']), { id: UNKNOWN_MEMBER_ID });
    await member.leave();
  });
});
