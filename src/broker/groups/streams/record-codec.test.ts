import assert from 'node:assert/strict';
import { MemberState } from '../consumer/consumer-member.ts';
import type { StreamsGroupRecord } from './group-records.ts';
import { encodeStreamsRecord, parseStreamsRecord } from './record-codec.ts';
import { topologyOf } from './streams.fixture.ts';
import { metadataOf, newStreamsMember } from './streams-member.ts';
import { NO_TASKS } from './tasks.ts';

const RECORDS: StreamsGroupRecord[] = [
  {
    kind: 'epoch',
    value: {
      epoch: 7,
      metadataHash: -5n,
      validatedTopologyEpoch: 3,
      assignmentConfigs: new Map([['num.standby.replicas', '1']]),
    },
  },
  {
    kind: 'topology',
    value: topologyOf(
      { id: '0', sources: ['a'], sinks: ['b'] },
      {
        id: '1',
        repartitions: { b: 3 },
        changelogs: ['c'],
        copartitioned: [{ sources: [], repartitions: [0] }],
      },
    ),
  },
  {
    kind: 'member',
    memberId: 'm',
    value: {
      ...metadataOf(newStreamsMember('m')),
      rackId: 'r',
      processId: 'p',
      topologyEpoch: 2,
      userEndpoint: { host: 'h', port: 65_535 },
      clientTags: new Map([['zone', 'z']]),
    },
  },
  { kind: 'target-epoch', value: { epoch: 7, timestampMs: 1_700_000_000_000 } },
  {
    kind: 'target',
    memberId: 'm',
    value: {
      active: new Map([['0', new Set([1, 2])]]),
      standby: new Map([['1', new Set([0])]]),
      warmup: new Map(),
    },
  },
  {
    kind: 'current',
    memberId: 'm',
    value: {
      memberEpoch: 7,
      previousEpoch: 6,
      state: MemberState.UNREVOKED_PARTITIONS,
      assigned: { ...NO_TASKS, active: new Map([['0', new Map([[1, 5]])]]) },
      pendingRevocation: { ...NO_TASKS, standby: new Map([['1', new Set([0])]]) },
    },
  },
];

describe('records of streams groups', () => {
  it('are read back as they were, and their tombstones', () => {
    for (const record of RECORDS) {
      const { key, value } = encodeStreamsRecord('g', record);
      assert.deepEqual(parseStreamsRecord(key, value), { groupId: 'g', record });
      const tombstone = encodeStreamsRecord('g', { ...record, value: null });
      assert.deepEqual(tombstone, { key, value: null });
      assert.deepEqual(parseStreamsRecord(key, null), { groupId: 'g', record: { ...record, value: null } });
    }
  });

  it('take the epoch of the member where a task has none of its own', () => {
    const record = RECORDS.at(-1)!;
    const { key } = encodeStreamsRecord('g', record);
    // Version, epochs 7 and 6, stable, task 0_1 without its tag, and five empty lists.
    const bytes = Buffer.from(
      '0000 00000007 00000006 00 02 0230 02 00000001 00 01 01 01 01 01 00'.replaceAll(' ', ''),
      'hex',
    );
    const parsed = parseStreamsRecord(key, bytes)!.record;
    assert.ok(parsed.kind === 'current');
    assert.deepEqual(parsed.value?.assigned.active, new Map([['0', new Map([[1, 7]])]]));
  });

  it('leave other records alone', () => {
    assert.equal(parseStreamsRecord(Uint8Array.of(0, 1), null), null);
  });
});
