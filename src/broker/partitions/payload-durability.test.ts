import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LogErrorCode } from '../../backend/log/errors.ts';
import type { PayloadFile } from '../../backend/payload/ports.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { TestBroker, topicConfig } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const ROUND = { mapBytes: 1 << 20, loadFactor: 0.9, bufferBytes: 65_536 };

describe('payload that was not flushed', () => {
  let directory: string;
  let broker: TestBroker;
  let syncs: number;
  /** With what a flush of payload fails; null: it does not. */
  let failing: string | null;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'payload-durability-'));
    syncs = 0;
    failing = null;
    const config = topicConfig({
      'cleanup.policy': 'compact',
      'payload.min.bytes': '2000',
      'segment.ms': '1000',
      'message.timestamp.after.max.ms': '9223372036854775807',
    });
    broker = await TestBroker.start(directory, [TOPIC], config, (store) => ({
      open: async (path, options) => {
        const file: PayloadFile = await store.open(path, options);
        const sync = file.sync.bind(file);
        file.sync = async () => {
          if (failing) throw Object.assign(new Error('cannot flush'), { code: failing });
          await sync();
          syncs++;
        };
        return file;
      },
      punch: (path, ranges) => store.punch(path, ranges),
      remove: (path) => store.remove(path),
    }));
  });
  afterEach(async () => {
    failing = null;
    await broker.stop();
    rmSync(directory, { recursive: true });
  });

  /** With acks=1. */
  async function produce(value: string, timestamp: number): Promise<void> {
    const record = { key: Buffer.from('k'), value: Buffer.from(value), timestamp: BigInt(timestamp) };
    await broker.partitions.find('t', 0)!.produce(buildBatch([record], {}), null, false);
  }

  async function fill(): Promise<void> {
    await produce('x'.repeat(5000), 1_700_000_000_000);
    await produce('y'.repeat(5000), 1_700_000_000_001);
    await produce('', 1_700_000_005_000);
  }

  it('is flushed before the log takes its references for durable', async () => {
    const { log } = broker.partitions.find('t', 0)!;
    await fill();
    await log.flush();
    assert.ok(syncs > 0, 'by a flush of the log');
    assert.equal(log.flushedOffset, 3n);
  });

  it('is flushed before compaction removes what it supersedes', async () => {
    const { log } = broker.partitions.find('t', 0)!;
    await fill();
    const stats = await log.compaction.run(broker.store, ROUND);
    assert.equal(stats.recordsRemoved, 1);
    assert.ok(syncs > 0);
  });

  it('keeps what it supersedes while it cannot be flushed', async () => {
    const { log } = broker.partitions.find('t', 0)!;
    failing = 'EIO';
    await fill();
    await assert.rejects(log.compaction.run(broker.store, ROUND));
    assert.match(broker.logs.directories[0]!.error!.message, /flushing .*payload.* cannot flush/);
    await log.prepareCheckpoint();
    assert.equal(log.flushedOffset, 0n);
  });

  for (const code of ['EIO', 'ENOSPC'])
    it(`beside the log, takes the directory out of use after ${code}, and is not flushed again`, async () => {
      const { log, payloads } = broker.partitions.find('t', 0)!;
      const storageError = { code: LogErrorCode.KAFKA_STORAGE_ERROR };
      await fill();
      failing = code;
      await assert.rejects(log.flush(), storageError);
      failing = null;
      assert.match(broker.logs.directories[0]!.error!.message, /flushing .*payload.* cannot flush/);
      await assert.rejects(log.flush(), storageError);
      await assert.rejects(produce('z'.repeat(5000), 1_700_000_006_000), storageError);
      payloads.completeAll();
      await payloads.close();
      assert.equal(syncs, 0);
      assert.equal(log.flushedOffset, 0n);
    });
});
