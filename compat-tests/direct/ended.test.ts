import assert from 'node:assert/strict';
import { targetIsKafka } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { collect, directScene } from './fixture.ts';

const PULL = { timeoutMs: 20_000 };

describe('consumers of the direct API that have ended', () => {
  if (targetIsKafka) return;
  const scene = directScene();

  it('leave their group to others when they have told why, with all that was pulled before committed', async () => {
    const topic = await scene.client.createTopic('left', {
      partitions: 2,
      partitionSelector: { type: 'round-robin' },
    });
    const producer = topic.producer();
    const push = (n: number) => producer.push({ n });
    await Promise.all([0, 1, 2, 3].map(push));
    const options = { groupId: 'left', heartbeatMs: 100, commitEveryMs: 'manual' } as const;
    const ended = topic.consumer(options);
    const numberOf = ({ metadata }: { metadata: unknown }) => (metadata as { n: number }).n;
    const first = await ended.pull(PULL);
    await scene.client.groups.setDataSelector('left', { type: 'module', module: './unknown.mjs' });
    await until('it has ended', 20_000, () => ended.failure !== null);
    const events = [first!, ...(await collect(3, () => ended.pull(PULL)))];
    for (const event of events) event.acknowledge();
    assert.deepEqual(events.map(numberOf).sort(), [0, 1, 2, 3]);
    await assert.rejects(ended.pull(PULL), { code: 'MODULE' });
    const goesOn = topic.consumer({ ...options, select: 'none' });
    const pulling = collect(2, () => goesOn.pull(PULL));
    await Promise.all([4, 5].map(push));
    assert.deepEqual((await pulling).map(numberOf).sort(), [4, 5]);
    assert.equal((await scene.client.groups.describe('left')).members.length, 1);
    await assert.rejects(ended.pull(PULL), { code: 'MODULE' });
    await assert.rejects(ended.rewind(), { code: 'MODULE' });
    await assert.rejects(ended.subscribe(['left']), { code: 'MODULE' });
    for (const one of [producer, ended, goesOn]) await one.close();
  });
});
