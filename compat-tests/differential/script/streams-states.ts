import { type Body, type CaseOptions, chapter } from '../case.ts';
import { alter, CREATED, create, DESCRIBED_ONCE, Op, ResourceType } from './build.ts';
import { beat, subtopology as emptySubtopology, joinWith, tasks } from './streams-build.ts';

const CLIENT = { fields: ['clientId'], because: 'the connections have their own' } as const;

const subtopology = (subtopologyId: string, more: object = {}) =>
  emptySubtopology(subtopologyId, { sourceTopics: ['st-in'], ...more });
const topology = (epoch: number, ...subtopologies: object[]) => ({ epoch, subtopologies });
const join = (groupId: string, memberId: string, more: object = {}) =>
  joinWith(topology(1, subtopology('0')), groupId, memberId, more);
const copartitioned = (...sourceTopics: number[]) => ({
  copartitionGroups: [{ sourceTopics, sourceTopicRegex: [], repartitionSourceTopics: [] }],
});

/** Streams groups (KIP-1071) that say odd things, and go from one state to the next. */
export const streamsStates = chapter('states of streams groups', (call) => {
  const heartbeat = (name: string, request: Body, options: CaseOptions = {}) =>
    call('StreamsGroupHeartbeat', name, request, options);
  const describe = (name: string, ...groupIds: string[]) =>
    call('StreamsGroupDescribe', name, { groupIds }, { except: CLIENT });

  for (const [name, partitions] of [
    ['st-in', 2],
    ['st-more', 2],
    ['st-late', 3],
  ] as const)
    call('CreateTopics', name, create(name, partitions), { versions: [7, 7], except: CREATED });

  heartbeat('of a blank group', join(' ', 'a'));
  heartbeat('of a blank member', join('st-none', '  '));
  heartbeat('of a blank rack', join('st-none', 'a', { rackId: ' ' }));
  heartbeat('of an empty process', join('st-none-process', 'a', { processId: '' }));
  heartbeat('without a process', join('st-none-null', 'a', { processId: null }));
  heartbeat('of a topology in a negative epoch', join('st-none', 'a', { topology: topology(-1) }), {
    differs: 'Kafka fails inside',
  });
  heartbeat('of a topology of nothing', join('st-nothing', 'a', { topology: topology(1) }));
  heartbeat(
    'with tags twice',
    join('st-tags', 'a', { clientTags: [1, 2].map((i) => ({ key: 'k', value: `${i}` })) }),
    { differs: 'Kafka fails inside' },
  );
  for (const [name, more] of [
    ['without source topics', { sourceTopics: [] }],
    ['with a source topic twice', { sourceTopics: ['st-in', 'st-in'] }],
    ['with an internal topic', { sourceTopics: ['__consumer_offsets'] }],
    ['with a name that cannot be', { sourceTopics: ['no/pe'] }],
    ['with an empty name', { sourceTopics: [''] }],
    ['with a sink that nobody reads', { repartitionSinkTopics: ['st-sink'] }],
    ['with topics that are joined with themselves', copartitioned(0, 0)],
  ] as const)
    heartbeat(
      name,
      join(`st-odd-${name.replaceAll(' ', '-')}`, 'a', { topology: topology(1, subtopology('0', more)) }),
    );
  heartbeat(
    'with two subtopologies of one topic',
    join('st-both', 'a', { topology: topology(1, subtopology('1'), subtopology('0')) }),
  );
  describe('with two subtopologies of one topic', 'st-both');

  heartbeat('the first', join('st-one', 'a'));
  heartbeat('the first joins again', join('st-one', 'a'));
  heartbeat('the first joins with a process of its own', join('st-one', 'a', { processId: 'other' }));
  heartbeat('the first has tasks', beat('st-one', 'a', 2, tasks(0, 1)));
  const told = { differs: 'who seems not to know what it has is told again, which Kafka does not do' };
  heartbeat('the first has nothing', beat('st-one', 'a', 2, tasks()), told);
  heartbeat('the first has a task twice', beat('st-one', 'a', 2, tasks(0, 0)), told);
  heartbeat('the first has a negative task', beat('st-one', 'a', 2, tasks(-1)));
  heartbeat('in a former epoch', beat('st-one', 'a', 1, tasks(0)));
  heartbeat('in a former epoch, without tasks', beat('st-one', 'a', 1));
  heartbeat('in the largest epoch', beat('st-one', 'a', 0x7fffffff));
  heartbeat('of another rack', beat('st-one', 'a', 2, { rackId: 'r' }));
  heartbeat('with an endpoint', beat('st-one', 'a', 2, { userEndpoint: { host: 'h', port: 7 } }));
  heartbeat('with the endpoints that it knows', beat('st-one', 'a', 2, { endpointInformationEpoch: 0 }));
  call('StreamsGroupDescribe', 'of one twice', { groupIds: ['st-one', 'st-one'] }, DESCRIBED_ONCE);
  describe('of one', 'st-one');
  heartbeat('one of another topology', join('st-one', 'b', { topology: topology(1, subtopology('9')) }));
  heartbeat('one of a later topology', join('st-one', 'b', { topology: topology(2, subtopology('0')) }));
  heartbeat('one of an earlier topology', join('st-one', 'c', { topology: topology(0, subtopology('0')) }));
  describe('of several topologies', 'st-one');
  for (const memberId of ['b', 'c', 'never']) heartbeat(`${memberId} leaves`, beat('st-one', memberId, -1));
  heartbeat('a leaves and ends all', beat('st-one', 'a', -1, { shutdownApplication: true }));
  describe('that is empty', 'st-one');
  call(
    'ListGroups',
    'streams groups that are empty',
    { typesFilter: ['streams'], statesFilter: ['Empty'] },
    { versions: [5, 5] },
  );
  heartbeat('another joins what was ended', join('st-one', 'd'));

  heartbeat(
    'without its topic',
    join('st-waits', 'a', { topology: topology(1, subtopology('0', { sourceTopics: ['st-to-come'] })) }),
  );
  describe('that waits for its topic', 'st-waits');
  call(
    'ListGroups',
    'streams groups that are not ready',
    { typesFilter: ['streams'], statesFilter: ['NotReady'] },
    { versions: [5, 5], differs: 'Kafka finds none: it looks for not_ready' },
  );
  call('CreateTopics', 'st-to-come', create('st-to-come', 1), { versions: [7, 7], except: CREATED });
  heartbeat('once its topic is there', beat('st-waits', 'a', 2), {
    until: ({ memberEpoch }) => memberEpoch === 3,
  });
  heartbeat('with its topic', beat('st-waits', 'a', 3, tasks(0)));
  describe('that has its topic', 'st-waits');
  call(
    'DeleteTopics',
    'that a streams group reads',
    { topicNames: ['st-to-come'], timeoutMs: 9_000 },
    { versions: [5, 5] },
  );
  heartbeat('once its topic is gone', beat('st-waits', 'a', 3, tasks(0)), {
    until: ({ status }) => (status as unknown[] | null)?.length === 1,
  });
  describe('whose topic is gone', 'st-waits');

  call(
    'IncrementalAlterConfigs',
    'copies of tasks',
    alter(ResourceType.GROUP, 'st-copies', [['streams.num.standby.replicas', Op.SET, '1']]),
    { versions: [1, 1] },
  );
  heartbeat('one of two that copy', join('st-copies', 'a'));
  heartbeat('two of two that copy', join('st-copies', 'b'));
  heartbeat('one of two that copy goes on', beat('st-copies', 'a', 2, tasks(0, 1)));
  describe('that copies', 'st-copies');
  call('OffsetDelete', 'of topics that a streams group reads', {
    groupId: 'st-copies',
    topics: ['st-in', 'st-more'].map((name) => ({ name, partitions: [{ partitionIndex: 0 }] })),
  });
});
