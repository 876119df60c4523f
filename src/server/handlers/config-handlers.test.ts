import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'mocha';
import { AlterOperation } from '../../broker/configs/alteration.ts';
import { ConfigManager } from '../../broker/configs/config-manager.ts';
import {
  MemoryMetadataLog,
  newTopic,
  startBroker,
  type TestBroker,
} from '../../broker/metadata/metadata.fixture.ts';
import { metadataRecord } from '../../broker/metadata/records.ts';
import { ResourceType } from '../../broker/metadata/state.ts';
import { brokerDefinitions, topicKeyDefinitions } from '../../config/index.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import type { LogLevel } from '../../util/logger.ts';
import { describeConfigsHandler } from './32-describe-configs.ts';
import { alterConfigsHandler } from './33-alter-configs.ts';
import { incrementalAlterConfigsHandler } from './44-incremental-alter-configs.ts';
import { listConfigResourcesHandler } from './74-list-config-resources.ts';
import { call, versionsOf } from './handler.fixture.ts';

let broker: TestBroker;
let configs: ConfigManager;
let changes: string[];

beforeEach(async () => {
  changes = [];
  broker = await startBroker(new MemoryMetadataLog(), {
    overrides: ['log.retention.hours=2'],
    listener: {
      topicConfigChanged: ({ name }, config) => changes.push(`${name} ${config.get('retention.ms')}`),
      brokerConfigChanged: (config) => changes.push(`broker ${config.get('log.retention.ms')}`),
    },
  });
  configs = new ConfigManager(broker.metadata);
  await broker.topics.createTopics([newTopic('a', 1, { 'max.message.bytes': '2000' })]);
});

type Operation = [name: string, operation: number, value: string | null];

async function alter(
  resourceType: number,
  resourceName: string,
  operations: Operation[],
  validateOnly = false,
) {
  const { responses } = await call(incrementalAlterConfigsHandler({ configs }), 1, {
    resources: [
      {
        resourceType,
        resourceName,
        configs: operations.map(([name, configOperation, value]) => ({ name, configOperation, value })),
      },
    ],
    validateOnly,
  });
  assert.equal(responses.length, 1);
  return responses[0]!;
}

async function describeResource(resourceType: number, resourceName: string, keys: string[] | null = null) {
  const { results } = await call(describeConfigsHandler({ ...broker, loggers: configs.loggers }), 4, {
    resources: [{ resourceType, resourceName, configurationKeys: keys }],
    includeSynonyms: true,
    includeDocumentation: true,
  });
  return results[0]!;
}

