import { type Answers, type Body, type CaseOptions, chapter } from '../case.ts';
import {
  alter,
  areFound,
  batch,
  CREATED,
  create,
  NO_UUID,
  Op,
  produce,
  ResourceType,
  UNKNOWN_UUID,
} from './build.ts';

/** Its offsets are the next chapter's. */
export const GROUP = 'sessions-group';
export const MEMBER = 'AAAAAAAAAAAAAAAAAAAABg';
const JOINED = {
  fields: ['memberEpoch', 'assignment'],
  because: 'Kafka gives partitions with a later heartbeat, once they have a state',
} as const;

const WORDS = {
  fields: ['errorMessage', 'acknowledgeErrorMessage'],
  because: 'Kafka tells of the batches in which it keeps records',
} as const;

interface Wish {
  readonly topic: string;
  readonly partitions: readonly number[];
  /** [first, last, types] of each batch of every partition. */
  readonly batches?: readonly (readonly [bigint, bigint, number[]])[];
}

const topicIdOf = (a: Answers, topic: string) =>
  topic === 'none' ? UNKNOWN_UUID : topic === 'zero' ? NO_UUID : a.topicId(topic);
const topicsOf = (a: Answers, wishes: readonly Wish[]) =>
  wishes.map(({ topic, partitions, batches = [] }) => ({
    topicId: topicIdOf(a, topic),
    partitions: partitions.map((partitionIndex) => ({
      partitionIndex,
      partitionMaxBytes: 0,
      acknowledgementBatches: batches.map(([firstOffset, lastOffset, acknowledgeTypes]) => ({
        firstOffset,
        lastOffset,
        acknowledgeTypes,
      })),
    })),
  }));
const fetch =
  (shareSessionEpoch: number, wishes: readonly Wish[], more: Body = {}, forgotten: readonly Wish[] = []) =>
  (a: Answers) => ({
    groupId: GROUP,
    memberId: MEMBER,
    shareSessionEpoch,
    maxWaitMs: 200,
    minBytes: 1,
    maxBytes: 1_000_000,
    maxRecords: 100,
    batchSize: 100,
    topics: topicsOf(a, wishes),
    forgottenTopicsData: forgotten.map(({ topic, partitions }) => ({
      topicId: topicIdOf(a, topic),
      partitions: [...partitions],
    })),
    ...more,
  });
const acknowledge =
  (shareSessionEpoch: number, wishes: readonly Wish[], more: Body = {}) =>
  (a: Answers) => ({
    groupId: GROUP,
    memberId: MEMBER,
    shareSessionEpoch,
    topics: topicsOf(a, wishes),
    ...more,
  });

const hasPartitions = ({ assignment }: Body) =>
  ((assignment as { topicPartitions: unknown[] } | null)?.topicPartitions.length ?? 0) === 2;
const hasRecords = ({ responses }: Body) =>
  (responses as { partitions: { acquiredRecords: unknown[] }[] }[]).some(({ partitions }) =>
    partitions.some(({ acquiredRecords }) => acquiredRecords.length > 0),
  );

export const A = 'sessions-a';
export const B = 'sessions-b';
/** Renews nothing and fetches nothing: what is asked for has to be 0 where locks are renewed. */
const RENEWS = { isRenewAck: true, maxWaitMs: 0, minBytes: 0, maxBytes: 0, maxRecords: 0 };

