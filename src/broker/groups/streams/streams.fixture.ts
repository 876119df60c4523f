import {
  createStreamsGroupHeartbeatRequest,
  createStreamsGroupHeartbeatRequestSubtopology,
  createStreamsGroupHeartbeatRequestTopicInfo,
  type StreamsGroupHeartbeatRequest,
  type StreamsGroupHeartbeatRequestTopology as Topology,
} from '../../../protocol/generated/streams-group-heartbeat-request.ts';
import type {
  StreamsGroupHeartbeatResponse,
  StreamsGroupHeartbeatResponseTaskIds as TaskIds,
} from '../../../protocol/generated/streams-group-heartbeat-response.ts';
import { settled } from '../../../util/testing/virtual-clock.ts';
import {
  createGroups,
  GROUP,
  type TestBroker,
  TestTopics,
  testStreamsGroupConfig,
} from '../coordinator.fixture.ts';
import type { StreamsConfig, StreamsGroupConfig } from './context.ts';
import type { CreateTopics } from './internal-topics.ts';
import type { StreamsGroup } from './streams-group.ts';

export interface StreamsBroker extends TestBroker {
  readonly topics: TestTopics;
}

/** One stateless subtopology that reads `events`. */
export const READER = topologyOf({ id: '0', sources: ['events'] });
/** A subtopology that counts what it reads from `events`. */
export const COUNTER = topologyOf({ id: '0', sources: ['events'], changelogs: ['counts-changelog'] });

export interface SubtopologyOutline {
  readonly id: string;
  readonly sources?: readonly string[];
  readonly changelogs?: readonly string[];
  readonly sinks?: readonly string[];
  /** Names, and numbers of partitions that are said; 0: none is. */
  readonly repartitions?: Readonly<Record<string, number>>;
  readonly copartitioned?: readonly { readonly sources: number[]; readonly repartitions: number[] }[];
}

export function topologyOf(...subtopologies: SubtopologyOutline[]): Topology {
  const info = (name: string, partitions = 0) =>
    createStreamsGroupHeartbeatRequestTopicInfo({ name, partitions });
  return {
    epoch: 0,
    subtopologies: subtopologies.map(({ id, sources, changelogs, sinks, repartitions, copartitioned }) =>
      createStreamsGroupHeartbeatRequestSubtopology({
        subtopologyId: id,
        sourceTopics: [...(sources ?? [])],
        stateChangelogTopics: (changelogs ?? []).map((name) => info(name)),
        repartitionSinkTopics: [...(sinks ?? [])],
        repartitionSourceTopics: Object.entries(repartitions ?? {}).map(([name, count]) => info(name, count)),
        copartitionGroups: (copartitioned ?? []).map((group) => ({
          sourceTopics: group.sources,
          sourceTopicRegex: [],
          repartitionSourceTopics: group.repartitions,
        })),
      }),
    ),
  };
}

/** A loaded coordinator with these topics; give it the clock and log of another to restart that. */
export async function startStreams(
  counts: Readonly<Record<string, number>> = { events: 4 },
  options: {
    readonly former?: StreamsBroker;
    readonly streams?: Partial<StreamsConfig>;
    readonly group?: Partial<StreamsGroupConfig>;
    readonly createTopics?: CreateTopics;
  } = {},
): Promise<StreamsBroker> {
  const topics = options.former?.topics ?? new TestTopics(counts);
  const broker: StreamsBroker = {
    ...createGroups(options.former, {}, undefined, {
      topics,
      streams: { of: () => ({ ...testStreamsGroupConfig, ...options.group }), ...options.streams },
      createTopics: async (wanted) => {
        const outcomes = await (options.createTopics ?? topics.create)(wanted);
        for (const { name } of wanted) broker.groups.topicChanged(name);
        return outcomes;
      },
    }),
    topics,
  };
  await broker.groups.start();
  return broker;
}

