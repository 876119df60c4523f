import assert from 'node:assert/strict';
import type { Consumer } from '../../src/client/index.ts';
import {
  createCreatePartitionsTopic,
  createPartitionsRequest,
} from '../../src/protocol/generated/create-partitions-request.ts';
import { createPartitionsResponse } from '../../src/protocol/generated/create-partitions-response.ts';
import { targetIsKafka } from '../harness/broker.ts';
import { patience, until } from '../harness/child.ts';
import { WireClient } from '../harness/wire-client.ts';
import { directScene } from './fixture.ts';

/** Clients ask every half a minute. */
const NOTICED_MS = 90_000 * patience;

describe('partitions that are added', () => {
  if (targetIsKafka) return;
  const scene = directScene();

  async function addPartitions(name: string, count: number): Promise<void> {
    const wire = await WireClient.connect(scene.gateway.bootstrap);
    const topics = [createCreatePartitionsTopic({ name, count, assignments: null })];
    const { results } = await wire.call([createPartitionsRequest, createPartitionsResponse], 3, {
      topics,
      timeoutMs: 10_000,
      validateOnly: false,
    });
    assert.deepEqual(
      results.map(({ errorCode }) => errorCode),
      [0],
    );
    wire.close();
  }

  it('are read by who reads all, and by groups, and pushed to by who has the topic open', async function () {
    this.timeout(2 * NOTICED_MS);
    const topic = await scene.client.createTopic('grown', { partitionSelector: { type: 'round-robin' } });
    const producer = topic.producer();
    const consumers: Consumer[] = [
      topic.consumer(),
      topic.consumer({ from: 'latest' }),
      topic.consumer({ groupId: 'growing' }),
    ];
    const seen = consumers.map(() => new Set<number>());
    let isOver = false;
    const reading = consumers.map(async (consumer, i) => {
      for await (const event of consumer) {
        seen[i]!.add((event.metadata as { n: number }).n);
        if (isOver) return;
      }
    });
    await until('all read', 20_000 * patience, async () =>
      consumers.every((one) => one.assignment.length === 1),
    );
    await addPartitions('grown', 3);
    // Who has heard of them pushes to them, before the others have.
    const other = await scene.gateway.connect();
    const early = (await other.openTopic('grown')).producer();
    await early.push({ n: -1 }, undefined, { partition: 2 });
    const used = new Set<number>();
    let n = 0;
    await until('all are used', NOTICED_MS, async () => {
      used.add((await producer.push({ n: n++ })).partition);
      return used.size === 3 && consumers.every((one) => one.assignment.length === 3);
    });
    await until('all is read', 20_000 * patience, async () => seen.every(({ size }) => size === n + 1));
    isOver = true;
    for (const one of [producer, early, ...consumers]) await one.close();
    other.close();
    await Promise.all(reading);
  });
});
