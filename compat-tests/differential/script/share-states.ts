import type { AddCase } from '../case.ts';
import { NO_UUID, UNKNOWN_UUID } from './build.ts';

const state = (topicId: string, groupId: string, partition: object) => ({
  groupId,
  topics: [{ topicId, partitions: [{ partition: 0, ...partition }] }],
});

/** What the share coordinator keeps, with the topic of the chapter of share groups. */
export function shareStates(call: AddCase): void {
  const own = (partition: object) => (a: { topicId(name: string): string }) =>
    state(a.topicId('share-topic'), 'share-state', partition);
  call('ReadShareGroupState', 'that does not exist', own({ leaderEpoch: 0 }));
  call(
    'WriteShareGroupState',
    'that does not exist',
    own({ stateEpoch: 1, leaderEpoch: 0, startOffset: 5n, stateBatches: [] }),
  );
  call('ReadShareGroupStateSummary', 'that does not exist', own({ leaderEpoch: 0 }));
  call('InitializeShareGroupState', 'of a partition', own({ stateEpoch: 1, startOffset: 5n }));
  call('InitializeShareGroupState', 'in an old state epoch', own({ stateEpoch: 0, startOffset: 5n }));
  call(
    'WriteShareGroupState',
    'of a partition',
    own({
      stateEpoch: 1,
      leaderEpoch: 2,
      startOffset: 6n,
      deliveryCompleteCount: 1,
      stateBatches: [{ firstOffset: 7n, lastOffset: 7n, deliveryState: 2, deliveryCount: 1 }],
    }),
  );
  call(
    'WriteShareGroupState',
    'in an old leader epoch',
    own({ stateEpoch: 1, leaderEpoch: 1, startOffset: 6n, stateBatches: [] }),
  );
  call(
    'WriteShareGroupState',
    'in an old state epoch',
    own({ stateEpoch: 0, leaderEpoch: 2, startOffset: 6n, stateBatches: [] }),
  );
  call('ReadShareGroupState', 'of a partition', own({ leaderEpoch: 2 }));
  call(
    'WriteShareGroupState',
    'in a leader epoch before that of the last read',
    own({ stateEpoch: 1, leaderEpoch: 1, startOffset: 6n, stateBatches: [] }),
  );
  call(
    'WriteShareGroupState',
    'in later epochs',
    own({ stateEpoch: 4, leaderEpoch: 7, startOffset: 6n, deliveryCompleteCount: 2, stateBatches: [] }),
  );
  call('ReadShareGroupState', 'in no leader epoch', own({ leaderEpoch: -1 }));
  call('ReadShareGroupState', 'after later epochs', own({ leaderEpoch: 3 }));
  call('ReadShareGroupState', 'in an old leader epoch', own({ leaderEpoch: 1 }));
  call('ReadShareGroupStateSummary', 'of a partition', own({ leaderEpoch: 2 }));
  for (const [name, topicId, partition] of [
    ['no topic', NO_UUID, 0],
    ['a topic that does not exist', UNKNOWN_UUID, 0],
    ['a partition that does not exist', null, 5],
    ['a partition that cannot be', null, -1],
  ] as const)
    for (const [api, more] of [
      ['InitializeShareGroupState', { stateEpoch: 1, startOffset: 5n }],
      ['ReadShareGroupState', { leaderEpoch: 0 }],
      ['WriteShareGroupState', { stateEpoch: 1, leaderEpoch: 0, startOffset: 5n, stateBatches: [] }],
      ['ReadShareGroupStateSummary', { leaderEpoch: 0 }],
      ['DeleteShareGroupState', {}],
    ] as const)
      call(api, `of ${name}`, (a) =>
        state(topicId ?? a.topicId('share-topic'), 'share-state', { partition, ...more }),
      );
  for (const [api, more] of [
    ['InitializeShareGroupState', { stateEpoch: 1, startOffset: 5n }],
    ['ReadShareGroupState', { leaderEpoch: 0 }],
    ['DeleteShareGroupState', {}],
  ] as const)
    call(api, 'of no group', (a) => state(a.topicId('share-topic'), '', more));
  call('DeleteShareGroupState', 'of a partition', own({}));
  call('ReadShareGroupStateSummary', 'that was deleted', own({ leaderEpoch: 2 }));
}
