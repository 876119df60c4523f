import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats } from '../../native/arena.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { inNativeMemory, TestBroker, topicConfig, withoutPlace } from './testing.ts';

const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const RECYCLED_BYTES = 20 << 20;
const LOG = '00000000000000000000.log';
const PAYLOAD = 'payload/00000000000000000000.payload';

describe('A partition that begins with the space of removed segments', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'recycled-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  async function produce(broker: TestBroker, batches: readonly Uint8Array[]): Promise<void> {
    const partition = broker.partitions.find('t', 0)!;
    for (const batch of batches) {
      const frame = inNativeMemory(batch);
      await partition.produce(frame.bytes(), frame, true);
      frame.release();
    }
  }

  for (const [minBytes, path] of [
    ['-1', LOG],
    ['1000', PAYLOAD],
  ] as const) {
    it(`is recovered after a crash like any other, and never shows old bytes (${path})`, async () => {
      const config = topicConfig({ 'payload.min.bytes': minBytes });
      const file = join(directory, 't-0', path);
      const old = join(directory, 'recycled-7.free');
      writeFileSync(old, Buffer.alloc(RECYCLED_BYTES, 0xff));
      let broker = await TestBroker.start(directory, [TOPIC], config);
      await broker.store.recycleIn(directory, 1 << 30);
      const batches = Array.from({ length: 4 }, (_, i) =>
        buildBatch([{ key: null, value: Buffer.alloc(300_000, i + 1) }], { timestamp: BigInt(Date.now()) }),
      );
      await produce(broker, batches.slice(0, 3));
      assert.ok(!existsSync(old));
      // A file system that cannot make a range zero has removed the file: nothing is recycled there.
      if (broker.store.stats().recycledFiles === 0) return broker.stop();
      assert.equal(statSync(file).size, RECYCLED_BYTES);
      await broker.crash();

      broker = await TestBroker.start(directory, [TOPIC], config);
      await produce(broker, batches.slice(3));
      const { bytes } = await broker.fetch('t', 0, 0n);
      const wanted = Buffer.concat(batches);
      assert.equal(bytes.byteLength, wanted.byteLength);
      const size = batches[0]!.byteLength;
      for (let at = 0; at < bytes.byteLength; at += size) {
        const got = withoutPlace(bytes.subarray(at, at + size));
        assert.ok(got.equals(withoutPlace(wanted.subarray(at, at + size))), `the batch at ${at}`);
      }
      await broker.stop();
      assert.ok(statSync(file).size < RECYCLED_BYTES / 10);
    });
  }
});
