import assert from 'node:assert/strict';
import { readAssignment, readSubscription, writeAssignment, writeSubscription } from './consumer-protocol.ts';
import { assignRanges } from './range-assignor.ts';

const member = (memberId: string, topics: string[], groupInstanceId: string | null = null) => ({
  memberId,
  topics,
  groupInstanceId,
});

describe('range assignment', () => {
  const shares = (members: ReturnType<typeof member>[], counts: Record<string, number>) =>
    Object.fromEntries(
      [...assignRanges(members, new Map(Object.entries(counts)))].map(([id, partitions]) => [
        id,
        partitions.map(({ topic, partition }) => `${topic}${partition}`).join(' '),
      ]),
    );

  it('gives neighbouring partitions to one member, and the first one more', () => {
    assert.deepEqual(shares([member('b', ['t', 'u']), member('a', ['t'])], { t: 5, u: 2 }), {
      a: 't0 t1 t2',
      b: 't3 t4 u0 u1',
    });
  });

  it('orders static members by instance id, whatever member ids they have by now', () => {
    const members = [
      member('z-new', ['t'], 'instance-1'),
      member('a-old', ['t'], 'instance-2'),
      member('0-dynamic', ['t']),
    ];
    const expected = { 'z-new': 't0', 'a-old': 't1', '0-dynamic': 't2' };
    assert.deepEqual(shares(members, { t: 3 }), expected);
    assert.deepEqual(shares([...members].reverse(), { t: 3 }), expected);
  });

  it('gives nothing to members for whom there is nothing', () => {
    assert.deepEqual(shares([member('a', ['t']), member('b', ['t'])], { t: 1 }), { a: 't0', b: '' });
  });
});

describe('messages of the consumer protocol', () => {
  it('are read as they were written', () => {
    assert.deepEqual(readSubscription(writeSubscription(['b', 'a'])), ['a', 'b']);
    const partitions = [
      { topic: 'a', partition: 2 },
      { topic: 'b', partition: 0 },
      { topic: 'b', partition: 1 },
    ];
    assert.deepEqual(readAssignment(writeAssignment(partitions)), partitions);
    assert.deepEqual(readAssignment(new Uint8Array(0)), []);
  });
});
