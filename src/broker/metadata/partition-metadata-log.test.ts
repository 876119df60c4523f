import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import { ErrorCode } from '../../protocol/errors.ts';
import { BatchHeader } from '../../protocol/records/batch-header.ts';
import { buildControlBatch, ControlType } from '../../protocol/records/control-records.ts';
import { systemClock } from '../../util/clock.ts';
import { newTopic, startBroker } from './metadata.fixture.ts';
import { PartitionMetadataLog, type RecordLog, type SnapshotFiles } from './partition-metadata-log.ts';
import { decodeSnapshot } from './snapshot.ts';

/** A partition's log in memory, whose next write, flush or truncation can fail. */
class MemoryRecordLog implements RecordLog, SnapshotFiles {
  readonly directory = '/data';
  readonly files = new Map<string, Uint8Array>();
  logStartOffset = 0n;
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

  async deleteRecordsBefore(offset: bigint): Promise<bigint> {
    this.logStartOffset = offset;
    return offset;
  }

  async list() {
    return [...this.files.keys(), '/data/quorum-state'].map((path) => ({
      name: path.slice('/data/'.length),
    }));
  }

  async readFile(path: string): Promise<Uint8Array | null> {
    return this.files.get(path) ?? null;
  }

  async replaceFile(path: string, bytes: Uint8Array): Promise<void> {
    this.files.set(path, bytes);
  }

  async remove(path: string): Promise<void> {
    this.files.delete(path);
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
      const { metadata, topics } = await startBroker(new PartitionMetadataLog(log, systemClock, log), {
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
    const { metadata, topics } = await startBroker(new PartitionMetadataLog(log, systemClock, log));
    for (const failure of ['write', 'flush'] as const) {
      const end = log.logEndOffset;
      log.failing.add(failure);
      await assert.rejects(topics.createTopics([newTopic('a')]), { code: ErrorCode.KAFKA_STORAGE_ERROR });
      assert.equal(log.logEndOffset, end);
    }
    await topics.createTopics([newTopic('a')]);
    const restarted = await startBroker(new PartitionMetadataLog(log, systemClock, log));
    assert.equal(restarted.metadata.topicByName('a')?.id, metadata.topicByName('a')?.id);
  });

  it('appends nothing after records that it could not take back', async () => {
    const log = new MemoryRecordLog();
    const { topics } = await startBroker(new PartitionMetadataLog(log, systemClock, log));
    log.failing.add('flush').add('truncate');
    await assert.rejects(topics.createTopics([newTopic('a')]));
    await assert.rejects(topics.createTopics([newTopic('a')]), /unusable since a write failed: EIO/);
  });

  describe('snapshots', () => {
    const overrides = ['metadata.log.max.record.bytes.between.snapshots=1'];

    it('take the place of the log before them, and only the latest is kept', async () => {
      const log = new MemoryRecordLog();
      const first = await startBroker(new PartitionMetadataLog(log, systemClock, log), { overrides });
      for (let n = 0; n < 5; n++)
        await first.topics.createTopics([newTopic(`t${n}`, 2, { 'retention.ms': '7' })]);
      await first.topics.deleteTopics(() => [first.metadata.topicByName('t0')!.id]);
      assert.deepEqual(
        [...log.files.keys()],
        [`/data/${String(log.logEndOffset).padStart(20, '0')}-0000000000.checkpoint`],
      );
      assert.equal(log.logStartOffset, log.logEndOffset);
      const second = await startBroker(new PartitionMetadataLog(log, systemClock, log));
      assert.deepEqual(
        [...second.metadata.topics()].map(({ name, id, partitions }) => [name, id, partitions.length]),
        [...first.metadata.topics()].map(({ name, id, partitions }) => [name, id, partitions.length]),
      );
      assert.equal(second.metadata.topicConfig('t1').get('retention.ms'), 7);
      assert.equal(second.metadata.state.firstLeaderEpoch('t0'), 1);
    });

    it('are refused when damaged, torn or missing', async () => {
      const log = new MemoryRecordLog();
      await startBroker(new PartitionMetadataLog(log, systemClock, log), { overrides });
      const [path, bytes] = [...log.files][0]!;
      const start = () => startBroker(new PartitionMetadataLog(log, systemClock, log));
      log.files.set(
        path,
        bytes.map((byte, index) => (index === bytes.length - 100 ? byte ^ 1 : byte)),
      );
      await assert.rejects(
        start(),
        /snapshot \d+-\d+\.checkpoint of the metadata log cannot be used: the batch .* is damaged/,
      );
      log.files.set(path, bytes.subarray(0, new BatchHeader(bytes).sizeInBytes));
      await assert.rejects(start(), /cannot be used: it is not whole/);
      log.files.clear();
      await assert.rejects(start(), /the metadata log begins at \d+, and no snapshot covers the rest/);
    });

    it('keep what Apache Kafka wrote of its quorum', async () => {
      const log = new MemoryRecordLog();
      const voters = Buffer.from([0, 0, 1, 2, 3]);
      log.append(buildControlBatch(ControlType.leaderChange, Buffer.from([0, 0]), {}));
      log.append(buildControlBatch(ControlType.kraftVersion, Buffer.from([0, 0, 0, 1]), {}));
      log.append(buildControlBatch(ControlType.kraftVoters, Buffer.from([0, 0, 9]), {}));
      log.append(buildControlBatch(ControlType.kraftVoters, voters, {}));
      for (let start = 0; start < 2; start++) {
        const { topics } = await startBroker(new PartitionMetadataLog(log, systemClock, log), {
          seed: start,
          overrides,
        });
        await topics.createTopics([newTopic(`t${start}`)]);
        const found: [number, number[]][] = [];
        decodeSnapshot(
          [...log.files.values()].at(-1)!,
          () => {},
          (type, value) => found.push([type, [...value]]),
        );
        assert.deepEqual(found, [
          [ControlType.kraftVersion, [0, 0, 0, 1]],
          [ControlType.kraftVoters, [...voters]],
        ]);
      }
    });
  });
});
