import { chapter } from '../case.ts';
import {
  alter,
  CREATED,
  create,
  DOCUMENTED,
  describeConfigs,
  GROUP_KEYS,
  Op,
  ResourceType,
} from './build.ts';

const { TOPIC, BROKER, CLIENT_METRICS, GROUP } = ResourceType;

/** Every topic key of Kafka's; ours have the prefix `payload.`. */
const TOPIC_KEYS = [
  'cleanup.policy',
  'compression.gzip.level',
  'compression.lz4.level',
  'compression.type',
  'compression.zstd.level',
  'delete.retention.ms',
  'file.delete.delay.ms',
  'flush.messages',
  'flush.ms',
  'follower.replication.throttled.replicas',
  'index.interval.bytes',
  'leader.replication.throttled.replicas',
  'local.retention.bytes',
  'local.retention.ms',
  'max.compaction.lag.ms',

  'message.timestamp.after.max.ms',
  'message.timestamp.before.max.ms',
  'message.timestamp.type',
  'min.cleanable.dirty.ratio',
  'min.compaction.lag.ms',
  'min.insync.replicas',
  'preallocate',
  'remote.log.copy.disable',
  'remote.log.delete.on.disable',
  'remote.storage.enable',
  'retention.bytes',
  'retention.ms',
  'segment.bytes',
  'segment.index.bytes',
  'segment.jitter.ms',
  'segment.ms',
  'unclean.leader.election.enable',
];

