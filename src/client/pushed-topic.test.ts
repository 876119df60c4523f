import assert from 'node:assert/strict';
import type { Cluster } from './cluster.ts';
import { PushedTopic } from './pushed-topic.ts';
import type { TopicHandle } from './topic.ts';
import { formOfConfigs } from './topic-form.ts';

describe('the topic that is pushed to', () => {
  it('is another from the next attempt on, by partition, once it was made anew with the same form', async () => {
    const configs = [{ name: 'direct.serializer', value: '{"type":"msgpack"}' }];
    let id = 'first';
    const cluster = {
      known: () => ({ id }),
      connection: async () => ({ call: async () => ({ results: [{ errorCode: 0, configs }] }) }),
    } as unknown as Cluster;
    const form = formOfConfigs(new Map([['direct.serializer', '{ "type": "msgpack" }']]), 'test');
    const topic = new PushedTopic({ name: 't', id, form } as TopicHandle, cluster);
    assert.equal(topic.idFor(0, false), 'first');
    id = 'second';
    assert.equal(topic.idFor(0, false), 'first', 'what is under way is refused: it must not be overtaken');
    assert.equal(await topic.idFor(1, false), 'second');
    assert.equal(topic.idFor(0, true), 'second');
    assert.equal(topic.idFor(0, false), 'second');
    id = 'third';
    configs[0]!.value = '{"type":"raw"}';
    await assert.rejects(async () => topic.idFor(0, true), { code: 'CONFLICT' });
    assert.equal(topic.idFor(0, false), 'second');
  });
});
