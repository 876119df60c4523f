import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ErrorCode } from '../../protocol/errors.ts';
import { BatchHeader } from '../../protocol/records/batch-header.ts';
import { systemClock } from '../../util/clock.ts';
import { newTopic, startBroker } from './metadata.fixture.ts';
import { PartitionMetadataLog, type RecordLog } from './partition-metadata-log.ts';

/** A partition's log in memory, whose next write, flush or truncation can fail. */
class MemoryRecordLog implements RecordLog {
  readonly logStartOffset = 0n;
  leaderEpoch = -1;
  highWatermark = 0n;
  failing = new Set<'write' | 'flush' | 'truncate'>();
  batches: { baseOffset: bigint; lastOffset: bigint; bytes: Uint8Array }[] = [];
  held = 0;

  get logEndOffset(): bigint {
    return (this.batches.at(-1)?.lastOffset ?? -1n) + 1n;
  }

  becomeLeader(epoch: number): void {
    assert.ok(epoch > this.leaderEpoch);
    this.leaderEpoch = epoch;
  }

  append(bytes: Uint8Array) {
    const header = new BatchHeader(bytes);
    const baseOffset = this.logEndOffset;
    header.baseOffset = baseOffset;
    if (this.failing.delete('write')) return { written: Promise.reject(new Error('ENOSPC')) };
    this.batches.push({ baseOffset, lastOffset: baseOffset + BigInt(header.recordCount - 1), bytes });
    return { written: Promise.resolve() };
  }

  async flush(): Promise<void> {
    if (this.failing.delete('flush')) throw new Error('EIO');
  }

  async read(from: bigint) {
    const index = this.batches.findIndex(({ lastOffset }) => lastOffset >= from);
    return {
      batches: this.batches.slice(index, index + 2).map(({ lastOffset, bytes }) => ({
        lastOffset,
        position: 0,
        sizeBytes: bytes.byteLength,
        file: { read: async () => this.#memory(bytes) },
      })),
    };
  }

  async truncateTo(offset: bigint): Promise<void> {
    if (this.failing.delete('truncate')) throw new Error('EIO');
    this.batches = this.batches.filter(({ lastOffset }) => lastOffset < offset);
  }

  #memory(bytes: Uint8Array) {
    this.held++;
    return {
      bytes: () => bytes,
      release: () => {
        this.held--;
      },
    };
  }
}

describe('PartitionMetadataLog', () => {
  it('keeps a broker’s state from start to start in one partition', async () => {
    const log = new MemoryRecordLog();
    for (let start = 0; start < 4; start++) {
      const { metadata, topics } = await startBroker(new PartitionMetadataLog(log, systemClock), {
        seed: start,
      });
      assert.deepEqual(
        [...metadata.topics()].map(({ name }) => name),
        Array.from({ length: start }, (_, index) => `t${index}`),
      );
      assert.equal(log.leaderEpoch, start);
      assert.equal(log.batches[0]?.baseOffset, 0n);
      await topics.createTopics([newTopic(`t${start}`, 3)]);
      assert.equal(log.highWatermark, log.logEndOffset);
      assert.equal(log.held, 0);
    }
  });

  it('takes back what could not be made durable', async () => {
    const log = new MemoryRecordLog();
    const { metadata, topics } = await startBroker(new PartitionMetadataLog(log, systemClock));
    for (const failure of ['write', 'flush'] as const) {
      const end = log.logEndOffset;
      log.failing.add(failure);
      await assert.rejects(topics.createTopics([newTopic('a')]), { code: ErrorCode.KAFKA_STORAGE_ERROR });
      assert.equal(log.logEndOffset, end);
    }
    await topics.createTopics([newTopic('a')]);
    const restarted = await startBroker(new PartitionMetadataLog(log, systemClock));
    assert.equal(restarted.metadata.topicByName('a')?.id, metadata.topicByName('a')?.id);
  });

  it('appends nothing after records that it could not take back', async () => {
    const log = new MemoryRecordLog();
    const { topics } = await startBroker(new PartitionMetadataLog(log, systemClock));
    log.failing.add('flush').add('truncate');
    await assert.rejects(topics.createTopics([newTopic('a')]));
    await assert.rejects(topics.createTopics([newTopic('a')]), /unusable since a write failed: EIO/);
  });
});
