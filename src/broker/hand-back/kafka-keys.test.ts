import assert from 'node:assert/strict';
import { AlterOperation } from '../configs/alteration.ts';
import { ConfigManager } from '../configs/config-manager.ts';
import { MemoryMetadataLog, newTopic, startBroker } from '../metadata/metadata.fixture.ts';
import { ResourceType } from '../metadata/state.ts';
import { ourValues, textOfValue } from './kafka-keys.ts';

describe('values that Apache Kafka does not know', () => {
  it('are found on topics, brokers and groups, and others are left', async () => {
    const { metadata, topics } = await startBroker(new MemoryMetadataLog());
    const configs = new ConfigManager(metadata);
    await topics.createTopics([newTopic('a', 1, { 'payload.min.bytes': '5', 'retention.ms': '7' })]);
    const { SET } = AlterOperation;
    const set = async (type: number, name: string, values: Record<string, string>) => {
      const alterations = Object.entries(values).map(([key, value]) => ({
        name: key,
        operation: SET,
        value,
      }));
      assert.deepEqual(await configs.incrementalAlter([{ type, name, alterations }], false), [null]);
    };
    await set(ResourceType.TOPIC, 'a', { 'direct.serializer': '{"type":"raw"}' });
    await set(ResourceType.BROKER, '', { 'storage.migrate.bytes.per.second': '1048576' });
    await set(ResourceType.GROUP, 'g', {
      'consumer.session.timeout.ms': '50000',
      'direct.data.selector': '"all"',
    });
    assert.deepEqual(ourValues(metadata.state).map(textOfValue).sort(), [
      'broker (default): storage.migrate.bytes.per.second=1048576',
      'group g: direct.data.selector="all"',
      'topic a: direct.serializer={"type":"raw"}',
      'topic a: payload.min.bytes=5',
    ]);
  });
});