export const configs = chapter('configurations', (call) => {
  call('CreateTopics', 'a topic to configure', create('conf-$v', 1, 1, { 'retention.ms': '1000000' }), {
    except: CREATED,
  });
  call(
    'CreateTopics',
    'a compacted one',
    create('conf-compacted-$v', 1, 1, { 'cleanup.policy': 'compact' }),
    { except: CREATED },
  );

  for (const key of TOPIC_KEYS)
    call('DescribeConfigs', `topic key ${key}`, describeConfigs(TOPIC, 'conf-7', [key]), {
      except: DOCUMENTED,
    });
  call(
    'DescribeConfigs',
    'without synonyms',
    describeConfigs(TOPIC, 'conf-7', ['retention.ms', 'segment.ms'], false),
  );
  call('DescribeConfigs', 'a key that does not exist', describeConfigs(TOPIC, 'conf-7', ['no.such.key']));
  call('DescribeConfigs', 'no keys', describeConfigs(TOPIC, 'conf-7', []), {
    except: { fields: ['configs'], because: 'means all keys, of which Kafabric has more' },
  });
  call('DescribeConfigs', 'a topic that does not exist', describeConfigs(TOPIC, 'never'));
  call('DescribeConfigs', 'a topic that cannot exist', describeConfigs(TOPIC, 'no/pe'));
  call('DescribeConfigs', 'an empty topic name', describeConfigs(TOPIC, ''));
  call('DescribeConfigs', 'another broker', describeConfigs(BROKER, '7'));
  call('DescribeConfigs', 'a broker that is no number', describeConfigs(BROKER, 'one'));
  call('DescribeConfigs', 'brokers by default', describeConfigs(BROKER, ''));
  call('DescribeConfigs', 'a type that does not exist', describeConfigs(99, 'x'));
  call('DescribeConfigs', 'type zero', describeConfigs(0, 'x'));
  call('DescribeConfigs', 'a group', describeConfigs(GROUP, 'g', GROUP_KEYS), { except: DOCUMENTED });
  call('DescribeConfigs', 'no group', describeConfigs(GROUP, ''));
  call(
    'DescribeConfigs',
    'a subscription that does not exist',
    describeConfigs(CLIENT_METRICS, 'no-metrics'),
    { except: DOCUMENTED },
  );
  call('DescribeConfigs', 'no subscription', describeConfigs(CLIENT_METRICS, ''));
  call('DescribeConfigs', 'nothing', { resources: [] });
  for (const key of [
    'log.retention.ms',
    'log.retention.hours',
    'log.cleaner.threads',
    'compression.type',
    'log.segment.bytes',
    'min.insync.replicas',
    'auto.create.topics.enable',
    'quota.window.num',
    'quota.window.size.seconds',
    'controller.quota.window.num',
    'group.share.assignment.interval.ms',
  ])
    call('DescribeConfigs', `broker key ${key}`, describeConfigs(BROKER, '1', [key]), { except: DOCUMENTED });

  call('DescribeConfigs', 'broker key node.id', describeConfigs(BROKER, '1', ['node.id']), {
    except: { fields: ['documentation', 'synonyms'], because: 'here a node has an id by default' },
  });
  call('DescribeConfigs', 'broker key max.connections', describeConfigs(BROKER, '1', ['max.connections']), {
    except: { fields: ['documentation', 'readOnly'], because: 'limits of connections are fixed at start' },
  });
  call(
    'IncrementalAlterConfigs',
    'set',
    alter(TOPIC, 'conf-5', [
      ['retention.bytes', Op.SET, '1$v000'],
      ['segment.ms', Op.SET, '70000'],
    ]),
  );
  call('IncrementalAlterConfigs', 'delete', alter(TOPIC, 'conf-5', [['segment.ms', Op.DELETE, null]]));
  call(
    'IncrementalAlterConfigs',
    'delete what is not set',
    alter(TOPIC, 'conf-5', [['segment.jitter.ms', Op.DELETE, null]]),
  );
  call(
    'IncrementalAlterConfigs',
    'append',
    alter(TOPIC, 'conf-5', [['cleanup.policy', Op.APPEND, 'compact']]),
  );
  call(
    'DescribeConfigs',
    'after an append',
    describeConfigs(TOPIC, 'conf-5', ['cleanup.policy', 'retention.bytes', 'segment.ms']),
  );
  call(
    'IncrementalAlterConfigs',
    'append what is there',
    alter(TOPIC, 'conf-5', [['cleanup.policy', Op.APPEND, 'compact']]),
  );
  call(
    'IncrementalAlterConfigs',
    'subtract',
    alter(TOPIC, 'conf-5', [['cleanup.policy', Op.SUBTRACT, 'delete']]),
  );
  call(
    'IncrementalAlterConfigs',
    'set in unusual spellings',
    alter(TOPIC, 'conf-4', [
      ['cleanup.policy', Op.SET, 'compact, delete'],
      ['min.cleanable.dirty.ratio', Op.SET, '1'],
      ['segment.ms', Op.SET, '0070000'],
      ['preallocate', Op.SET, 'TRUE'],
    ]),
  );
  call(
    'DescribeConfigs',
    'in unusual spellings',
    describeConfigs(TOPIC, 'conf-4', [
      'cleanup.policy',
      'min.cleanable.dirty.ratio',
      'segment.ms',
      'preallocate',
    ]),
  );
  call('DescribeConfigs', 'after a subtraction', describeConfigs(TOPIC, 'conf-5', ['cleanup.policy']));
  call(
    'IncrementalAlterConfigs',
    'subtract all',
    alter(TOPIC, 'conf-6', [['cleanup.policy', Op.SUBTRACT, 'delete']]),
  );
  call(
    'IncrementalAlterConfigs',
    'append to a number',
    alter(TOPIC, 'conf-5', [['retention.ms', Op.APPEND, '1']]),
  );
  call(
    'IncrementalAlterConfigs',
    'subtract from a number',
    alter(TOPIC, 'conf-5', [['retention.ms', Op.SUBTRACT, '1']]),
  );
  call(
    'IncrementalAlterConfigs',
    'append to a key that does not exist',
    alter(TOPIC, 'conf-5', [['no.such.key', Op.APPEND, '1']]),
  );
  call(
    'IncrementalAlterConfigs',
    'append nothing',
    alter(TOPIC, 'conf-5', [['cleanup.policy', Op.APPEND, '']]),
  );
  call('IncrementalAlterConfigs', 'an unknown key', alter(TOPIC, 'conf-5', [['no.such.key', Op.SET, '1']]));
  call(
    'IncrementalAlterConfigs',
    'an unknown operation',
    alter(TOPIC, 'conf-5', [['retention.ms', 9, '1']]),
    { differs: 'Kafka answers UNKNOWN_SERVER_ERROR' },
  );
  call('IncrementalAlterConfigs', 'null', alter(TOPIC, 'conf-5', [['retention.ms', Op.SET, null]]));
  call(
    'IncrementalAlterConfigs',
    'a key twice',
    alter(TOPIC, 'conf-5', [
      ['retention.ms', Op.SET, '1'],
      ['retention.ms', Op.DELETE, null],
    ]),
  );
  call('IncrementalAlterConfigs', 'no number', alter(TOPIC, 'conf-5', [['retention.ms', Op.SET, 'soon']]));
  call(
    'IncrementalAlterConfigs',
    'no whole number',
    alter(TOPIC, 'conf-5', [['retention.ms', Op.SET, '1.5']]),
  );
  call(
    'IncrementalAlterConfigs',
    'below the least',
    alter(TOPIC, 'conf-5', [['retention.ms', Op.SET, '-2']]),
  );
  call(
    'IncrementalAlterConfigs',
    'above the most',
    alter(TOPIC, 'conf-5', [['min.cleanable.dirty.ratio', Op.SET, '1.5']]),
  );
  call('IncrementalAlterConfigs', 'no boolean', alter(TOPIC, 'conf-5', [['preallocate', Op.SET, 'maybe']]));
  call('IncrementalAlterConfigs', 'no codec', alter(TOPIC, 'conf-5', [['compression.type', Op.SET, 'rar']]));
  call(
    'IncrementalAlterConfigs',
    'a gzip level of 0',
    alter(TOPIC, 'conf-5', [['compression.gzip.level', Op.SET, '0']]),
  );
  call(
    'IncrementalAlterConfigs',
    'a lag beyond the other',
    alter(TOPIC, 'conf-5', [
      ['min.compaction.lag.ms', Op.SET, '10'],
      ['max.compaction.lag.ms', Op.SET, '5'],
    ]),
  );
  call(
    'IncrementalAlterConfigs',
    'remote storage',
    alter(TOPIC, 'conf-5', [['remote.storage.enable', Op.SET, 'true']]),
  );
  call(
    'IncrementalAlterConfigs',
    'throttled replicas',
    alter(TOPIC, 'conf-5', [['leader.replication.throttled.replicas', Op.SET, '0:1,0:2']]),
  );
  call(
    'IncrementalAlterConfigs',
    'all replicas throttled',
    alter(TOPIC, 'conf-5', [['follower.replication.throttled.replicas', Op.SET, '*']]),
  );
  call(
    'IncrementalAlterConfigs',
    'no throttled replicas',
    alter(TOPIC, 'conf-5', [['leader.replication.throttled.replicas', Op.SET, '0-1']]),
  );
  call(
    'IncrementalAlterConfigs',
    'validate only',
    alter(TOPIC, 'conf-5', [['retention.ms', Op.SET, '5']], true),
  );
  call(
    'IncrementalAlterConfigs',
    'a topic that does not exist',
    alter(TOPIC, 'never', [['retention.ms', Op.SET, '5']]),
  );
  call('IncrementalAlterConfigs', 'an empty topic name', alter(TOPIC, '', [['retention.ms', Op.SET, '5']]));
  call(
    'IncrementalAlterConfigs',
    'a topic that cannot exist',
    alter(TOPIC, 'no/pe', [['retention.ms', Op.SET, '5']]),
  );
  call(
    'IncrementalAlterConfigs',
    'a type that does not exist',
    alter(77, 'x', [['retention.ms', Op.SET, '5']]),
  );
  call('IncrementalAlterConfigs', 'nothing', { resources: [], validateOnly: false });
  call('IncrementalAlterConfigs', 'a resource twice', {
    resources: [
      ...alter(TOPIC, 'conf-5', [['retention.ms', Op.SET, '5']]).resources,
      ...alter(TOPIC, 'conf-5', [['segment.ms', Op.SET, '5']]).resources,
    ],
    validateOnly: false,
  });
  call('IncrementalAlterConfigs', 'no changes', alter(TOPIC, 'conf-5', []));
  call(
    'IncrementalAlterConfigs',
    'more than ten thousand',
    {
      resources: Array.from({ length: 10_001 }, (_, index) =>
        alter(GROUP, `many-${index}`, [['consumer.session.timeout.ms', Op.SET, '50000']]),
      ).flatMap(({ resources }) => resources),
      validateOnly: true,
    },
    { versions: [1, 1] },
  );

  call(
    'IncrementalAlterConfigs',
    'a cluster-wide default',
    alter(BROKER, '', [['log.retention.ms', Op.SET, '777777']]),
  );
  call(
    'IncrementalAlterConfigs',
    'a default that only brokers can have',
    alter(BROKER, '', [['ssl.keystore.location', Op.SET, '/x']]),
    {
      except: {
        fields: ['errorMessage'],
        because: 'it is fixed at start, and read again when its file changes',
      },
    },
  );
  call('IncrementalAlterConfigs', 'one broker', alter(BROKER, '1', [['log.cleaner.threads', Op.SET, '2']]));
  call('DescribeConfigs', 'a cluster-wide default', describeConfigs(BROKER, ''), { except: DOCUMENTED });
  call(
    'DescribeConfigs',
    'a broker under a default',
    describeConfigs(BROKER, '1', ['log.retention.ms', 'log.cleaner.threads']),
    { except: DOCUMENTED },
  );
  call('DescribeConfigs', 'a topic under a default', describeConfigs(TOPIC, 'conf-6', ['retention.ms']), {
    except: DOCUMENTED,
  });
  call('IncrementalAlterConfigs', 'a key that is fixed', alter(BROKER, '1', [['node.id', Op.SET, '2']]));
  call(
    'IncrementalAlterConfigs',
    'a key that is fixed, removed',
    alter(BROKER, '1', [['node.id', Op.DELETE, null]]),
  );
  call(
    'IncrementalAlterConfigs',
    'a key that is fixed, removed by default',
    alter(BROKER, '', [['num.io.threads', Op.DELETE, null]]),
  );
  call(
    'IncrementalAlterConfigs',
    'a key that is fixed, by default',
    alter(BROKER, '', [['broker.rack', Op.SET, 'r']]),
  );
  call(
    'IncrementalAlterConfigs',
    'no number for a broker',
    alter(BROKER, '1', [['log.retention.ms', Op.SET, 'soon']]),
  );
  call('IncrementalAlterConfigs', 'no threads', alter(BROKER, '1', [['num.io.threads', Op.SET, '0']]), {
    except: { fields: ['errorMessage'], because: 'the number of threads is fixed' },
  });
  call(
    'IncrementalAlterConfigs',
    'many more threads',
    alter(BROKER, '1', [['num.io.threads', Op.SET, '500']]),
    {
      except: { fields: ['errorMessage'], because: 'the number of threads is fixed' },
    },
  );
  call('IncrementalAlterConfigs', 'another broker', alter(BROKER, '7', [['log.retention.ms', Op.SET, '5']]));
  call(
    'IncrementalAlterConfigs',
    'a broker that is no number',
    alter(BROKER, 'one', [['log.retention.ms', Op.SET, '5']]),
  );
  call(
    'IncrementalAlterConfigs',
    'an unknown broker key',
    alter(BROKER, '1', [['no.such.key', Op.SET, '5']]),
    { differs: 'Kafka takes any key; here a key that nobody knows is refused, as in the file' },
  );
  call(
    'IncrementalAlterConfigs',
    'a cluster-wide default, removed',
    alter(BROKER, '', [['log.retention.ms', Op.DELETE, null]]),
  );
  call(
    'IncrementalAlterConfigs',
    'one broker, removed',
    alter(BROKER, '1', [
      ['log.cleaner.threads', Op.DELETE, null],
      ['log.cleaner.io.buffer.load.factor', Op.DELETE, null],
    ]),
  );
  call(
    'DescribeConfigs',
    'a broker without a default',
    describeConfigs(BROKER, '1', ['log.retention.ms', 'log.cleaner.threads']),
    { except: DOCUMENTED },
  );
});
