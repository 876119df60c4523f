import { chapter } from '../case.ts';
import { alter, DOCUMENTED, describeConfigs, GROUP_KEYS, Op, ResourceType, replace } from './build.ts';

const { TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP } = ResourceType;

export const plainConfigs = chapter(
  'configurations of subscriptions and groups; replacing and listing',
  (call) => {
    call(
      'IncrementalAlterConfigs',
      'a subscription',
      alter(CLIENT_METRICS, 'sub-$v', [
        ['metrics', Op.SET, 'org.apache.kafka.producer.'],
        ['interval.ms', Op.SET, '5000'],
        ['match', Op.SET, 'client_id=a.*,client_software_name=java'],
      ]),
    );
    call('DescribeConfigs', 'a subscription', describeConfigs(CLIENT_METRICS, 'sub-1'), {
      except: DOCUMENTED,
    });
    call(
      'IncrementalAlterConfigs',
      'a subscription, too often',
      alter(CLIENT_METRICS, 'sub-$v', [['interval.ms', Op.SET, '1']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a subscription, too seldom',
      alter(CLIENT_METRICS, 'sub-$v', [['interval.ms', Op.SET, '3600001']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a subscription, no number',
      alter(CLIENT_METRICS, 'sub-$v', [['interval.ms', Op.SET, 'x']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a subscription, an unknown selector',
      alter(CLIENT_METRICS, 'sub-$v', [['match', Op.SET, 'colour=red']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a subscription, a selector without a pattern',
      alter(CLIENT_METRICS, 'sub-$v', [['match', Op.SET, 'client_id']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a subscription, a pattern that is none',
      alter(CLIENT_METRICS, 'sub-$v', [['match', Op.SET, 'client_id=(']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a subscription, an unknown key',
      alter(CLIENT_METRICS, 'sub-$v', [['no.such.key', Op.SET, '1']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a subscription without a name',
      alter(CLIENT_METRICS, '', [['interval.ms', Op.SET, '1000']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a subscription, more metrics',
      alter(CLIENT_METRICS, 'sub-$v', [['metrics', Op.APPEND, 'org.apache.kafka.consumer.']]),
    );
    call('DescribeConfigs', 'a subscription with more metrics', describeConfigs(CLIENT_METRICS, 'sub-1'), {
      except: DOCUMENTED,
    });

    call(
      'IncrementalAlterConfigs',
      'a group',
      alter(GROUP, 'conf-group-$v', [['consumer.session.timeout.ms', Op.SET, '50000']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a group, too short',
      alter(GROUP, 'conf-group-$v', [['consumer.session.timeout.ms', Op.SET, '5']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a group, a heartbeat beyond its session',
      alter(GROUP, 'conf-group-$v', [
        ['consumer.heartbeat.interval.ms', Op.SET, '14000'],
        ['consumer.session.timeout.ms', Op.SET, '45000'],
      ]),
    );
    call(
      'IncrementalAlterConfigs',
      'a group, an unknown key',
      alter(GROUP, 'conf-group-$v', [['no.such.key', Op.SET, '1']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a group, no number',
      alter(GROUP, 'conf-group-$v', [['share.session.timeout.ms', Op.SET, 'x']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a group, no reset',
      alter(GROUP, 'conf-group-$v', [['share.auto.offset.reset', Op.SET, 'sometimes']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a group, a duration',
      alter(GROUP, 'conf-group-$v', [['share.auto.offset.reset', Op.SET, 'by_duration:PT1H']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a group, no duration',
      alter(GROUP, 'conf-group-$v', [['share.auto.offset.reset', Op.SET, 'by_duration:1H']]),
    );
    call(
      'IncrementalAlterConfigs',
      'a group without a name',
      alter(GROUP, '', [['consumer.session.timeout.ms', Op.SET, '50000']]),
    );
    call(
      'DescribeConfigs',
      'a group that is configured',
      describeConfigs(GROUP, 'conf-group-1', GROUP_KEYS),
      {
        except: DOCUMENTED,
      },
    );

    call(
      'AlterConfigs',
      'set',
      replace(TOPIC, 'conf-4', { 'retention.ms': '4$v0000', 'segment.ms': '99999' }),
    );
    call('AlterConfigs', 'set other keys', replace(TOPIC, 'conf-4', { 'flush.ms': '4$v0000' }));
    call(
      'DescribeConfigs',
      'after keys were replaced',
      describeConfigs(TOPIC, 'conf-4', ['retention.ms', 'segment.ms', 'flush.ms']),
    );
    call('AlterConfigs', 'null', replace(TOPIC, 'conf-4', { 'retention.ms': null }));
    call('AlterConfigs', 'an unknown key', replace(TOPIC, 'conf-4', { 'no.such.key': '1' }));
    call('AlterConfigs', 'no number', replace(TOPIC, 'conf-4', { 'retention.ms': 'x' }));
    call('AlterConfigs', 'a topic that does not exist', replace(TOPIC, 'never', { 'retention.ms': '1' }));
    call('AlterConfigs', 'validate only', replace(TOPIC, 'conf-4', { 'retention.ms': '1' }, true));
    call('AlterConfigs', 'no keys', replace(TOPIC, 'conf-4', {}));
    call(
      'DescribeConfigs',
      'after all keys were removed',
      describeConfigs(TOPIC, 'conf-4', ['retention.ms', 'flush.ms']),
    );

    call('ListConfigResources', 'subscriptions', { resourceTypes: [CLIENT_METRICS] });
    call('ListConfigResources', 'groups', { resourceTypes: [GROUP] });
    call('ListConfigResources', 'brokers', { resourceTypes: [BROKER] });
    call('ListConfigResources', 'loggers', { resourceTypes: [BROKER_LOGGER] });
    call(
      'ListConfigResources',
      'topics',
      { resourceTypes: [TOPIC] },
      {
        except: {
          fields: ['configResources'],
          because: 'lists every topic, of which chapters before left different ones',
        },
      },
    );
    call('ListConfigResources', 'what does not exist', { resourceTypes: [3] });
  },
);
