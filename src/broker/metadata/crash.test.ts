import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import type { PartitionLog } from '../../backend/log/partition-log.ts';
import { LogFixture } from '../../backend/log/testing/log-fixture.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { newTopic, seededRandom, startBroker, type TestBroker } from './metadata.fixture.ts';
import { PartitionMetadataLog } from './partition-metadata-log.ts';

/** What was acknowledged: it must be there after every crash. */
interface Acknowledged {
  readonly topics: Map<string, number>;
  readonly deleted: Set<string>;
  nextProducerId: bigint;
}

/** Starts changes one after the other without waiting, and notes those that are acknowledged before the crash. */
function work(broker: TestBroker, acknowledged: Acknowledged, name: string, random: () => number): void {
  const { topics, metadata } = broker;
  const partitions = 1 + Math.floor(random() * 4);
  topics.createTopics([newTopic(name, partitions)]).then(
    ([outcome]) => {
      if (outcome?.error === null) acknowledged.topics.set(name, partitions);
    },
    () => undefined,
  );
  metadata.allocateProducerIds().then(
    ({ first, size }) => {
      acknowledged.nextProducerId = first + BigInt(size);
    },
    () => undefined,
  );
  const victim = [...acknowledged.topics.keys()][0];
  if (victim === undefined || random() < 0.6) return;
  const { id } = metadata.topicByName(victim)!;
  acknowledged.topics.delete(victim);
  topics
    .deleteTopics(() => [id])
    .then(
      () => acknowledged.deleted.add(victim),
      () => undefined,
    );
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('ClusterMetadata on disk', () => {
  for (const seed of [11, 12, 13, 14]) {
    it(`keeps everything acknowledged through crashes (seed ${seed})`, async () => {
      const random = seededRandom(seed);
      const fixture = new LogFixture(seed, { segmentBytes: 32_768, cleanupDelete: false });
      let log: PartitionLog = await fixture.open();
      const acknowledged: Acknowledged = { topics: new Map(), deleted: new Set(), nextProducerId: 0n };
      for (let round = 0; round < 15; round++) {
        const broker = await startBroker(new PartitionMetadataLog(log, fixture.clock, fixture.files), {
          seed: seed * 100 + round,
          overrides: ['metadata.log.max.record.bytes.between.snapshots=3000'],
        });
        for (const [name, partitions] of acknowledged.topics) {
          assert.equal(
            broker.metadata.topicByName(name)?.partitions.length,
            partitions,
            `${name}, round ${round}`,
          );
        }
        for (const name of acknowledged.deleted) assert.equal(broker.metadata.topicByName(name), undefined);
        assert.ok(broker.metadata.state.nextProducerId >= acknowledged.nextProducerId);
        for (let step = 0; step < 6; step++) {
          work(broker, acknowledged, `t${round}-${step}`, random);
          await turns(Math.floor(random() * 12));
        }
        log = await fixture.crash({ power: random() < 0.7 });
      }
      assert.ok(acknowledged.topics.size > 0);
    });
  }

  it('goes on after a full disk, and starts with what it had', async () => {
    const fixture = new LogFixture(21, { cleanupDelete: false });
    const log = await fixture.open();
    const { topics, metadata } = await startBroker(
      new PartitionMetadataLog(log, fixture.clock, fixture.files),
    );
    await topics.createTopics([newTopic('before')]);
    fixture.files.capacityBytes = fixture.files.usedBytes() + 100;
    await assert.rejects(topics.createTopics([newTopic('full', 20)]), {
      code: ErrorCode.KAFKA_STORAGE_ERROR,
    });
    fixture.files.capacityBytes = Number.POSITIVE_INFINITY;
    await turns(20);
    await topics.createTopics([newTopic('after')]);
    assert.deepEqual(
      [...metadata.topics()].map(({ name }) => name),
      ['before', 'after'],
    );
    const restarted = await startBroker(
      new PartitionMetadataLog(await fixture.reopen(), fixture.clock, fixture.files),
      {
        seed: 2,
      },
    );
    assert.deepEqual(
      [...restarted.metadata.topics()].map(({ name }) => name),
      ['before', 'after'],
    );
  });
});