/** What members of share groups fetch and acknowledge in their sessions, request by request. */
export const shareSessions = chapter('share sessions', (call) => {
  const one = { versions: [1, 1], except: WORDS } as const;
  const two = { versions: [2, 2], except: WORDS } as const;
  const fetches = (name: string, request: (a: Answers) => Body, options: CaseOptions = one) =>
    call('ShareFetch', name, request, options);
  const says = (name: string, request: (a: Answers) => Body, options: CaseOptions = one) =>
    call('ShareAcknowledge', name, request, options);

  for (const [name, partitions] of [
    [A, 2],
    [B, 1],
  ] as const)
    call('CreateTopics', name, create(name, partitions), { versions: [7, 7], except: CREATED });
  for (const [name, index] of [
    [A, 0],
    [A, 1],
    [B, 0],
  ] as const)
    call(
      'Produce',
      `records to ${name}-${index}`,
      (a) => produce(name, a.topicId(name), batch(['a', 'b', 'c', 'd']), { index }),
      { versions: [13, 13] },
    );
  call(
    'IncrementalAlterConfigs',
    'a share group that begins at the start',
    alter(ResourceType.GROUP, GROUP, [
      ['share.auto.offset.reset', Op.SET, 'earliest'],
      ['share.assignment.interval.ms', Op.SET, '0'],
      ['share.delivery.count.limit', Op.SET, '10'],
    ]),
    one,
  );
  call(
    'FindCoordinator',
    'of share partitions',
    (a) => ({ keyType: 2, coordinatorKeys: [`${GROUP}:${a.topicId(A)}:0`] }),
    {
      versions: [6, 6],
      until: areFound,
    },
  );
  for (const [name, key] of [
    ['no text', ''],
    ['one part', 'x'],
    ['no partition', `g:${UNKNOWN_UUID}:`],
    ['no number', `g:${UNKNOWN_UUID}:x`],
    ['a negative partition', `g:${UNKNOWN_UUID}:-1`],
    ['a partition with a sign', `g:${UNKNOWN_UUID}:+1`],
    ['a partition that is too large', `g:${UNKNOWN_UUID}:2147483648`],
    ['no group', `:${UNKNOWN_UUID}:0`],
    ['a blank group', ` :${UNKNOWN_UUID}:0`],
    ['a group with colons', `a:b:${UNKNOWN_UUID}:0`],
    ['no topic', 'g::0'],
    ['a topic that is none', 'g:topic:0'],
    ['the topic zero', `g:${NO_UUID}:0`],
    ['a topic that does not exist', `g:${UNKNOWN_UUID}:0`],
  ])
    call(
      'FindCoordinator',
      `of a share partition, ${name}`,
      { keyType: 2, coordinatorKeys: [key] },
      { versions: [6, 6] },
    );
  const heartbeat = {
    groupId: GROUP,
    memberId: MEMBER,
    memberEpoch: 0,
    subscribedTopicNames: [A, B, A, 'sessions-never'],
  };
  call('ShareGroupHeartbeat', 'that joins', heartbeat, { except: JOINED });
  call('ShareGroupHeartbeat', 'that gets its partitions', heartbeat, {
    except: { fields: ['memberEpoch'], because: JOINED.because },
    until: hasPartitions,
  });
  call('ShareGroupHeartbeat', 'in a negative epoch', { ...heartbeat, memberEpoch: -3 });
  call('ShareGroupHeartbeat', 'of nobody that leaves', { ...heartbeat, memberId: 'x', memberEpoch: -1 });

  fetches('of nothing', fetch(0, []));
  fetches('of nothing, goes on', fetch(1, []));
  fetches('of nothing, ends', fetch(-1, []));
  fetches('of nothing, ended', fetch(-1, []));
  fetches('in the last epoch there is', fetch(0x7fffffff, []));
  fetches('in a negative epoch', fetch(-2, []));
  says('in a negative epoch', acknowledge(-2, []));
  says('in the first epoch, nothing', acknowledge(0, []));
  says('at the end, of no session', acknowledge(-1, []));
  fetches(
    'with an acknowledgement of nothing',
    fetch(0, [{ topic: A, partitions: [0], batches: [[0n, 0n, []]] }]),
  );
  const another = { memberId: 'another' };
  const opens = (topic: string, ...partitions: number[]) => {
    fetches(`of another member, of ${topic}`, fetch(0, [{ topic, partitions }], another), {
      ...one,
      until: hasRecords,
      except: {
        fields: ['responses'],
        because: 'Kafka opens a share partition behind the first fetch of it',
      },
    });
    says(`of another member, that gives back ${topic}`, acknowledge(-1, [], another));
  };
  opens(A, 0);
  opens(A, 1);
  /** One after the other: Kafka answers when it has records of one of them. */
  const begins = (name: string, ...wishes: Wish[]) => {
    for (const [epoch, wish] of wishes.entries())
      fetches(`${name}, ${epoch}`, fetch(epoch, [wish]), epoch === 0 ? { ...one, until: hasRecords } : one);
  };
  begins('of what another gave back', { topic: A, partitions: [0] }, { topic: A, partitions: [1] });
  fetches('of no records', fetch(2, [], { maxRecords: 0 }));
  fetches('of no bytes', fetch(3, [], { maxBytes: 0 }));
  fetches('with no bytes to wait for', fetch(4, [{ topic: A, partitions: [9] }], { minBytes: 0 }));
  const first = (topic: string, ...partitions: number[]): Wish => ({
    topic,
    partitions,
    batches: [[0n, 0n, [1]]],
  });
  says('of a partition that was never fetched', acknowledge(5, [first(B, 0)]));
  says(
    'of partitions and topics that do not exist',
    acknowledge(6, [first(A, 9), first('none', 0), first('zero', 0)]),
  );
  says('of a partition without batches', acknowledge(7, [{ topic: A, partitions: [0] }]));
  says('of no partitions', acknowledge(8, [{ topic: A, partitions: [] }]));
  says('of no topics', acknowledge(9, []));
  says('in the same epoch again', acknowledge(9, []));
  says('that gives all back', acknowledge(-1, []));

  begins('of all', { topic: A, partitions: [0] }, { topic: A, partitions: [1] });
  opens(B, 0);
  says(
    'of partitions of which one has nothing under way',
    acknowledge(2, [first(A, 0), first(B, 0), first(A, 7)]),
  );
  fetches(
    'with another topic, and an acknowledgement',
    fetch(3, [
      { topic: A, partitions: [0], batches: [[1n, 1n, [1]]] },
      { topic: B, partitions: [0] },
    ]),
  );
  fetches(
    'with a topic that is forgotten, and acknowledged',
    fetch(4, [{ topic: B, partitions: [0], batches: [[0n, 3n, [1, 1, 2, 3]]] }], {}, [
      { topic: B, partitions: [0] },
    ]),
  );
  fetches(
    'with one that was never there forgotten',
    fetch(5, [], {}, [
      { topic: 'none', partitions: [0] },
      { topic: B, partitions: [0, 5] },
      { topic: A, partitions: [-1] },
    ]),
  );
  fetches(
    'of a topic, forgotten at once',
    fetch(6, [{ topic: B, partitions: [0] }], {}, [{ topic: B, partitions: [0] }]),
  );
  fetches(
    'of the same partition twice',
    fetch(7, [
      { topic: B, partitions: [0, 0] },
      { topic: B, partitions: [0] },
    ]),
  );
  fetches('of partitions that do not exist', fetch(8, [{ topic: B, partitions: [7, -1] }]), {
    ...one,
  });
  const ofOne = (...batches: NonNullable<Wish['batches']>) => [{ topic: A, partitions: [1], batches }];
  says('with overlapping batches', acknowledge(9, ofOne([0n, 1n, [1]], [1n, 2n, [1]])));
  says('with batches out of order', acknowledge(10, ofOne([2n, 2n, [1]], [0n, 0n, [1]])));
  says('of a negative offset', acknowledge(11, ofOne([-1n, 0n, [1]])), {
    ...one,
    differs: 'Kafka leaves out the offsets that there cannot be',
  });
  says('without types', acknowledge(12, ofOne([0n, 0n, []])));
  says('of a negative type', acknowledge(13, ofOne([0n, 0n, [-1]])));
  says('of a gap', acknowledge(14, ofOne([0n, 0n, [0]])));
  says('of what is far beyond', acknowledge(15, ofOne([100n, 200n, [1]])));
  says('to renew', acknowledge(16, ofOne([1n, 2n, [4]]), { isRenewAck: true }), two);
  says('to renew some', acknowledge(17, ofOne([1n, 3n, [4, 1, 4]]), { isRenewAck: true }), two);
  fetches('to renew, with bytes', fetch(18, ofOne([1n, 1n, [4]]), { isRenewAck: true }), two);
  fetches('to renew', fetch(18, ofOne([1n, 1n, [4]]), RENEWS), two);
  fetches('to renew, without saying so', fetch(19, ofOne([1n, 1n, [4]])), two);
  fetches(
    'of negative limits',
    fetch(20, [], { maxRecords: -1, maxBytes: -1, minBytes: -1, maxWaitMs: -1 }),
    {
      ...one,
      differs: 'Kafka fails inside',
    },
  );
  says('partly of what is done', acknowledge(21, ofOne([0n, 3n, [1]])));
  fetches('in a mode that does not exist', fetch(22, [], { shareAcquireMode: 7 }), {
    ...two,
    differs: 'Kafka fails inside',
  });
  says('everything that is left', acknowledge(-1, ofOne([1n, 1n, [1]])));
  begins(
    'of what came back',
    { topic: A, partitions: [0] },
    { topic: A, partitions: [1] },
    { topic: B, partitions: [0] },
  );
  fetches('that ends with partitions', fetch(-1, [{ topic: A, partitions: [0] }]));
  fetches('that ends', fetch(-1, []));
});
