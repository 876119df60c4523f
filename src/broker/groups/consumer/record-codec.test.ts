import assert from 'node:assert/strict';
import { NEW_METADATA } from './consumer-member.ts';
import { encodeConsumerRecord, parseConsumerRecord } from './record-codec.ts';

describe('records of consumer groups', () => {
  it('hold members as Kafka reads them', () => {
    const value = {
      ...NEW_METADATA,
      clientId: 'x',
      clientHost: '/1',
      topicNames: new Set(['t']),
      rackId: 'r',
    };
    const { key, value: bytes } = encodeConsumerRecord('g', { kind: 'member', memberId: 'm', value });
    // No classic metadata: a tag with an unsigned varint, which Kafka's DumpLogSegments reads.
    assert.equal(
      Buffer.from(bytes!).toString('hex'),
      ['0000', '00', '0272', '0278', '032f31', '020274', '01', 'ffffffff', '00', '01000100'].join(''),
    );
    assert.deepEqual(parseConsumerRecord(key, bytes), {
      groupId: 'g',
      record: { kind: 'member', memberId: 'm', value },
    });
    const classic = {
      sessionTimeoutMs: 6_000,
      protocols: [{ name: 'range', metadata: Uint8Array.of(1, 2) }],
    };
    const mixed = encodeConsumerRecord('g', { kind: 'member', memberId: 'm', value: { ...value, classic } });
    assert.deepEqual(parseConsumerRecord(mixed.key, mixed.value), {
      groupId: 'g',
      record: { kind: 'member', memberId: 'm', value: { ...value, classic } },
    });
  });
});
