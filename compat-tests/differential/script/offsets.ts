import type { AddCase } from '../case.ts';
import { CREATED, create, NO_UUID, UNKNOWN_UUID } from './build.ts';

const commit = (groupId: string, topicName: string, topicId: string, more: object = {}) => ({
  groupId,
  generationIdOrMemberEpoch: -1,
  memberId: '',
  topics: [
    {
      name: topicName,
      topicId,
      partitions: [
        { partitionIndex: 0, committedOffset: 5n, committedLeaderEpoch: 0, committedMetadata: 'note' },
        { partitionIndex: 9, committedOffset: 5n, committedLeaderEpoch: -1, committedMetadata: null },
      ],
    },
  ],
  ...more,
});
const fetched = (
  groupId: string,
  topics: { name: string; partitionIndexes: number[] }[] | null,
  more: object = {},
) => ({
  groupId,
  topics,
  ...more,
});
const many = (
  groupId: string,
  topics: { name: string; topicId: string; partitionIndexes: number[] }[] | null,
  more: object = {},
) => ({
  groups: [{ groupId, memberId: null, memberEpoch: -1, topics, ...more }],
});
const committed = (partitionIndex: number) => ({
  partitionIndex,
  committedOffset: 5n,
  committedLeaderEpoch: -1,
  committedMetadata: '',
});

