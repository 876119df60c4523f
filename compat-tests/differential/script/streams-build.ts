// What requests of streams groups are made of.

export const NONE = { activeTasks: [], standbyTasks: [], warmupTasks: [] };

export const subtopology = (subtopologyId: string, more: object = {}) => ({
  subtopologyId,
  sourceTopics: [],
  sourceTopicRegex: [],
  stateChangelogTopics: [],
  repartitionSinkTopics: [],
  repartitionSourceTopics: [],
  copartitionGroups: [],
  ...more,
});
export const beat = (groupId: string, memberId: string, memberEpoch: number, more: object = {}) => ({
  groupId,
  memberId,
  memberEpoch,
  endpointInformationEpoch: -1,
  ...more,
});
/** A member that begins, with the topology that it has. */
export const joinWith = (topology: object, groupId: string, memberId: string, more: object = {}) =>
  beat(groupId, memberId, 0, {
    rebalanceTimeoutMs: 60_000,
    topology,
    processId: `process-${memberId}`,
    clientTags: [],
    ...NONE,
    ...more,
  });
export const tasks = (...partitions: number[]) => ({
  ...NONE,
  activeTasks: partitions.length === 0 ? [] : [{ subtopologyId: '0', partitions }],
});
