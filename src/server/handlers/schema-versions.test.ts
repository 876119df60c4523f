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
import { ResourceType } from '../../broker/metadata/state.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { alterConfigsHandler } from './33-alter-configs.ts';
import { incrementalAlterConfigsHandler } from './44-incremental-alter-configs.ts';
import { call } from './handler.fixture.ts';

const KEY = 'direct.serializer';
const avro = (...schemas: string[]) => JSON.stringify({ type: 'avro', schemas });

describe('versions of a topic’s schema', () => {
  let broker: TestBroker;
  let configs: ConfigManager;

  beforeEach(async () => {
    broker = await startBroker(new MemoryMetadataLog());
    configs = new ConfigManager(broker.metadata);
    await broker.topics.createTopics([newTopic('a', 1, { [KEY]: avro('int') })]);
  });

  const stored = () => broker.metadata.topicConfig('a').get(KEY);
  /** @param value null deletes */
  const alter = async (value: string | null) => {
    const configOperation = value === null ? AlterOperation.DELETE : AlterOperation.SET;
    const resource = { resourceType: ResourceType.TOPIC, resourceName: 'a' };
    const { responses } = await call(incrementalAlterConfigsHandler({ configs }), 1, {
      resources: [{ ...resource, configs: [{ name: KEY, configOperation, value }] }],
      validateOnly: false,
    });
    return responses[0]!;
  };
  const replace = async (values: Record<string, string>) => {
    const { responses } = await call(alterConfigsHandler({ configs }), 2, {
      resources: [
        {
          resourceType: ResourceType.TOPIC,
          resourceName: 'a',
          configs: Object.entries(values).map(([name, value]) => ({ name, value })),
        },
      ],
      validateOnly: false,
    });
    return responses[0]!;
  };

  it('of several who add one at the same time only the first does', async () => {
    const others = ['long', 'float', 'double', 'string'].map((type) => avro('int', type));
    const codes = (await Promise.all(others.map(alter))).map(({ errorCode }) => errorCode);
    const refused = ErrorCode.INVALID_UPDATE_VERSION;
    assert.deepEqual(codes, [ErrorCode.NONE, refused, refused, refused]);
    assert.equal(stored(), others[0]);
    assert.equal((await alter(avro('int', 'long', 'double'))).errorCode, ErrorCode.NONE);
  });

  it('are lost by no alteration that does not say so', async () => {
    await alter(avro('int', 'long'));
    const losing = [avro('int'), avro('long', 'int'), avro('string'), '{"type":"json"}'];
    for (const answer of await Promise.all([
      ...losing.map(alter),
      ...losing.map((text) => replace({ [KEY]: text, 'retention.ms': '5' })),
    ])) {
      assert.equal(answer.errorCode, ErrorCode.INVALID_UPDATE_VERSION);
      assert.match(
        answer.errorMessage ?? '',
        /^Cannot change direct\.serializer: it has 2 versions of its schema.*to begin anew, delete the config first$/,
      );
    }
    assert.equal(stored(), avro('int', 'long'));
    assert.notEqual(broker.metadata.topicConfig('a').get('retention.ms'), 5);
    assert.equal((await replace({ [KEY]: avro('int', 'long'), 'retention.ms': '5' })).errorCode, 0);
    assert.equal((await alter(null)).errorCode, ErrorCode.NONE);
    assert.equal((await alter('{"type":"msgpack"}')).errorCode, ErrorCode.NONE);
    assert.equal((await alter(avro('string'))).errorCode, ErrorCode.NONE);
    assert.equal(stored(), avro('string'));
  });
});