/** Committed offsets of classic groups, with the topic and the members of the chapter of groups. */
export function offsets(call: AddCase): void {
  call('CreateTopics', 'another topic for offsets', create('late-topic', 1), {
    versions: [7, 7],
    except: CREATED,
  });

  call(
    'OffsetCommit',
    'a group without members',
    (a) => commit('o-$v', 'group-topic', a.topicId('group-topic')),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'an unknown member',
    (a) =>
      commit('g-4', 'group-topic', a.topicId('group-topic'), {
        memberId: 'who',
        generationIdOrMemberEpoch: 1,
      }),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'a member',
    (a) =>
      commit('g-4', 'group-topic', a.topicId('group-topic'), {
        memberId: a.saved('member-4'),
        generationIdOrMemberEpoch: 1,
      }),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'another generation',
    (a) =>
      commit('g-4', 'group-topic', a.topicId('group-topic'), {
        memberId: a.saved('member-4'),
        generationIdOrMemberEpoch: 7,
      }),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'a group with members, without one',
    (a) => commit('g-4', 'group-topic', a.topicId('group-topic')),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'a group that does not exist, with a generation',
    (a) =>
      commit('o-never', 'group-topic', a.topicId('group-topic'), {
        generationIdOrMemberEpoch: 3,
        memberId: 'who',
      }),
    { versions: [2, 10] },
  );
  call('OffsetCommit', 'without a group', (a) => commit('', 'group-topic', a.topicId('group-topic')), {
    versions: [2, 10],
  });
  call('OffsetCommit', 'a topic that does not exist', commit('o-$v', 'never', UNKNOWN_UUID), {
    versions: [2, 10],
  });
  call(
    'OffsetCommit',
    'metadata that is too long',
    (a) => ({
      ...commit('o-$v', 'group-topic', a.topicId('group-topic')),
      topics: [
        {
          name: 'group-topic',
          topicId: a.topicId('group-topic'),
          partitions: [
            {
              partitionIndex: 0,
              committedOffset: 1n,
              committedLeaderEpoch: -1,
              committedMetadata: 'x'.repeat(5000),
            },
          ],
        },
      ],
    }),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'partitions and topics of which some do not exist',
    (a) => ({
      ...commit('o-some-$v', '', NO_UUID),
      topics: [
        { name: 'group-topic', topicId: a.topicId('group-topic'), partitions: [0, 9, 1, -1].map(committed) },
        { name: 'never', topicId: UNKNOWN_UUID, partitions: [1, 0].map(committed) },
        { name: 'late-topic', topicId: a.topicId('late-topic'), partitions: [0].map(committed) },
        { name: 'group-topic', topicId: a.topicId('group-topic'), partitions: [1, 7].map(committed) },
      ],
    }),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'a topic twice, and one without partitions',
    (a) => ({
      ...commit('o-some-$v', '', NO_UUID),
      topics: [
        { name: 'group-topic', topicId: a.topicId('group-topic'), partitions: [1].map(committed) },
        { name: 'late-topic', topicId: a.topicId('late-topic'), partitions: [] },
        { name: 'group-topic', topicId: a.topicId('group-topic'), partitions: [0].map(committed) },
      ],
    }),
    { versions: [2, 10] },
  );
  call(
    'OffsetCommit',
    'some of which do not exist, in a group with members',
    (a) => ({
      ...commit('g-4', '', NO_UUID),
      topics: [
        { name: 'group-topic', topicId: a.topicId('group-topic'), partitions: [0, 9].map(committed) },
        { name: 'never', topicId: UNKNOWN_UUID, partitions: [] },
      ],
    }),
    { versions: [2, 10] },
  );
  call('OffsetCommit', 'nothing', { ...commit('o-$v', '', NO_UUID), topics: [] }, { versions: [2, 10] });

  call('OffsetFetch', 'partitions', fetched('o-5', [{ name: 'group-topic', partitionIndexes: [0, 1, 9] }]), {
    versions: [1, 7],
  });
  call('OffsetFetch', 'all', fetched('o-5', null), { versions: [2, 7] });
  call('OffsetFetch', 'nothing', fetched('o-5', []), { versions: [1, 7] });
  call(
    'OffsetFetch',
    'of a group that does not exist',
    fetched('o-never', [{ name: 'group-topic', partitionIndexes: [0] }]),
    { versions: [1, 7] },
  );
  call(
    'OffsetFetch',
    'of a topic that does not exist',
    fetched('o-5', [{ name: 'never', partitionIndexes: [0] }]),
    { versions: [1, 7] },
  );
  call('OffsetFetch', 'without a group', fetched('', [{ name: 'group-topic', partitionIndexes: [0] }]), {
    versions: [1, 7],
  });
  call('OffsetFetch', 'stable ones', fetched('o-5', null, { requireStable: true }), { versions: [7, 7] });
  call(
    'OffsetFetch',
    'of groups',
    (a) => ({
      groups: [
        ...many('o-5', [{ name: 'group-topic', topicId: a.topicId('group-topic'), partitionIndexes: [0, 1] }])
          .groups,
        ...many('o-never', null).groups,
      ],
    }),
    { versions: [8, 10] },
  );
  call('OffsetFetch', 'of groups, all', many('o-5', null), { versions: [8, 10] });
  call(
    'OffsetFetch',
    'of groups, a topic that does not exist',
    many('o-5', [{ name: 'never', topicId: UNKNOWN_UUID, partitionIndexes: [0] }]),
    { versions: [8, 10] },
  );
  call(
    'OffsetFetch',
    'of groups, a topic that does not exist before one that does',
    (a) =>
      many('o-5', [
        { name: 'never', topicId: UNKNOWN_UUID, partitionIndexes: [0] },
        { name: 'group-topic', topicId: a.topicId('group-topic'), partitionIndexes: [0] },
      ]),
    { versions: [8, 10] },
  );
  call('OffsetFetch', 'of groups, no topics', many('o-5', []), { versions: [8, 10] });
  call(
    'OffsetFetch',
    'of a member of a classic group',
    (a) => many('g-4', null, { memberId: a.saved('member-4'), memberEpoch: 1 }),
    { versions: [9, 10] },
  );
  call('OffsetFetch', 'of an unknown member', many('g-4', null, { memberId: 'who', memberEpoch: 1 }), {
    versions: [9, 10],
  });
  call('OffsetFetch', 'of no groups', { groups: [] }, { versions: [8, 10] });

  call('OffsetDelete', 'offsets', {
    groupId: 'o-3',
    topics: [
      {
        name: 'group-topic',
        partitions: [{ partitionIndex: 0 }, { partitionIndex: 1 }, { partitionIndex: 9 }],
      },
    ],
  });
  call('OffsetDelete', 'of topics of which some do not exist', {
    groupId: 'o-some-4',
    topics: [
      { name: 'group-topic', partitions: [0, 9, 1, -1].map((partitionIndex) => ({ partitionIndex })) },
      { name: 'never', partitions: [{ partitionIndex: 0 }] },
      { name: 'late-topic', partitions: [{ partitionIndex: 0 }] },
    ],
  });
  call('OffsetDelete', 'of topics of which one has no partitions', {
    groupId: 'o-some-5',
    topics: [
      { name: 'group-topic', partitions: [{ partitionIndex: 0 }] },
      { name: 'late-topic', partitions: [] },
    ],
  });
  call('OffsetDelete', 'of what does not exist, in a group that does not either', {
    groupId: 'o-never',
    topics: [{ name: 'group-topic', partitions: [{ partitionIndex: 0 }, { partitionIndex: 9 }] }],
  });
  call('OffsetDelete', 'of a group that does not exist', {
    groupId: 'o-never',
    topics: [{ name: 'group-topic', partitions: [{ partitionIndex: 0 }] }],
  });
  call('OffsetDelete', 'of a topic that does not exist', {
    groupId: 'o-4',
    topics: [{ name: 'never', partitions: [{ partitionIndex: 0 }] }],
  });
  call('OffsetDelete', 'without a group', {
    groupId: '',
    topics: [{ name: 'group-topic', partitions: [{ partitionIndex: 0 }] }],
  });
  call('OffsetDelete', 'nothing', { groupId: 'o-4', topics: [] });
  call('OffsetFetch', 'what was deleted', fetched('o-3', null), { versions: [2, 7] });
}
