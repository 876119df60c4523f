// What tiers-kill.test.ts runs and kills: tiers-kill.child.js <directory> <name of shared memory> <seed>
//
// Reads from standard input what earlier processes acknowledged, as lines `offset number`; checks that it is all there; then produces, moves and
// deletes without end, and writes a line for each batch that is acknowledged and for each log start that was asked for.
import assert from 'node:assert/strict';
import { readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { configureArena, releaseSharedArena } from '../../native/arena.ts';
import { recoverAcknowledged } from '../../native/journal.ts';
import { buildBatch } from '../../protocol/records/builder.ts';
import { childOfLoop, writtenBefore } from './kill-loop.fixture.ts';
import { inNativeMemory } from './testing.ts';
import { TierFixture } from './tiers.fixture.ts';

const MIB = 1 << 20;
const { directory: root, name, seed, random, isLast } = childOfLoop();
configureArena(64 * MIB, name);

const memory = process.env.TIERS_MEMORY || null;
const tiers = new TierFixture(root, memory);
let threshold = 0.5;
const broker = await tiers.start({
  sizes: [[4 * MIB, 4 * MIB], [12 * MIB], [-1]],
  settings: () => ({ threshold, bytesPerSecond: -1 }),
  memory: () => ({ mayLose: true, maxAgeMs: memory === null ? -1 : random.pick([-1, 0, 100]) }),
  // Between a copy and the removal of its original, and between two removals, there is little time for others to kill it.
  wrap: (store) => ({
    open: (path, options) => store.open(path, options),
    punch: (path, ranges) => store.punch(path, ranges),
    remove: (path) => {
      if (!isLast && random.chance(0.02)) process.kill(process.pid, 'SIGKILL');
      return store.remove(path);
    },
  }),
  beforeLoading: async () => {
    assert.deepEqual((await recoverAcknowledged(name)).problems, []);
  },
});
const partition = broker.partitions.find('t', 0)!;
await check();
writeSync(1, 'checked\n');

setInterval(() => {
  threshold = random.pick([0, 0.2, 0.5, 0.9]);
}, 20);
setInterval(() => broker.tiers.migrator.look(), 2);
for (let number = seed * 1_000_000; ; number++) {
  const batch = batchOf(number);
  const frame = inNativeMemory(batch);
  const { baseOffset } = await partition.produce(frame.bytes(), frame, random.chance(0.5));
  frame.release();
  writeSync(1, `acknowledged ${baseOffset} ${number}\n`);
  if (random.chance(0.05)) {
    const kept = BigInt(random.integer(5, 60));
    if (baseOffset > kept) {
      writeSync(1, `deleting ${baseOffset - kept} 0\n`);
      await partition.deleteRecordsBefore(baseOffset - kept);
    }
  }
}

/** A batch whose content says which it is. */
function batchOf(number: number): Uint8Array {
  const value = Buffer.alloc(100_000 + (number % 7) * 50_000, number);
  value.writeUInt32BE(number);
  return buildBatch([{ key: null, value }], { timestamp: 1_700_000_000_000n });
}

async function check(): Promise<void> {
  const { acknowledged, deleted } = writtenBefore();
  const start = partition.logStartOffset;
  assert.ok(start <= deleted, `the log begins at ${start}, and ${deleted} was asked for`);
  for (const [offset, number] of acknowledged) {
    if (offset < start) continue;
    const { result, bytes } = await broker.fetch('t', 0, offset, { maxBytes: 1 });
    assert.equal(result.errorCode, 0, `offset ${offset}`);
    assert.equal(bytes.readBigInt64BE(), offset);
    const expected = batchOf(number);
    assert.ok(bytes.subarray(21).equals(expected.subarray(21)), `offset ${offset}, number ${number}`);
  }
  tiers.checkSpace();
  const segments = new Set<string>();
  for (const { paths } of broker.tiers.tiers) {
    for (const { path } of paths) {
      for (const file of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
        assert.ok(!file.endsWith('.moving'), file);
        if (!file.endsWith('.payload')) continue;
        assert.ok(!segments.has(file), `${join(path, file)} is there twice`);
        segments.add(file);
      }
    }
  }
  if (isLast) {
    await tiers.stop();
    releaseSharedArena();
    process.exit(0);
  }
}
