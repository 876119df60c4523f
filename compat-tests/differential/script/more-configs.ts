import { type CaseOptions, chapter } from '../case.ts';
import {
  alter,
  CREATED,
  create,
  DOCUMENTED,
  describeConfigs,
  GROUP_KEYS,
  Op,
  ResourceType,
  replace,
} from './build.ts';

const { TOPIC, BROKER, CLIENT_METRICS, GROUP } = ResourceType;
const WORDS = { fields: ['errorMessage'], because: 'each says in its own words what is wrong' } as const;
type Changes = readonly [name: string, operation: number, value: string | null][];

/** Changes of configurations that follow each other, of resources of every type. */
export const moreConfigs = chapter('configurations that change', (call) => {
  const change = (
    name: string,
    type: number,
    resource: string,
    changes: Changes,
    options: CaseOptions = {},
  ) =>
    call('IncrementalAlterConfigs', name, alter(type, resource, changes), { versions: [1, 1], ...options });
  const look = (name: string, type: number, resource: string, keys: string[] | null) =>
    call('DescribeConfigs', name, describeConfigs(type, resource, keys), {
      versions: [4, 4],
      except: DOCUMENTED,
    });

  call('CreateTopics', 'that changes', create('changing', 1), { versions: [7, 7], except: CREATED });
  const THROTTLED = 'leader.replication.throttled.replicas';
  change('of a list', TOPIC, 'changing', [[THROTTLED, Op.APPEND, '0:1']]);
  change('of a list, what is there', TOPIC, 'changing', [[THROTTLED, Op.APPEND, '0:1,1:1']]);
  change('of a list, twice the same', TOPIC, 'changing', [[THROTTLED, Op.APPEND, '2:1,2:1']]);
  change('of a list, with blanks', TOPIC, 'changing', [[THROTTLED, Op.APPEND, ' 3:1 , 4:1 ']]);
  look('of a list', TOPIC, 'changing', [THROTTLED]);
  change('of a list, less', TOPIC, 'changing', [[THROTTLED, Op.SUBTRACT, '1:1,9:9']]);
  look('of a list that is less', TOPIC, 'changing', [THROTTLED]);
  change('of a list, all less', TOPIC, 'changing', [[THROTTLED, Op.SUBTRACT, '0:1,2:1,3:1,4:1, 3:1 , 4:1 ']]);
  look('of a list of nothing', TOPIC, 'changing', [THROTTLED]);
  change('of a list that was never set, less', TOPIC, 'changing', [
    ['follower.replication.throttled.replicas', Op.SUBTRACT, '0:1'],
  ]);
  look('of a list that was never set', TOPIC, 'changing', ['follower.replication.throttled.replicas']);
  change(
    'of the policy, with what is not allowed',
    TOPIC,
    'changing',
    [['cleanup.policy', Op.APPEND, 'burn']],
    { except: WORDS },
  );
  change('of the policy, more', TOPIC, 'changing', [['cleanup.policy', Op.APPEND, 'compact,delete']]);
  look('of the policy', TOPIC, 'changing', ['cleanup.policy']);
  change('of the policy, not there', TOPIC, 'changing', [['cleanup.policy', Op.SUBTRACT, 'burn']]);
  change('of the policy, all', TOPIC, 'changing', [['cleanup.policy', Op.SUBTRACT, 'compact,delete']]);
  change('of the policy, to null', TOPIC, 'changing', [['cleanup.policy', Op.APPEND, null]]);
  change('of the policy, with a value to delete', TOPIC, 'changing', [
    ['cleanup.policy', Op.DELETE, 'delete'],
  ]);
  look('of the policy by default', TOPIC, 'changing', ['cleanup.policy']);
  change('of what is not there, deleted', TOPIC, 'changing', [['no.such.key', Op.DELETE, null]]);
  change('of no name', TOPIC, 'changing', [['', Op.SET, '1']]);
  change('of a negative operation', TOPIC, 'changing', [['retention.ms', -1, '1']], {
    differs: 'Kafka answers UNKNOWN_SERVER_ERROR',
  });
  change('of good and bad', TOPIC, 'changing', [
    ['retention.ms', Op.SET, '5000'],
    ['segment.ms', Op.SET, 'x'],
  ]);
  look('of good and bad', TOPIC, 'changing', ['retention.ms', 'segment.ms']);
  change('of the same value', TOPIC, 'changing', [['retention.ms', Op.SET, '604800000']]);
  look('of the value that is the default', TOPIC, 'changing', ['retention.ms']);
  change('of a value with blanks', TOPIC, 'changing', [['retention.ms', Op.SET, ' 5000 ']]);
  look('of a value with blanks', TOPIC, 'changing', ['retention.ms']);
  for (const [name, type, resource] of [
    ['an internal topic', TOPIC, '__consumer_offsets'],
    ['the metadata', TOPIC, '__cluster_metadata'],
    ['a negative broker', BROKER, '-1'],
    ['a broker with blanks', BROKER, ' 1'],
    ['a broker with a zero', BROKER, '01'],
  ] as const)
    change(`of ${name}, in trial`, type, resource, [], {});
  call('IncrementalAlterConfigs', 'of resources of every type', {
    resources: [
      ...alter(TOPIC, 'changing', [['flush.ms', Op.SET, '70']]).resources,
      ...alter(TOPIC, 'changing-never', [['flush.ms', Op.SET, '70']]).resources,
      ...alter(BROKER, '1', [['log.flush.interval.ms', Op.SET, '80']]).resources,
      ...alter(GROUP, 'changing', [['share.heartbeat.interval.ms', Op.SET, '1']]).resources,
      ...alter(CLIENT_METRICS, 'changing', [['interval.ms', Op.SET, '1000']]).resources,
    ],
    validateOnly: true,
  });

  change('of a group', GROUP, 'changing', [
    ['share.heartbeat.interval.ms', Op.SET, '7000'],
    ['streams.num.standby.replicas', Op.SET, '1'],
  ]);
  look('of a group', GROUP, 'changing', GROUP_KEYS);
  change('of a group, more', GROUP, 'changing', [['share.heartbeat.interval.ms', Op.APPEND, '1']]);
  change('of a group, less', GROUP, 'changing', [['share.heartbeat.interval.ms', Op.SUBTRACT, '1']]);
  change('of a group, null', GROUP, 'changing', [['share.heartbeat.interval.ms', Op.SET, null]]);
  change('of a group, a key twice', GROUP, 'changing', [
    ['share.heartbeat.interval.ms', Op.SET, '8000'],
    ['share.heartbeat.interval.ms', Op.SET, '9000'],
  ]);
  change('of a group, an unknown key deleted', GROUP, 'changing', [['no.such', Op.DELETE, null]]);
  change('of a group, deleted', GROUP, 'changing', [['share.heartbeat.interval.ms', Op.DELETE, null]]);
  look('of a group, with one key less', GROUP, 'changing', [
    'share.heartbeat.interval.ms',
    'streams.num.standby.replicas',
  ]);
  call(
    'AlterConfigs',
    'of a group',
    replace(GROUP, 'changing', { 'consumer.heartbeat.interval.ms': '6000' }),
  );
  look('of a group that was replaced', GROUP, 'changing', [
    'consumer.heartbeat.interval.ms',
    'streams.num.standby.replicas',
  ]);
  call(
    'ListConfigResources',
    'groups that have some',
    { resourceTypes: [GROUP] },
    { versions: [1, 1], except: { fields: ['configResources'], because: 'chapters before left others' } },
  );
  call('AlterConfigs', 'of a group, to nothing', replace(GROUP, 'changing', {}));
  look('of a group without any', GROUP, 'changing', GROUP_KEYS);

  change('of a subscription', CLIENT_METRICS, 'changing', [['metrics', Op.APPEND, 'a.b.,c.d.']]);
  change('of a subscription, with blanks', CLIENT_METRICS, 'changing', [['metrics', Op.APPEND, ' e.f. ']]);
  look('of a subscription', CLIENT_METRICS, 'changing', null);
  change('of a subscription, less', CLIENT_METRICS, 'changing', [['metrics', Op.SUBTRACT, 'a.b.']]);
  change('of a subscription, a match', CLIENT_METRICS, 'changing', [['match', Op.APPEND, 'client_id=x']]);
  change('of a subscription, a match more', CLIENT_METRICS, 'changing', [
    ['match', Op.APPEND, 'client_software_name=y'],
  ]);
  change('of a subscription, a match of everything', CLIENT_METRICS, 'changing', [['match', Op.SET, '']]);
  change('of a subscription, all metrics', CLIENT_METRICS, 'changing', [['metrics', Op.SET, '*']]);
  change('of a subscription, no metrics', CLIENT_METRICS, 'changing', [['metrics', Op.SET, '']]);
  change('of a subscription, a list for a number', CLIENT_METRICS, 'changing', [
    ['interval.ms', Op.APPEND, '1000'],
  ]);
  for (const value of ['99', '100', '3600000', '3600001', '-1', '1.5', ''])
    change(`of a subscription, every ${value} ms`, CLIENT_METRICS, 'changing', [
      ['interval.ms', Op.SET, value],
    ]);
  look('of a subscription that has changed', CLIENT_METRICS, 'changing', null);
  call('AlterConfigs', 'of a subscription', replace(CLIENT_METRICS, 'changing', { 'interval.ms': '7000' }));
  look('of a subscription that was replaced', CLIENT_METRICS, 'changing', null);
  call('AlterConfigs', 'of a subscription, to nothing', replace(CLIENT_METRICS, 'changing', {}));
  look('of a subscription without any', CLIENT_METRICS, 'changing', null);

  change('of a broker, a list', BROKER, '1', [['log.cleanup.policy', Op.APPEND, 'compact']]);
  look('of a broker, a list', BROKER, '1', ['log.cleanup.policy']);
  change('of a broker, a list less', BROKER, '1', [['log.cleanup.policy', Op.SUBTRACT, 'compact']]);
  change('of all brokers, a number more', BROKER, '', [['log.retention.ms', Op.APPEND, '1']], {
    except: WORDS,
  });
  change('of a broker, a number less', BROKER, '1', [['log.retention.ms', Op.SUBTRACT, '1']], {
    except: WORDS,
  });
  change('of a broker, null', BROKER, '1', [['log.retention.ms', Op.SET, null]]);
  change('of a broker, what is not set deleted', BROKER, '1', [['log.retention.bytes', Op.DELETE, null]]);
  change('of a broker, a list deleted', BROKER, '1', [['log.cleanup.policy', Op.DELETE, null]]);
  change('of a broker, a key twice', BROKER, '1', [
    ['log.retention.ms', Op.SET, '8000'],
    ['log.retention.ms', Op.SET, '9000'],
  ]);
  call('AlterConfigs', 'of a broker', replace(BROKER, '1', { 'log.retention.bytes': '9000' }));
  look('of a broker that was replaced', BROKER, '1', ['log.retention.bytes', 'log.cleanup.policy']);
  call('AlterConfigs', 'of a broker, a key that is fixed', replace(BROKER, '1', { 'node.id': '9' }));
  call('AlterConfigs', 'of a broker, to nothing', replace(BROKER, '1', {}));
  look('of a broker without any', BROKER, '1', ['log.retention.bytes']);
  call('AlterConfigs', 'of all brokers', replace(BROKER, '', { 'log.retention.bytes': '9001' }));
  call('AlterConfigs', 'of all brokers, to nothing', replace(BROKER, '', {}));
  call('AlterConfigs', 'of resources that do not exist', {
    resources: [
      ...replace(99, 'x', {}).resources,
      ...replace(TOPIC, '', {}).resources,
      ...replace(GROUP, '', {}).resources,
      ...replace(CLIENT_METRICS, '', {}).resources,
      ...replace(BROKER, '77', {}).resources,
    ],
    validateOnly: false,
  });
});
