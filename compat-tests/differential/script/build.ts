// What requests are made of, with Kafka's defaults for what a case does not say.
import { ErrorCode } from '../../../src/protocol/errors.ts';
import { createFetchPartition, createFetchTopic } from '../../../src/protocol/generated/fetch-request.ts';
import { type BatchOptions, buildBatch } from '../../../src/protocol/records/builder.ts';
import type { Body } from '../case.ts';

/** Of what is asked for several times: a request of megabytes of one name would have an answer of gigabytes. */
export const DESCRIBED_ONCE = { differs: 'what is named several times is described once' } as const;

/** Not compared of topics that are created. */
export const CREATED = { fields: ['configs'], because: 'Kafabric lists keys of its own too' } as const;
export const DOCUMENTED = {
  fields: ['documentation'],
  because: 'each describes its keys in its own words',
} as const;

/** Every group key of Kafka's; ours have the prefix `direct.`. */
export const GROUP_KEYS = [
  'consumer.assignment.interval.ms',
  'consumer.heartbeat.interval.ms',
  'consumer.session.timeout.ms',
  'share.assignment.interval.ms',
  'share.auto.offset.reset',
  'share.delivery.count.limit',
  'share.heartbeat.interval.ms',
  'share.isolation.level',
  'share.partition.max.record.locks',
  'share.record.lock.duration.ms',
  'share.renew.acknowledge.enable',
  'share.session.timeout.ms',
  'streams.assignment.interval.ms',
  'streams.heartbeat.interval.ms',
  'streams.initial.rebalance.delay.ms',
  'streams.num.standby.replicas',
  'streams.session.timeout.ms',
];

export const NO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA';
export const UNKNOWN_UUID = 'UVVVVVVVVVVVVVVVVVVVVQ';

export const ResourceType = { TOPIC: 2, BROKER: 4, BROKER_LOGGER: 8, CLIENT_METRICS: 16, GROUP: 32 } as const;
export const Op = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const;

type Configs = Record<string, string | null>;

export const entries = (configs: Configs) =>
  Object.entries(configs).map(([name, value]) => ({ name, value }));

/** CreateTopics of one topic. */
export const create = (
  name: string,
  numPartitions = 1,
  replicationFactor = 1,
  configs: Configs = {},
  assignments: [partitionIndex: number, brokerIds: number[]][] = [],
) => ({ topics: [topic(name, numPartitions, replicationFactor, configs, assignments)], timeoutMs: 10_000 });

export const topic = (
  name: string,
  numPartitions = 1,
  replicationFactor = 1,
  configs: Configs = {},
  assignments: [partitionIndex: number, brokerIds: number[]][] = [],
) => ({
  name,
  numPartitions,
  replicationFactor,
  configs: entries(configs),
  assignments: assignments.map(([partitionIndex, brokerIds]) => ({ partitionIndex, brokerIds })),
});

/** Fixed times, so that both brokers get the same bytes. */
export const TIME = 1_700_000_000_000n;

/** A batch of records with these values, one millisecond apart; keys are k0, k1, ... */
export const batch = (values: readonly string[], options: BatchOptions = {}) =>
  buildBatch(
    values.map((value, index) => ({
      key: Buffer.from(`k${index}`),
      value: Buffer.from(value),
      timestamp: TIME + BigInt(index),
    })),
    options,
  );

export const produce = (
  name: string,
  topicId: string,
  records: Uint8Array | null,
  { index = 0, acks = -1, transactionalId = null as string | null } = {},
) => ({
  transactionalId,
  acks,
  timeoutMs: 5_000,
  topicData: [{ name, topicId, partitionData: [{ index, records }] }],
});

interface FetchWish {
  partition?: number;
  offset?: bigint;
  epoch?: number;
  lastEpoch?: number;
  maxBytes?: number;
}

export const fetchOf = (
  name: string,
  topicId: string,
  { partition = 0, offset = 0n, epoch = -1, lastEpoch = -1, maxBytes = 1_000_000 }: FetchWish = {},
  more: object = {},
) => ({
  replicaId: -1,
  maxWaitMs: 50,
  minBytes: 1,
  maxBytes: 50_000_000,
  sessionEpoch: -1,
  topics: [
    createFetchTopic({
      topic: name,
      topicId,
      partitions: [
        createFetchPartition({
          partition,
          fetchOffset: offset,
          currentLeaderEpoch: epoch,
          lastFetchedEpoch: lastEpoch,
          partitionMaxBytes: maxBytes,
        }),
      ],
    }),
  ],
  ...more,
});

/** ListOffsets of partitions of one topic, as [partition, timestamp, leader epoch]. */
export const listOffsets = (
  name: string,
  wanted: readonly [partition: number, timestamp: bigint, epoch?: number][],
  more: object = {},
) => ({
  replicaId: -1,
  timeoutMs: 5_000,
  topics: [
    {
      name,
      partitions: wanted.map(([partitionIndex, timestamp, currentLeaderEpoch = -1]) => ({
        partitionIndex,
        timestamp,
        currentLeaderEpoch,
      })),
    },
  ],
  ...more,
});

export const describeConfigs = (
  resourceType: number,
  resourceName: string,
  configurationKeys: string[] | null = null,
  includeSynonyms = true,
) => ({ resources: [{ resourceType, resourceName, configurationKeys }], includeSynonyms });

/** IncrementalAlterConfigs of one resource, as [name, operation, value]. */
export const alter = (
  resourceType: number,
  resourceName: string,
  configs: readonly [name: string, operation: number, value: string | null][],
  validateOnly = false,
) => ({
  resources: [
    {
      resourceType,
      resourceName,
      configs: configs.map(([name, configOperation, value]) => ({ name, configOperation, value })),
    },
  ],
  validateOnly,
});

export const replace = (
  resourceType: number,
  resourceName: string,
  configs: Configs,
  validateOnly = false,
) => ({ resources: [{ resourceType, resourceName, configs: entries(configs) }], validateOnly });

/** Coordinators are loaded, and markers written, behind answers that say so. */
const BUSY: readonly unknown[] = [
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.CONCURRENT_TRANSACTIONS,
];
export const isThrough = ({ errorCode }: Body) => !BUSY.includes(errorCode);

/** Of FindCoordinator: all that were asked for have one. */
export const areFound = ({ coordinators }: Body) =>
  (coordinators as { errorCode: number }[]).every(({ errorCode }) => errorCode === 0);

/** InitProducerId of a producer that has no id yet. */
export const initProducer = (transactionalId: string, more: object = {}) => ({
  transactionalId,
  transactionTimeoutMs: 60_000,
  producerId: -1n,
  producerEpoch: -1,
  ...more,
});
