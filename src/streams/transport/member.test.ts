import assert from 'node:assert/strict';
import { framed, readAssignment } from '../../client/consumer-protocol.ts';
import { consumerProtocolSubscription } from '../../protocol/generated/consumer-protocol-subscription.ts';
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

describe('a group in which somebody runs another topology', () => {
  const metadataOf = (topology: string, tasks: string[]) => {
    const userData = Buffer.from(JSON.stringify({ topology, tasks }));
    return Buffer.from(framed(consumerProtocolSubscription, { topics: ['t'], userData }));
  };
  const members = [
    { memberId: 'old', metadata: metadataOf('x', ['0_0']) },
    { memberId: 'new', metadata: metadataOf('y', []) },
  ];
  const assignments = new Map<string, Buffer>();

  function member(memberId: string, topology: string) {
    const cluster = {
      apis: { joinGroup: 'join', syncGroup: 'sync', leaveGroup: 'leave' },
      retry: (attempt: () => unknown) => attempt(),
      callCoordinator: async (_type: number, _key: string, api: string, ...args: unknown[]) => {
        if (api === 'join') return { errorCode: 0, memberId, leader: 'old', generationId: 1, members };
        for (const one of (args.at(-1) ?? []) as { memberId: string; assignment: Buffer }[])
          if (api === 'sync') assignments.set(one.memberId, one.assignment);
        return { errorCode: 0, assignment: assignments.get(memberId) };
      },
      check: (code: number) => assert.equal(code, 0),
      idOf: (code: number) => `error ${code}`,
    } as unknown as Cluster;
    const timing = { sessionTimeoutMs: 60_000, heartbeatMs: 60_000, rebalanceTimeoutMs: 60_000 };
    return new Member(cluster, { ...timing, groupId: 'g', topics: ['t'], topology, changed: () => {} });
  }

  it('goes on without that member, which is told', async () => {
    const old = member('old', 'x');
    const partition = { topic: 't', partition: 0 };
    const assigned = await old.join([], (owned) => {
      assert.deepEqual([...owned], [['old', ['0_0']]]);
      return new Map([['old', [partition]]]);
    });
    assert.deepEqual(assigned, [partition]);
    assert.deepEqual(readAssignment(assignments.get('new')!), []);
    const added = member('new', 'y');
    await assert.rejects(
      added.join([], () => new Map()),
      { code: 'INVALID_TOPOLOGY', message: /the others of g run a different topology/ },
    );
    await Promise.all([old.leave(), added.leave()]);
  });
});
