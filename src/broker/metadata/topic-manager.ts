import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { CreatePartitionsTopic } from '../../protocol/generated/create-partitions-request.ts';
import type { CreatableTopic } from '../../protocol/generated/create-topics-request.ts';
import type { Uuid } from '../../protocol/wire/types.ts';
import { apiErrorOf } from '../api-error.ts';
import { type MutationPermits, NO_LIMIT } from '../quotas/mutation-quota.ts';
import type { ClusterMetadata } from './cluster-metadata.ts';
import { metadataRecord } from './records.ts';
import type { Topic } from './state.ts';
import {
  collisionKey,
  isInternalTopic,
  OFFSETS_TOPIC,
  SHARE_STATE_TOPIC,
  TRANSACTION_TOPIC,
} from './topic-name.ts';
import {
  PARTITIONS_PER_REQUEST_MAX,
  type PlannedTopic,
  planPartitions,
  planTopic,
  topicRecords,
} from './topic-plan.ts';

/** What became of one topic of a request. */
export type TopicOutcome<T> =
  | { readonly name: string; readonly error: null; readonly value: T }
  | { readonly name: string; readonly error: ApiError };

/** The broker reads its own topics from the log alone. */
const NEVER_DIVERTED = { 'payload.min.bytes': '-1' };

/** Creates, deletes and extends topics. */
export class TopicManager {
  readonly #metadata: ClusterMetadata;
  readonly #randomUuid: () => Uuid;

  constructor(metadata: ClusterMetadata, randomUuid: () => Uuid) {
    this.#metadata = metadata;
    this.#randomUuid = randomUuid;
  }

