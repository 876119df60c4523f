import assert from 'node:assert/strict';
import { ZERO_UUID } from '../../protocol/wire/types.ts';
import { partitionOf } from '../coordinator-shards.ts';
import { ClassicGroup } from './classic-group.ts';
import { ClassicMember } from './member.ts';
import { groupRecord, groupTombstone, offsetRecord, parseRecord } from './records.ts';

const change = { groupId: 'g', topic: 't', partition: 3 };

describe('records of __consumer_offsets', () => {
  it('hold offsets as Kafka writes them', () => {
    const value = {
      topicId: 'AAAAAAAAAAAAAAAAAAAABQ',
      offset: 9n,
      leaderEpoch: 2,
      metadata: 'm',
      commitTimestampMs: 5,
      expireTimestampMs: null,
    };
    const record = offsetRecord({ ...change, value });
    assert.equal(Buffer.from(record.key).toString('hex'), '0001' + '000167' + '000174' + '00000003');
    assert.equal(
      Buffer.from(record.value!).toString('hex'),
      '0004' +
        '0000000000000009' +
        '00000002' +
        '026d' +
        '0000000000000005' +
        '010010' +
        '05'.padStart(32, '0'),
    );
    assert.deepEqual(parseRecord(record.key, record.value), { kind: 'offset', ...change, value });
  });

  it('hold the expiry time of old clients in version 1', () => {
    const value = {
      topicId: ZERO_UUID,
      offset: 9n,
      leaderEpoch: -1,
      metadata: '',
      commitTimestampMs: 5,
      expireTimestampMs: 8,
    };
    const { key, value: bytes } = offsetRecord({ ...change, value });
    assert.equal(bytes![1], 1);
    assert.deepEqual(parseRecord(key, bytes), { kind: 'offset', ...change, value });
  });

  it('take offsets and groups away with a null value', () => {
    const { key } = offsetRecord({ ...change, value: null });
    assert.deepEqual(parseRecord(key, null), { kind: 'offset', ...change, value: null });
    const tombstone = groupTombstone('g');
    assert.deepEqual(parseRecord(tombstone.key, null), { kind: 'group', groupId: 'g', value: null });
  });

  it('hold groups with their members and assignments', () => {
    const group = new ClassicGroup('g', 77);
    const member = new ClassicMember({
      memberId: 'm',
      groupInstanceId: 'i',
      clientId: 'c',
      clientHost: '/h',
      protocolType: 'consumer',
      rebalanceTimeoutMs: 2,
      sessionTimeoutMs: 1,
      protocols: [
        { name: 'a', metadata: Uint8Array.of(1) },
        { name: 'b', metadata: Uint8Array.of(2) },
      ],
    });
    group.add(member, null);
    group.transitionTo('PreparingRebalance', 78);
    group.startNextGeneration(79);
    const { key, value } = groupRecord(group, new Map([['m', Uint8Array.of(3)]]));
    const parsed = parseRecord(key, value);
    assert.ok(parsed.kind === 'group' && parsed.value !== null);
    const restored = ClassicGroup.restore('g', parsed.value);
    assert.equal(restored.state, 'Stable');
    assert.equal(restored.generationId, 1);
    assert.equal(restored.leaderId, 'm');
    assert.equal(restored.protocolName, 'a');
    assert.equal(restored.stateSinceMs, 79);
    assert.equal(restored.staticMemberId('i'), 'm');
    const back = restored.member('m')!;
    assert.deepEqual([back.rebalanceTimeoutMs, back.sessionTimeoutMs], [2, 1]);
    assert.deepEqual([...back.metadata('a')], [1]);
    assert.deepEqual([...back.assignment], [3]);
  });

  it('may be of types that are not served', () => {
    assert.deepEqual(parseRecord(Uint8Array.of(0, 3, 0, 0), null), { kind: 'unknown', type: 3 });
  });
});

describe('the partition of a group', () => {
  it('is the one that Kafka computes', () => {
    assert.equal(partitionOf('hello', 50), 99162322 % 50);
    assert.equal(partitionOf('', 50), 0);
    // The hash code is the one number that has no absolute value.
    assert.equal(partitionOf('polygenelubricants', 50), 0);
    // A negative hash code: -862545276.
    assert.equal(partitionOf('Hello World', 50), 862545276 % 50);
  });
});
