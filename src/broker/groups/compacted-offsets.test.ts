import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeededRandom } from '../../util/testing/seeded-random.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { OFFSETS_TOPIC } from '../metadata/topic-name.ts';
import { TestBroker, topicConfig } from '../partitions/testing.ts';
import { PartitionOffsetsLog } from './partition-offsets-log.ts';

const TOPIC = {
  name: OFFSETS_TOPIC,
  id: 'AAAAAAAAAAAAAAAAAAAABQ',
  partitions: [{ index: 0, leaderEpoch: 0 }],
};
const ROUND = { mapBytes: 1 << 20, loadFactor: 0.9, bufferBytes: 65_536 };

describe('__consumer_offsets, compacted', () => {
  it('is read back to what was written last, with transactions and tombstones', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'compacted-offsets-'));
    const config = topicConfig({
      'cleanup.policy': 'compact',
      'segment.ms': '1000',
      'delete.retention.ms': '0',
    });
    const broker = await TestBroker.start(directory, [TOPIC], config);
    const clock = new VirtualClock();
    const log = new PartitionOffsetsLog(broker.partitions, clock);
    const partition = broker.partitions.find(OFFSETS_TOPIC, 0)!;
    const random = new SeededRandom(7);
    const model = new Map<string, string>();
    const keep = (key: string, value: string | null) => {
      if (value === null) model.delete(key);
      else model.set(key, value);
    };

    async function replayed(): Promise<Map<string, string>> {
      const found = new Map<string, string>();
      const pending = new Map<bigint, [string, string][]>();
      await log.replay(0, {
        record(key, value, producerId) {
          const name = Buffer.from(key).toString();
          if (producerId !== null) {
            const records = pending.get(producerId) ?? [];
            pending.set(producerId, [...records, [name, Buffer.from(value!).toString()]]);
          } else if (value === null) found.delete(name);
          else found.set(name, Buffer.from(value).toString());
        },
        transactionEnded(producerId, committed) {
          if (committed) for (const [key, value] of pending.get(producerId) ?? []) found.set(key, value);
          pending.delete(producerId);
        },
      });
      return found;
    }

    try {
      for (let step = 0; step < 400; step++) {
        clock.tick(random.below(100));
        const key = `group-${random.below(15)}`;
        const value = random.chance(0.2) ? null : `offset ${step}`;
        if (random.chance(0.2)) {
          const producer = { producerId: 5n, producerEpoch: 0 };
          const commit = random.chance(0.5);
          const records = [{ key: Buffer.from(key), value: Buffer.from(`in a transaction ${step}`) }];
          await log.append(0, records, producer);
          await log.appendMarker(0, { ...producer, coordinatorEpoch: 0, commit });
          if (commit) keep(key, `in a transaction ${step}`);
        } else {
          await log.append(0, [{ key: Buffer.from(key), value: value === null ? null : Buffer.from(value) }]);
          keep(key, value);
        }
        if (step % 50 === 49) {
          await partition.log.compaction.run(broker.store, ROUND);
          assert.deepEqual(await replayed(), model);
        }
      }
      const { recordsRemoved } = await partition.log.compaction.run(broker.store, ROUND);
      assert.ok(partition.log.compaction.cleanedOffset > 300n && recordsRemoved >= 0);
      assert.deepEqual(await replayed(), model);
      assert.ok(partition.log.sizeBytes < 20_000, `${partition.log.sizeBytes} bytes`);
    } finally {
      await broker.stop();
      rmSync(directory, { recursive: true });
    }
  });
});
