import assert from 'node:assert/strict';
import type { TopicInfo } from './cluster.ts';
import { Subscription } from './subscription.ts';
import type { TopicHandle } from './topic.ts';

describe('the topics that a consumer reads', () => {
  /** Ids of those that are there; each has two partitions. */
  const there = new Map<string, string>();
  const cluster = {
    isClosed: false,
    topics: async (names: readonly string[] | null) =>
      names!.filter((name) => there.has(name)).map((name) => ({ name, id: there.get(name)! }) as TopicInfo),
  };
  const open = async (name: string) => ({ name, id: there.get(name)!, partitions: 2 }) as TopicHandle;
  let subscription: Subscription;

  beforeEach(async () => {
    for (const name of ['a', 'b']) there.set(name, `${name} 1`);
    subscription = new Subscription(cluster, open, () => undefined);
    subscription.use(await subscription.open(['a', 'b']));
  });

  it('are those that are there, each as it is now', async () => {
    const first = subscription.find('a')!;
    there.delete('a');
    await subscription.refresh();
    assert.equal(subscription.find('a'), null);
    assert.equal(subscription.has(first), false);
    assert.deepEqual(subscription.names, ['a', 'b']);
    assert.deepEqual(subscription.partitions(undefined), [
      { topic: 'b', partition: 0 },
      { topic: 'b', partition: 1 },
    ]);
    there.set('a', 'a 2');
    await subscription.refresh();
    assert.equal(subscription.find('a')?.id, 'a 2');
    assert.equal(subscription.has(first), false);
    assert.deepEqual(subscription.partitions([0]), [
      { topic: 'a', partition: 0 },
      { topic: 'b', partition: 0 },
    ]);
  });

  it('are none when none is there, which is told', async () => {
    const told = () => subscription.absence?.broker;
    there.delete('a');
    await subscription.refresh();
    assert.equal(told(), undefined);
    there.clear();
    await subscription.refresh();
    assert.equal(told(), 'UNKNOWN_TOPIC_OR_PARTITION');
    assert.deepEqual(subscription.partitions(undefined), []);
  });

  it('are others when they were replaced while they were looked for', async () => {
    const looking = subscription.refresh();
    there.set('c', 'c 1');
    subscription.use(await subscription.open(['c']));
    await looking;
    assert.deepEqual(subscription.names, ['c']);
  });
});
