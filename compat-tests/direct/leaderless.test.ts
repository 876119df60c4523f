import assert from 'node:assert/strict';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Consumer } from '../../src/client/index.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience } from '../harness/child.ts';
import { collect, directScene } from './fixture.ts';

const TOPIC = 'spread';
const PARTITIONS = 3;
/** The log of this one cannot be opened for a while. */
const OFFLINE = 1;
const PULL = { timeoutMs: 60_000 * patience };

describe('direct consumers of a topic of which a partition has no leader', () => {
  if (targetIsKafka) return;
  const scene = directScene();

  async function partitionsRead(consumer: Consumer, count: number): Promise<number[]> {
    const events = await collect(count, () => consumer.pull(PULL));
    return events.map(({ partition }) => partition).sort();
  }

  it('read the others, and that one once it has one', async () => {
    const { broker } = scene.gateway;
    const made = await scene.client.createTopic(TOPIC, {
      partitions: PARTITIONS,
      partitionSelector: { type: 'explicit' },
    });
    const producer = made.producer();
    for (let partition = 0; partition < PARTITIONS; partition++)
      await producer.push({ partition }, undefined, { partition });
    await producer.close();

    const log = join(broker.dataDir, `${TOPIC}-${OFFLINE}`);
    const aside = join(broker.dataDir, '..', 'aside');
    await broker.kill('SIGTERM');
    renameSync(log, aside);
    writeFileSync(log, 'in the way');
    await broker.start();
    const { partitions: now } = await scene.client.describeTopic(TOPIC);
    assert.deepEqual(
      now.map(({ leader }) => leader < 0),
      [false, true, false],
    );
    const topic = await scene.client.openTopic(TOPIC);
    const consumers = [
      topic.consumer(),
      topic.consumer({ from: { timestamp: 0 } }),
      topic.consumer({ groupId: 'reading' }),
    ];
    for (const one of consumers) {
      assert.deepEqual(await partitionsRead(one, PARTITIONS - 1), [0, 2]);
      assert.equal(one.assignment.length, PARTITIONS);
      assert.equal(one.failure, null);
    }
    const { partitions } = await scene.client.groups.describe('reading');
    assert.deepEqual(
      partitions.map(({ end }) => end),
      [1n, null, 1n],
    );

    await broker.kill('SIGTERM');
    rmSync(log);
    renameSync(aside, log);
    await broker.start();
    for (const one of consumers) {
      for (;;) if ((await one.pull(PULL))!.partition === OFFLINE) break;
      await one.close();
    }
  });
});
