// What compaction-kill.test.ts runs and kills: compaction-kill.child.js <directory> <name of shared memory> <seed>
//
// Reads from standard input what earlier processes acknowledged, as lines `acknowledged offset key number`; checks that the last of each key is
// there; then produces and compacts without end, and writes a line for each batch that is acknowledged.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { configureArena, releaseSharedArena } from '../../native/arena.ts';
import { Codec, compress, decompress } from '../../native/codec.ts';
import { recoverAcknowledged } from '../../native/journal.ts';
import { BatchHeader, splitBatches } from '../../protocol/records/batch-header.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { readRecords } from '../../protocol/records/reader.ts';
import { childOfLoop } from './kill-loop.fixture.ts';
import { inNativeMemory, TestBroker, topicConfig } from './testing.ts';

const KEYS = 12;
const TOPIC = { name: 't', id: 'AAAAAAAAAAAAAAAAAAAABQ', partitions: [{ index: 0, leaderEpoch: 0 }] };
const ROUND = { mapBytes: 1 << 20, loadFactor: 0.9, bufferBytes: 65_536 };
const { directory, name, seed, random, isLast } = childOfLoop();
configureArena(64 << 20, name);

const config = topicConfig({
  'cleanup.policy': 'compact',
  'payload.min.bytes': '20000',
  'payload.segment.bytes': '1048576',
  'segment.ms': '15',
  'file.delete.delay.ms': '20',
});
const broker = await TestBroker.start(directory, [TOPIC], config, undefined, {
  beforeLoading: async () => {
    assert.deepEqual((await recoverAcknowledged(name)).problems, []);
  },
});
const partition = broker.partitions.find('t', 0)!;
await check();
writeSync(1, 'checked\n');

void compactForEver();
for (let number = seed * 1_000_000; ; number++) {
  const key = `k${random.below(KEYS)}`;
  const frame = inNativeMemory(batchOf(key, number));
  const { baseOffset } = await partition.produce(frame.bytes(), frame, random.chance(0.5));
  frame.release();
  writeSync(1, `acknowledged ${baseOffset} ${key} ${number}\n`);
}

async function compactForEver(): Promise<void> {
  for (;;) {
    await partition.log.compaction.run(broker.store, ROUND);
    await new Promise((done) => setTimeout(done, random.below(10)));
  }
}

/** Values that say which they are; every third is diverted. */
function contentOf(number: number): Buffer {
  const value = Buffer.alloc(number % 3 === 0 ? 30_000 + (number % 7) * 10_000 : 200, number);
  value.writeUInt32BE(number);
  return value;
}

function batchOf(key: string, number: number): Uint8Array {
  const codec = random.pick([Codec.NONE, Codec.NONE, Codec.LZ4, Codec.ZSTD]);
  const record = { key: Buffer.from(key), value: contentOf(number), timestamp: BigInt(Date.now()) };
  const packs = codec !== Codec.NONE && { compress: (section: Uint8Array) => compress(codec, section) };
  return buildBatch([record], { attributes: codec, ...packs });
}

async function check(): Promise<void> {
  const acknowledged = new Map<string, { offset: bigint; number: number }>();
  for (const line of readFileSync(0, 'utf8').split('\n')) {
    const [what, offset, key, number] = line.split(' ');
    if (what === 'acknowledged') acknowledged.set(key!, { offset: BigInt(offset!), number: Number(number) });
  }
  const latest = new Map<string, { offset: bigint; number: number }>();
  for (let offset = 0n; offset < partition.highWatermark; ) {
    const { result, bytes } = await broker.fetch('t', 0, offset, { maxBytes: 1 << 20 });
    assert.equal(result.errorCode, 0, `offset ${offset}`);
    const batches = splitBatches(bytes);
    assert.ok(batches.length > 0, `nothing at ${offset}`);
    for (const batch of batches) {
      const unpack = (codec: number, section: Uint8Array) => decompress(codec as Codec, section, 1 << 24);
      for (const record of readRecords(batch.bytes, unpack)) {
        const value = Buffer.from(record.value!);
        const number = value.readUInt32BE();
        assert.ok(value.equals(contentOf(number)), `offset ${record.offset}, number ${number}`);
        latest.set(String(Buffer.from(record.key!)), { offset: record.offset, number });
      }
      offset = new BatchHeader(batch.bytes).lastOffset + 1n;
    }
  }
  for (const [key, { offset, number }] of acknowledged) {
    const found = latest.get(key);
    // What was written and not acknowledged may be there, too.
    if (found !== undefined && found.offset > offset) continue;
    assert.deepEqual(found, { offset, number }, key);
  }
  for (const file of readdirSync(join(directory, 't-0'))) assert.ok(!/\.(swap|cleaned)$/.test(file), file);
  if (isLast) {
    await broker.stop();
    releaseSharedArena();
    process.exit(0);
  }
}
