import assert from 'node:assert/strict';
import type { TopicInfo } from './cluster.ts';
import { countsOf, TopicWatch } from './topic-watch.ts';

describe('topics that are watched', () => {
  const counts = new Map<string, number>();
  let id: string;
  let isAway = false;
  let asked = 0;
  let changes: number;
  let watch: TopicWatch;

  const cluster = {
    isClosed: false,
    topics: async (names: readonly string[] | null) => {
      asked++;
      if (isAway) throw new Error('away');
      const there = names!.filter((name) => counts.has(name));
      return there.map(
        (name) => ({ name, id, partitions: Array(counts.get(name)!).fill({}) }) as unknown as TopicInfo,
      );
    },
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  beforeEach(() => {
    counts.clear();
    id = 'first';
    isAway = false;
    cluster.isClosed = false;
    changes = 0;
    watch = new TopicWatch(cluster, () => changes++, 5);
  });
  afterEach(() => watch.end());

  it('change when partitions are added, and when they come or go', async () => {
    counts.set('a', 2).set('gone', 1);
    for (const change of [
      () => counts.set('a', 3),
      () => counts.delete('gone'),
      () => counts.set('none', 1),
    ]) {
      watch.watch(await countsOf(cluster, ['a', 'gone', 'none']));
      changes = 0;
      await pause(30);
      assert.equal(changes, 0);
      change();
      await pause(30);
      assert.ok(changes > 0);
    }
  });

  it('change when one is made anew, where that matters', async () => {
    counts.set('a', 2);
    for (const ids of [new Map([['a', 'first']]), undefined]) {
      id = 'first';
      watch.watch(await countsOf(cluster, ['a']), ids);
      await pause(30);
      assert.equal(changes, 0);
      id = 'second';
      await pause(30);
      assert.equal(changes > 0, ids !== undefined);
      changes = 0;
    }
  });

  it('are looked at again when nobody could tell', async () => {
    counts.set('a', 2);
    watch.watch(new Map([['a', 1]]));
    isAway = true;
    await pause(30);
    assert.equal(changes, 0);
    isAway = false;
    await pause(30);
    assert.ok(changes > 0);
  });

  it('are not when the client is closed, or the watch has ended', async () => {
    counts.set('a', 2);
    for (const end of [
      () => watch.end(),
      () => {
        cluster.isClosed = true;
      },
    ]) {
      watch.watch(new Map([['a', 1]]));
      end();
      asked = 0;
      await pause(30);
      assert.deepEqual([asked, changes], [0, 0]);
    }
  });
});
