import { chapter } from '../case.ts';
import { entries, Op, ResourceType, topic } from './build.ts';

/** Of groups: each is tried just inside its limits and just outside. */
const GROUP_KEYS: readonly (readonly [key: string, min: number, max: number])[] = [
  ['consumer.assignment.interval.ms', 0, 15_000],
  ['consumer.heartbeat.interval.ms', 500, 15_000],
  ['consumer.session.timeout.ms', 45_000, 60_000],
  ['share.assignment.interval.ms', 0, 15_000],
  ['share.delivery.count.limit', 2, 10],
  ['share.heartbeat.interval.ms', 5_000, 15_000],
  ['share.partition.max.record.locks', 100, 4_000],
  ['share.record.lock.duration.ms', 15_000, 60_000],
  ['share.session.timeout.ms', 45_000, 60_000],
  ['streams.assignment.interval.ms', 0, 15_000],
  ['streams.heartbeat.interval.ms', 5_000, 15_000],
  ['streams.initial.rebalance.delay.ms', 0, 2_147_483_647],
  ['streams.num.standby.replicas', 0, 2],
  ['streams.session.timeout.ms', 45_000, 60_000],
];
const GROUP_VALUES: readonly (readonly [key: string, values: readonly string[]])[] = [
  [
    'share.auto.offset.reset',
    ['latest', 'LATEST', 'by_duration:PT0S', 'by_duration:-PT1S', 'by_duration:P1Y'],
  ],
  ['share.isolation.level', ['read_committed', 'READ_COMMITTED', 'none']],
  ['share.renew.acknowledge.enable', ['true', 'False', 'yes', '']],
  ['share.session.timeout.ms', ['', ' 50000 ', '5e4', '0x9', '99999999999']],
];

const TOPIC_VALUES: readonly (readonly [key: string, values: readonly string[]])[] = [
  ['cleanup.policy', ['', 'delete,delete', 'compact, delete', 'none', 'DELETE']],
  ['compression.gzip.level', ['0', '1', '9', '10', '-1', '-2']],
  ['compression.lz4.level', ['0', '1', '17', '18']],
  ['compression.type', ['', 'none', 'uncompressed', 'GZIP', 'brotli']],
  ['compression.zstd.level', ['-131073', '-131072', '22', '23']],
  ['delete.retention.ms', ['-2', '-1', '0']],
  ['file.delete.delay.ms', ['-1', '0']],
  ['flush.messages', ['0', '1', '9223372036854775808']],
  ['flush.ms', ['-1', '0']],
  ['follower.replication.throttled.replicas', ['*', '0:1', '0:1,1:1', '0', '', 'x:y']],
  ['index.interval.bytes', ['-1', '0', '2147483648']],
  ['leader.replication.throttled.replicas', ['*', '*,0:1', '0:1:2']],
  ['local.retention.bytes', ['-3', '-2', '0']],
  ['local.retention.ms', ['-3', '-2', '0']],
  ['max.compaction.lag.ms', ['0', '1']],
  ['max.message.bytes', ['-1', '0', '2147483647']],
  ['message.timestamp.after.max.ms', ['-1', '0']],
  ['message.timestamp.before.max.ms', ['-1', '0']],
  ['message.timestamp.type', ['CreateTime', 'LogAppendTime', 'createtime']],
  ['min.cleanable.dirty.ratio', ['-0.1', '0', '1', '1.1']],
  ['min.compaction.lag.ms', ['-1', '0']],
  ['min.insync.replicas', ['0', '1']],
  ['preallocate', ['true', 'TRUE', '1']],
  ['remote.log.copy.disable', ['true', 'x']],
  ['remote.storage.enable', ['false', 'true']],
  ['retention.bytes', ['-2', '-1', '0', '1.5']],
  ['retention.ms', ['-2', '-1', '0', '9223372036854775807']],
  ['segment.bytes', ['1048575', '1048576', '2147483648']],
  ['segment.index.bytes', ['3', '4']],
  ['segment.jitter.ms', ['-1', '0']],
  ['segment.ms', ['0', '1']],
  ['unclean.leader.election.enable', ['false', 'no']],
];

const BROKER_VALUES: readonly (readonly [key: string, values: readonly string[]])[] = [
  ['log.retention.ms', ['-1', '1']],
  ['log.segment.bytes', ['1048575', '1048576']],
  ['log.cleaner.threads', ['-1', '1']],
  ['message.max.bytes', ['-1', '0']],
  ['min.insync.replicas', ['0', '1']],
  ['compression.type', ['brotli', 'zstd']],
  ['num.partitions', ['3']],
  ['group.consumer.assignment.interval.ms', ['-1', '0', '15000', '15001']],
  ['group.share.assignment.interval.ms', ['2000', '15001']],
  ['group.streams.assignment.interval.ms', ['15001']],
  ['node.id', ['7']],
  ['unclean.leader.election.enable', ['true', 'x']],
  ['producer.id.expiration.ms', ['0', '1']],
];

export const limits = chapter('limits of configurations', (call) => {
  const groups = [
    ...GROUP_KEYS.flatMap(([key, min, max]) =>
      [min - 1, min, max, max + 1].map((value) => [key, String(value)] as const),
    ),
    ...GROUP_VALUES.flatMap(([key, values]) => values.map((value) => [key, value] as const)),
  ];
  call(
    'IncrementalAlterConfigs',
    'of groups',
    {
      resources: groups.map(([name, value], index) => ({
        resourceType: ResourceType.GROUP,
        resourceName: `limits-${index}`,
        configs: [{ name, configOperation: Op.SET, value }],
      })),
      validateOnly: true,
    },
    { versions: [1, 1] },
  );
  call(
    'AlterConfigs',
    'of groups, all keys',
    {
      resources: groups.map(([name, value], index) => ({
        resourceType: ResourceType.GROUP,
        resourceName: `limits-${index}`,
        configs: entries({ [name]: value }),
      })),
      validateOnly: true,
    },
    { versions: [2, 2] },
  );
  for (const [key, values] of TOPIC_VALUES)
    call(
      'CreateTopics',
      `with ${key}`,
      {
        topics: values.map((value, index) => topic(`limits-${index}`, 1, 1, { [key]: value })),
        timeoutMs: 10_000,
        validateOnly: true,
      },
      { versions: [7, 7], except: { fields: ['configs'], because: 'Kafabric lists keys of its own too' } },
    );
  for (const resourceName of ['1', ''])
    for (const [key, values] of BROKER_VALUES)
      for (const value of values)
        call(
          'IncrementalAlterConfigs',
          `of ${resourceName === '' ? 'brokers by default' : 'the broker'}: ${key}=${value}`,
          {
            resources: [
              {
                resourceType: ResourceType.BROKER,
                resourceName,
                configs: [{ name: key, configOperation: Op.SET, value }],
              },
            ],
            validateOnly: true,
          },
          { versions: [1, 1] },
        );
});