  /**
   * Creates each topic that can be created; the others get Kafka's error. Resolves when the new partitions serve.
   * Names must be distinct. With `validateOnly` nothing changes.
   */
  createTopics(
    topics: readonly CreatableTopic[],
    validateOnly = false,
    permits: MutationPermits = NO_LIMIT,
  ): Promise<TopicOutcome<PlannedTopic>[]> {
    return this.#metadata.change((state) => {
      const outcomes: TopicOutcome<PlannedTopic>[] = [];
      const accepted = new Map<string, string>();
      const count = partitionCounter();
      for (const topic of topics) {
        outcomes.push(
          outcomeOf(topic.name, () => {
            count(1);
            const planned = planTopic(topic, {
              state,
              nodeId: this.#metadata.nodeId,
              config: this.#metadata.config,
              accepted,
              id: this.#randomUuid(),
            });
            count(planned.partitions.length - 1);
            if (!validateOnly) permits.take(planned.partitions.length);
            accepted.set(collisionKey(topic.name), topic.name);
            return planned;
          }),
        );
      }
      if (validateOnly) return { records: [], result: outcomes };
      return {
        records: outcomes.flatMap((outcome) => (outcome.error === null ? topicRecords(outcome.value) : [])),
        result: outcomes,
        applied: () => this.#openCreated(outcomes),
      };
    });
  }

  /** The topic, created with the broker's defaults if it does not exist. Rejects with an ApiError. */
  async ensureTopic(name: string): Promise<Topic> {
    const [outcome] = await this.ensureTopics([name]);
    if (outcome!.error !== null) throw outcome!.error;
    return outcome!.value;
  }

  /**
   * The topics of these names, which must be distinct; those that do not exist are created with the broker's defaults, and counted by
   * `permits`.
   */
  async ensureTopics(
    names: readonly string[],
    permits: MutationPermits = NO_LIMIT,
  ): Promise<TopicOutcome<Topic>[]> {
    await Promise.all(names.map((name) => this.#metadata.whenOpen(name)));
    const missing = names.filter((name) => this.#metadata.topicByName(name) === undefined);
    const errors = await this.#createByTemplate(missing, permits);
    return names.map((name) => {
      const topic = this.#metadata.topicByName(name);
      // A topic that exists although its creation failed was created by another request in between.
      if (topic !== undefined) return { name, error: null, value: topic };
      return { name, error: errors.get(name) ?? new ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) };
    });
  }

  /** What became of each, also when nothing can be written down. */
  async #createByTemplate(
    names: readonly string[],
    permits: MutationPermits,
  ): Promise<ReadonlyMap<string, ApiError | null>> {
    if (names.length === 0) return new Map();
    const templates = names.map((name) => this.#template(name));
    try {
      const created = await this.createTopics(templates, false, permits);
      return new Map(created.map(({ name, error }) => [name, error]));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return new Map(names.map((name) => [name, error]));
    }
  }

  /**
   * Resolves when the topics are gone for clients; their files are removed in the background.
   * @param ids asked when all changes before this one are made
   */
  deleteTopics(
    ids: () => readonly Uuid[],
    permits: MutationPermits = NO_LIMIT,
  ): Promise<TopicOutcome<Topic>[]> {
    return this.#metadata.change((state) => {
      const outcomes = ids().map((id) =>
        outcomeOf<Topic>(id, () => {
          const topic = state.topicById(id);
          if (topic === undefined) {
            throw new ApiError(ErrorCode.UNKNOWN_TOPIC_ID, 'This server does not host this topic ID.');
          }
          if (isInternalTopic(topic.name)) {
            throw new ApiError(
              ErrorCode.INVALID_REQUEST,
              `The internal topic ${topic.name} cannot be deleted.`,
            );
          }
          permits.take(topic.partitions.length);
          return topic;
        }),
      );
      const topics = outcomes.flatMap((outcome) => (outcome.error === null ? [outcome.value] : []));
      return {
        records: topics.map(({ id }) => metadataRecord('removeTopic', { topicId: id })),
        result: outcomes,
        applied: async () => {
          for (const topic of topics) await this.#metadata.notifyTopicDeleted(topic);
        },
      };
    });
  }

  /** Adds partitions to topics. Names must be distinct. Resolves when the new partitions serve. */
  createPartitions(
    topics: readonly CreatePartitionsTopic[],
    validateOnly: boolean,
    permits: MutationPermits = NO_LIMIT,
  ): Promise<TopicOutcome<Topic>[]> {
    return this.#metadata.change((state) => {
      const count = partitionCounter();
      const plans = topics.map((topic) =>
        outcomeOf(topic.name, () => {
          count(1);
          const plan = planPartitions(topic, state, this.#metadata.nodeId, this.#metadata.config);
          count(plan.records.length - 1);
          if (!validateOnly) permits.take(topic.count - plan.before);
          return plan;
        }),
      );
      const outcomes: TopicOutcome<Topic>[] = plans.map((plan) =>
        plan.error === null ? { name: plan.name, error: null, value: plan.value.topic } : plan,
      );
      if (validateOnly) return { records: [], result: outcomes };
      return {
        records: plans.flatMap((plan) => (plan.error === null ? plan.value.records : [])),
        result: outcomes,
        applied: async () => {
          for (const [position, plan] of plans.entries()) {
            if (plan.error !== null) continue;
            const { topic, before } = plan.value;
            const error = await this.#openAdded(topic, topic.partitions.slice(before));
            if (error !== null) outcomes[position] = { name: plan.name, error };
          }
        },
      };
    });
  }

  /** Partitions that cannot be put on disk stay, offline, and the others serve: whoever reads the topic is told of them, too. */
  async #openAdded(topic: Topic, partitions: Topic['partitions']): Promise<ApiError | null> {
    try {
      await this.#metadata.notifyPartitionsCreated(topic, partitions);
      return null;
    } catch (error) {
      await this.#metadata.notifyPartitionsCreated(topic, []).catch(() => undefined);
      return storageError(error);
    }
  }

  /** A topic that cannot be put on disk is taken back, so that a failed creation leaves nothing. */
  async #openCreated(outcomes: TopicOutcome<PlannedTopic>[]): Promise<void> {
    for (const [position, outcome] of outcomes.entries()) {
      if (outcome.error !== null) continue;
      const topic = this.#metadata.topicByName(outcome.name)!;
      try {
        await this.#metadata.notifyPartitionsCreated(topic, topic.partitions);
      } catch (error) {
        outcomes[position] = { name: outcome.name, error: storageError(error) };
        await this.#takeBack(topic);
      }
    }
  }

  /** Where not even this can be written the topic stays, offline, and the next start creates its partitions. */
  async #takeBack(topic: Topic): Promise<void> {
    try {
      await this.#metadata.followUp([metadataRecord('removeTopic', { topicId: topic.id })]);
    } catch {
      return;
    }
    await this.#metadata.notifyTopicDeleted(topic);
  }

  /** How the broker itself creates a topic. */
  #template(name: string): CreatableTopic {
    const { config } = this.#metadata;
    const topic = (numPartitions: number, replicationFactor: number, configs: Record<string, string>) => ({
      name,
      numPartitions,
      replicationFactor,
      assignments: [],
      configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
    });
    if (name === OFFSETS_TOPIC) {
      return topic(
        config.get('offsets.topic.num.partitions'),
        config.get('offsets.topic.replication.factor'),
        {
          'cleanup.policy': 'compact',
          'compression.type': 'producer',
          ...NEVER_DIVERTED,
          'segment.bytes': String(config.get('offsets.topic.segment.bytes')),
        },
      );
    }
    if (name === TRANSACTION_TOPIC) {
      return topic(
        config.get('transaction.state.log.num.partitions'),
        config.get('transaction.state.log.replication.factor'),
        {
          'cleanup.policy': 'compact',
          'compression.type': 'uncompressed',
          'min.insync.replicas': String(config.get('transaction.state.log.min.isr')),
          ...NEVER_DIVERTED,
          'segment.bytes': String(config.get('transaction.state.log.segment.bytes')),
          'unclean.leader.election.enable': 'false',
        },
      );
    }
    if (name === SHARE_STATE_TOPIC) {
      return topic(
        config.get('share.coordinator.state.topic.num.partitions'),
        config.get('share.coordinator.state.topic.replication.factor'),
        {
          'cleanup.policy': 'delete',
          'compression.type': 'producer',
          'min.insync.replicas': String(config.get('share.coordinator.state.topic.min.isr')),
          ...NEVER_DIVERTED,
          'retention.bytes': '-1',
          'retention.ms': '-1',
          'segment.bytes': String(config.get('share.coordinator.state.topic.segment.bytes')),
        },
      );
    }
    return topic(-1, -1, {});
  }
}

function outcomeOf<T>(name: string, action: () => T): TopicOutcome<T> {
  try {
    return { name, error: null, value: action() };
  } catch (error) {
    return { name, error: apiErrorOf(error) };
  }
}

/**
 * Counts the partitions that one request makes, one at least of each topic: of one that is refused, too, as in Kafka. It throws an ApiError for
 * those beyond what is allowed.
 */
function partitionCounter(): (partitions: number) => void {
  const refusal = new ApiError(
    ErrorCode.POLICY_VIOLATION,
    'Excessively large number of partitions per request.',
  );
  let total = 0;
  return (partitions) => {
    total += partitions;
    if (total > PARTITIONS_PER_REQUEST_MAX) throw refusal;
  };
}

function storageError(error: unknown): ApiError {
  return error instanceof ApiError
    ? error
    : new ApiError(
        ErrorCode.KAFKA_STORAGE_ERROR,
        `The partitions could not be created on disk: ${(error as Error).message}`,
      );
}