export function streamsGroupOf({ groups }: TestBroker): StreamsGroup {
  const group = groups.shards[0]!.groups.get(GROUP);
  if (group?.type !== 'streams') throw new Error(`the group is ${group?.type}`);
  return group;
}

/** A thread of a Kafka Streams application: it confirms what it is told with its next heartbeat. */
export class StreamsThread {
  readonly memberId: string;
  readonly processId: string;
  epoch = 0;
  /** `active 0_1`, sorted. */
  owned: string[] = [];
  /** Numbers of what it was told last. */
  status: number[] = [];
  topology: Topology;
  #tasks: { activeTasks: TaskIds[]; standbyTasks: TaskIds[]; warmupTasks: TaskIds[] } = noTasks();
  readonly #broker: TestBroker;

  constructor(broker: TestBroker, memberId: string, processId = `process-${memberId}`, topology = READER) {
    this.#broker = broker;
    this.memberId = memberId;
    this.processId = processId;
    this.topology = topology;
  }

  /** A heartbeat as it is, of which nothing is remembered. */
  async send(request: Partial<StreamsGroupHeartbeatRequest>): Promise<StreamsGroupHeartbeatResponse> {
    const { memberId, epoch: memberEpoch } = this;
    const response = await this.#broker.groups.streamsHeartbeat(
      createStreamsGroupHeartbeatRequest({ groupId: GROUP, memberId, memberEpoch, ...request }),
      { clientId: 'client', clientHost: '/127.0.0.1' },
    );
    // Internal topics are created behind the answer.
    await settled();
    return response;
  }

  async join(request: Partial<StreamsGroupHeartbeatRequest> = {}): Promise<StreamsGroupHeartbeatResponse> {
    this.epoch = 0;
    this.#own(noTasks());
    const { processId, topology } = this;
    const response = await this.send({
      ...{ rebalanceTimeoutMs: 30_000, processId, topology },
      ...this.#tasks,
      ...request,
    });
    this.take(response);
    return response;
  }

  async beat(request: Partial<StreamsGroupHeartbeatRequest> = {}): Promise<StreamsGroupHeartbeatResponse> {
    const response = await this.send({ ...this.#tasks, ...request });
    this.take(response);
    return response;
  }

  leave(): Promise<StreamsGroupHeartbeatResponse> {
    return this.send({ memberEpoch: -1 });
  }

  take(response: StreamsGroupHeartbeatResponse): void {
    const { errorCode, memberEpoch, activeTasks, standbyTasks, warmupTasks, status } = response;
    if (errorCode !== 0) return;
    this.epoch = memberEpoch;
    this.status = (status ?? []).map(({ statusCode }) => statusCode);
    if (activeTasks !== null && standbyTasks !== null && warmupTasks !== null)
      this.#own({ activeTasks, standbyTasks, warmupTasks });
  }

  #own(tasks: { activeTasks: TaskIds[]; standbyTasks: TaskIds[]; warmupTasks: TaskIds[] }): void {
    this.#tasks = tasks;
    const { activeTasks: active, standbyTasks: standby, warmupTasks: warmup } = tasks;
    this.owned = Object.entries({ active, standby, warmup })
      .flatMap(([role, ids]) =>
        ids.flatMap(({ subtopologyId, partitions }) =>
          partitions.map((p) => `${role} ${subtopologyId}_${p}`),
        ),
      )
      .sort();
  }
}

function noTasks() {
  return { activeTasks: [], standbyTasks: [], warmupTasks: [] };
}

/** Lets threads send heartbeats in turn until nothing changes. */
export async function settle(...threads: StreamsThread[]): Promise<void> {
  const state = () => JSON.stringify(threads.map(({ epoch, owned }) => [epoch, owned]));
  for (let rounds = 0; rounds < 20; rounds++) {
    const before = state();
    for (const thread of threads) await thread.beat();
    if (state() === before) return;
  }
  throw new Error('the group does not settle');
}