describe('DescribeConfigs', () => {
  it('lists every key of a topic and of the broker, with type and documentation', async () => {
    const topic = await describeResource(ResourceType.TOPIC, 'a');
    assert.deepEqual(
      topic.configs.map(({ name }) => name),
      topicKeyDefinitions.map(({ name }) => name).sort(),
    );
    for (const { documentation, configType } of topic.configs)
      assert.ok(documentation !== null && configType > 0);
    const node = await describeResource(ResourceType.BROKER, '1');
    assert.equal(node.configs.length, brokerDefinitions.length);
    const port = node.configs.find(({ name }) => name === 'num.partitions');
    assert.equal(port?.readOnly, true);
    assert.equal(port?.value, '1');
  });

  it('limits what one answer is made of', async () => {
    const handler = describeConfigsHandler({ ...broker, loggers: configs.loggers });
    const resource = {
      resourceType: ResourceType.BROKER,
      resourceName: '1',
      configurationKeys: ['num.partitions'],
    };
    const { results } = await call(handler, 4, { resources: new Array(5000).fill(resource) });
    assert.equal(results.length, 5000);
    assert.equal(results[0]!.configs.length, 1);
    assert.equal(results[4999]!.errorCode, ErrorCode.POLICY_VIOLATION);
  });

  it('tells where values come from', async () => {
    const { configs: described } = await describeResource(ResourceType.TOPIC, 'a', [
      'max.message.bytes',
      'retention.ms',
      'cleanup.policy',
    ]);
    assert.deepEqual(
      described.map(({ name, value, configSource, synonyms }) => ({ name, value, configSource, synonyms })),
      [
        {
          name: 'cleanup.policy',
          value: 'delete',
          configSource: 5,
          synonyms: [{ name: 'log.cleanup.policy', value: 'delete', source: 5 }],
        },
        {
          name: 'max.message.bytes',
          value: '2000',
          configSource: 1,
          synonyms: [
            { name: 'max.message.bytes', value: '2000', source: 1 },
            { name: 'message.max.bytes', value: '104857600', source: 5 },
          ],
        },
        {
          name: 'retention.ms',
          value: '7200000',
          // As Kafka has it: only what is set under the key's own name, or weaker, is told.
          configSource: 5,
          synonyms: [],
        },
      ],
    );
  });

  it('answers in every version', async () => {
    const handler = describeConfigsHandler({ ...broker, loggers: configs.loggers });
    for (const version of versionsOf(handler)) {
      const { results } = await call(handler, version, {
        resources: [{ resourceType: ResourceType.TOPIC, resourceName: 'a', configurationKeys: null }],
        includeSynonyms: true,
      });
      assert.equal(results[0]?.configs.length, topicKeyDefinitions.length);
    }
  });

  it('refuses resources that do not exist', async () => {
    const refusal = async (type: number, name: string) => {
      const { errorCode, errorMessage } = await describeResource(type, name);
      return [errorCode, errorMessage];
    };
    assert.equal((await refusal(ResourceType.TOPIC, 'nope'))[0], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    assert.equal((await refusal(ResourceType.TOPIC, 'no pe'))[0], ErrorCode.INVALID_TOPIC_EXCEPTION);
    assert.deepEqual(await refusal(ResourceType.BROKER, '7'), [
      ErrorCode.INVALID_REQUEST,
      'Unexpected broker id, expected 1 or empty string, but received 7',
    ]);
    assert.deepEqual(await refusal(ResourceType.BROKER, 'x'), [
      ErrorCode.INVALID_REQUEST,
      'Broker id must be an integer, but it is: x',
    ]);
    assert.deepEqual(await refusal(ResourceType.GROUP, ''), [
      ErrorCode.INVALID_REQUEST,
      'Group name must not be empty',
    ]);
    assert.equal((await refusal(99, 'x'))[0], ErrorCode.INVALID_REQUEST);
  });
});

describe('IncrementalAlterConfigs', () => {
  it('sets, deletes, appends and subtracts, and tells the listeners', async () => {
    const { SET, DELETE, APPEND, SUBTRACT } = AlterOperation;
    const config = () => broker.metadata.topicConfig('a');
    assert.equal((await alter(ResourceType.TOPIC, 'a', [['retention.ms', SET, '5']])).errorCode, 0);
    assert.equal(config().get('retention.ms'), 5);
    await alter(ResourceType.TOPIC, 'a', [['cleanup.policy', APPEND, 'compact,delete']]);
    assert.deepEqual(config().get('cleanup.policy'), ['delete', 'compact']);
    await alter(ResourceType.TOPIC, 'a', [
      ['cleanup.policy', SUBTRACT, 'delete'],
      ['retention.ms', DELETE, null],
    ]);
    assert.deepEqual(config().get('cleanup.policy'), ['compact']);
    assert.equal(config().get('retention.ms'), 7_200_000);
    assert.deepEqual(changes, ['a 5', 'a 5', 'a 7200000']);
  });

  it('changes broker defaults at run time, broker over cluster, and topics follow', async () => {
    const { SET, DELETE } = AlterOperation;
    await alter(ResourceType.BROKER, '', [['log.retention.ms', SET, '100']]);
    await alter(ResourceType.BROKER, '1', [['log.retention.ms', SET, '200']]);
    assert.deepEqual(changes, ['broker 100', 'a 100', 'broker 200', 'a 200']);
    const [described] = (await describeResource(ResourceType.BROKER, '1', ['log.retention.ms'])).configs;
    assert.deepEqual(described?.synonyms, [
      { name: 'log.retention.ms', value: '200', source: 2 },
      { name: 'log.retention.ms', value: '100', source: 3 },
      { name: 'log.retention.hours', value: '2', source: 4 },
      { name: 'log.retention.hours', value: '168', source: 5 },
    ]);
    const defaults = await describeResource(ResourceType.BROKER, '');
    assert.deepEqual(
      defaults.configs.map(({ name, value, configSource }) => [name, value, configSource]),
      [['log.retention.ms', '100', 3]],
    );
    await alter(ResourceType.BROKER, '1', [['log.retention.ms', DELETE, null]]);
    assert.equal(broker.metadata.topicConfig('a').get('retention.ms'), 100);
  });

  it('takes the throttles that kafka-reassign-partitions sets, though one node replicates nothing', async () => {
    const { SET, DELETE } = AlterOperation;
    const rates = ['leader', 'follower'].map((role) => `${role}.replication.throttled.rate`);
    const set = await alter(
      ResourceType.BROKER,
      '1',
      rates.map((rate) => [rate, SET, '1000']),
    );
    assert.equal(set.errorCode, 0, set.errorMessage ?? '');
    const values = async () => (await describeResource(ResourceType.BROKER, '1', rates)).configs;
    assert.deepEqual(
      (await values()).map(({ value }) => value),
      ['1000', '1000'],
    );
    await alter(
      ResourceType.BROKER,
      '1',
      rates.map((rate) => [rate, DELETE, null]),
    );
    assert.deepEqual(
      (await values()).map(({ value }) => value),
      [null, null],
    );
  });

  it('refuses with Kafka’s codes and messages, and changes nothing', async () => {
    const { SET, APPEND } = AlterOperation;
    const cases: [number, string, Operation[], number, RegExp][] = [
      [
        2,
        'a',
        [['retention.ms', SET, 'x']],
        40,
        /^Invalid value x for configuration retention\.ms: Not a number of type LONG$/,
      ],
      [2, 'a', [['retention.ms', SET, null]], 42, /^Null value not supported for : retention\.ms$/],
      [
        2,
        'a',
        [['retention.ms', APPEND, '1']],
        40,
        /^Can't APPEND to key retention\.ms because its type is not LIST\.$/,
      ],
      [2, 'a', [['cleanup.policy', SET, 'shred']], 40, /String must be one of: compact, delete$/],
      [
        2,
        'a',
        [
          ['retention.ms', SET, '1'],
          ['retention.ms', SET, '2'],
        ],
        42,
        /^Error due to duplicate config keys/,
      ],
      [2, 'a', [['remote.storage.enable', SET, 'true']], 40, /Tiered Storage functionality is disabled/],
      [2, 'a', [['retention.ms', 9, '1']], 42, /^Unknown operations type 9$/],
      [2, 'nope', [['retention.ms', SET, '1']], 3, /^The topic 'nope' does not exist\.$/],
      [2, '', [['retention.ms', SET, '1']], 42, /^Default topic resources are not allowed\.$/],
      [
        4,
        '1',
        [['num.partitions', SET, '3']],
        42,
        /^Cannot update these configs dynamically: \[num\.partitions\]$/,
      ],
      [
        4,
        '1',
        [['num.replica.fetchers', SET, '3']],
        42,
        /^Cannot update these configs dynamically: \[num\.replica\.fetchers\]$/,
      ],
      [4, '3', [['log.retention.ms', SET, '3']], 42, /^Unexpected broker id/],
      [4, '', [['log.retention.mss', SET, '3']], 42, /did you mean log\.retention\.ms\?/],
      [8, '1', [['kafka', SET, 'DEBUG']], 40, /^Logger kafka does not exist!$/],
    ];
    for (const [type, name, operations, code, message] of cases) {
      const { errorCode, errorMessage } = await alter(type, name, operations);
      assert.equal(errorCode, code, errorMessage ?? '');
      assert.match(errorMessage ?? '', message);
    }
    assert.deepEqual(changes, []);
    assert.equal((await alter(ResourceType.TOPIC, 'a', [['retention.ms', SET, '1']], true)).errorCode, 0);
    assert.equal(broker.metadata.topicConfig('a').get('retention.ms'), 7_200_000);
  });

  it('alters and removes what is there beside values of a broker that Apache Kafka left', async () => {
    const { SET, DELETE } = AlterOperation;
    const left = { 'num.replica.fetchers': '4', 'num.io.threads': '16', 'cordoned.log.dirs': '/gone' };
    for (const resourceName of ['', '1'])
      await broker.metadata.change(() => ({
        records: Object.entries(left).map(([name, value]) =>
          metadataRecord('config', { resourceType: ResourceType.BROKER, resourceName, name, value }),
        ),
        result: null,
      }));
    for (const name of ['', '1']) {
      const set = await alter(ResourceType.BROKER, name, [['log.cleaner.threads', SET, '2']]);
      assert.equal(set.errorCode, ErrorCode.NONE, set.errorMessage ?? '');
      const keys = Object.keys(left).map((key): Operation => [key, DELETE, null]);
      const removed = await alter(ResourceType.BROKER, name, keys);
      assert.equal(removed.errorCode, ErrorCode.NONE, removed.errorMessage ?? '');
      const values = broker.metadata.state.configs(ResourceType.BROKER, name);
      assert.deepEqual([...values], [['log.cleaner.threads', '2']]);
    }
  });

  it('refuses more changes at once than Kafka takes', async () => {
    const set = (name: string): Operation => [name, AlterOperation.SET, '1'];
    const keys = Array.from({ length: 10_001 }, (_, index) => `key.${index}`);
    const { errorCode } = await alter(ResourceType.TOPIC, 'a', keys.map(set));
    assert.equal(errorCode, ErrorCode.POLICY_VIOLATION);
    assert.equal(
      (await alter(ResourceType.TOPIC, 'a', keys.slice(1).map(set))).errorCode,
      ErrorCode.INVALID_CONFIG,
    );
    const resources = keys.map((resourceName) => ({
      resourceType: ResourceType.GROUP,
      resourceName,
      configs: [],
    }));
    const answers = [
      await call(alterConfigsHandler({ configs }), 1, { resources }),
      await call(incrementalAlterConfigsHandler({ configs }), 1, { resources }),
    ];
    for (const { responses } of answers) {
      assert.equal(responses.length, resources.length);
      for (const one of responses) assert.equal(one.errorCode, ErrorCode.POLICY_VIOLATION);
    }
  });

  it('keeps client metrics and group settings, and lists them', async () => {
    await alter(ResourceType.CLIENT_METRICS, 'sub', [['interval.ms', AlterOperation.SET, '1000']]);
    await alter(ResourceType.GROUP, 'g', [['consumer.session.timeout.ms', AlterOperation.SET, '50000']]);
    const { configs: described } = await describeResource(ResourceType.CLIENT_METRICS, 'sub', [
      'interval.ms',
    ]);
    assert.deepEqual([described[0]?.value, described[0]?.configSource], ['1000', 7]);
    const handler = listConfigResourcesHandler(broker);
    const old = await call(handler, 0, {});
    assert.deepEqual(old.configResources, [{ resourceName: 'sub', resourceType: 16 }]);
    const all = await call(handler, 1, {});
    assert.deepEqual(
      all.configResources.map(({ resourceName, resourceType }) => `${resourceType} ${resourceName}`),
      ['2 a', '4 1', '8 1', '16 sub', '32 g'],
    );
    const unknown = await call(handler, 1, { resourceTypes: [99] });
    assert.equal(unknown.errorCode, ErrorCode.UNSUPPORTED_VERSION);
  });

  it('keeps the data selector of a group, and none that no consumer could use', async () => {
    const KEY = 'direct.data.selector';
    const { SET, DELETE } = AlterOperation;
    const set = async (value: string) => {
      const { errorCode, errorMessage } = await alter(ResourceType.GROUP, 'g', [[KEY, SET, value]]);
      return [errorCode, errorMessage] as const;
    };
    const described = async () => {
      const [one] = (await describeResource(ResourceType.GROUP, 'g', [KEY])).configs;
      return [one?.value, one?.configSource, one?.synonyms];
    };
    const unset = ['', 5, [{ name: KEY, value: '', source: 5 }]];
    assert.deepEqual(await described(), unset);
    const selector = '{"rules": [{"when": {"hot": true}, "select": "all"}]}';
    assert.equal((await set(selector))[0], ErrorCode.NONE);
    const both = [
      { name: KEY, value: selector, source: 8 },
      { name: KEY, value: '', source: 5 },
    ];
    assert.deepEqual(await described(), [selector, 8, both]);
    for (const [wrong, message] of [
      ['all', /^Invalid value all for configuration direct\.data\.selector: it is no JSON/],
      ['{"rules": [{"select": "most"}]}', /: rules\[0\]\.select is "most"/],
      ['{"type": "module"}', /needs "module"/],
    ] as const) {
      const [code, text] = await set(wrong);
      assert.equal(code, ErrorCode.INVALID_CONFIG);
      assert.match(text ?? '', message);
    }
    assert.equal((await described())[0], selector);
    await alter(ResourceType.GROUP, 'g', [[KEY, DELETE, null]]);
    assert.deepEqual(await described(), unset);
  });

  it('refuses forms of topics that no direct client could open', async () => {
    for (const [key, value, message] of [
      ['direct.serializer', 'json', /for configuration direct\.serializer: it is no JSON/],
      ['direct.validator', '{"type": "xml"}', /give an object with a type: none, json-schema, avro, custom/],
      ['direct.partition.selector', '{"type": "field"}', /needs "field" \(string\)/],
    ] as const) {
      const { errorCode, errorMessage } = await alter(ResourceType.TOPIC, 'a', [
        [key, AlterOperation.SET, value],
      ]);
      assert.equal(errorCode, ErrorCode.INVALID_CONFIG);
      assert.match(errorMessage ?? '', message);
    }
    const module = '{"type": "module", "module": "acme-forms"}';
    const allowed = await alter(ResourceType.TOPIC, 'a', [
      ['direct.validator', AlterOperation.SET, module],
      ['direct.serializer', AlterOperation.SET, ''],
    ]);
    assert.equal(allowed.errorCode, ErrorCode.NONE);
  });
});

describe('AlterConfigs', () => {
  it('replaces all values of a resource in every version, and refuses a resource twice', async () => {
    const handler = alterConfigsHandler({ configs });
    for (const version of versionsOf(handler)) {
      const resource = {
        resourceType: ResourceType.TOPIC,
        resourceName: 'a',
        configs: [{ name: 'retention.ms', value: String(version + 10) }],
      };
      const { responses } = await call(handler, version, { resources: [resource] });
      assert.equal(responses[0]?.errorCode, 0);
      assert.equal(broker.metadata.topicConfig('a').get('retention.ms'), version + 10);
      assert.equal(broker.metadata.topicConfig('a').get('max.message.bytes'), 104857600);
      const twice = await call(handler, version, { resources: [resource, resource] });
      assert.deepEqual(
        twice.responses.map(({ errorCode, errorMessage }) => [errorCode, errorMessage]),
        [0, 1].map(() => [ErrorCode.INVALID_REQUEST, 'Each resource must appear at most once.']),
      );
    }
  });
});

describe('the levels of loggers', () => {
  const { BROKER_LOGGER } = ResourceType;
  let levels: Map<string, LogLevel>;

  beforeEach(() => {
    levels = new Map([
      ['root', 'info'],
      ['groups', 'warn'],
    ]);
    configs = new ConfigManager(broker.metadata, {
      levels: () => levels,
      set: (name, level) => levels.set(name, level ?? 'info'),
    });
  });

  it('are described and altered, all at once or not at all', async () => {
    const described = async () =>
      (await describeResource(BROKER_LOGGER, '1')).configs.map(
        ({ name, value, configSource }) => `${name} ${value} ${configSource}`,
      );
    assert.deepEqual(await described(), ['root INFO 6', 'groups WARN 6']);
    const refused = await alter(BROKER_LOGGER, '1', [
      ['groups', AlterOperation.SET, 'DEBUG'],
      ['root', AlterOperation.DELETE, null],
    ]);
    assert.equal(refused.errorCode, ErrorCode.INVALID_REQUEST);
    await alter(BROKER_LOGGER, '1', [['root', AlterOperation.SET, 'ERROR']], true);
    assert.deepEqual(await described(), ['root INFO 6', 'groups WARN 6']);
    const operations: Operation[] = [
      ['root', AlterOperation.SET, 'TRACE'],
      ['groups', AlterOperation.DELETE, ''],
    ];
    assert.equal((await alter(BROKER_LOGGER, '1', operations)).errorCode, ErrorCode.NONE);
    assert.deepEqual(await described(), ['root TRACE 6', 'groups INFO 6']);
  });

  it('are refused as Kafka refuses them', async () => {
    for (const [resourceName, operation, code] of [
      ['7', ['root', AlterOperation.SET, 'DEBUG'], ErrorCode.INVALID_REQUEST],
      ['x', ['root', AlterOperation.SET, 'DEBUG'], ErrorCode.INVALID_REQUEST],
      ['1', ['root', AlterOperation.SET, 'debug'], ErrorCode.INVALID_CONFIG],
      ['1', ['nothing', AlterOperation.SET, 'DEBUG'], ErrorCode.INVALID_CONFIG],
      ['1', ['nothing', AlterOperation.DELETE, ''], ErrorCode.INVALID_CONFIG],
      ['1', ['root', AlterOperation.APPEND, 'DEBUG'], ErrorCode.INVALID_REQUEST],
      ['1', ['root', 9, 'DEBUG'], ErrorCode.INVALID_REQUEST],
    ] as const)
      assert.equal(
        (await alter(BROKER_LOGGER, resourceName, [[...operation]])).errorCode,
        code,
        `${operation}`,
      );
    assert.equal((await describeResource(BROKER_LOGGER, '7')).errorCode, ErrorCode.INVALID_REQUEST);
    assert.equal(levels.get('root'), 'info');
  });
});
