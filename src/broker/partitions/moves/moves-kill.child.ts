// What moves-kill.test.ts runs and kills: moves-kill.child.js <directory> <name of shared memory> <seed>
//
// Reads from standard input what earlier processes acknowledged, as lines `offset number`; checks that it is all there; then produces, moves and
// deletes without end, and writes a line for each batch that is acknowledged, each log start that was asked for and each move.
import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import type { FileSystem } from '../../../backend/log/ports.ts';
import { configureArena, releaseSharedArena } from '../../../native/arena.ts';
import { recoverAcknowledged } from '../../../native/journal.ts';
import { childOfLoop, writtenBefore } from '../kill-loop.fixture.ts';
import { batchOf, MoveFixture } from './moves.fixture.ts';

const { directory: root, name, seed, random, isLast } = childOfLoop();
configureArena(64 << 20, name);

const fixture = new MoveFixture(root);
await fixture.start({
  faulty,
  beforeLoading: async () => {
    assert.deepEqual((await recoverAcknowledged(name)).problems, []);
  },
});
await check();
writeSync(1, 'checked\n');

let moved = 0;
alterAgain();
for (let number = seed * 1_000_000; ; number++) {
  const offset = await fixture.produceOne(number);
  writeSync(1, `acknowledged ${offset} ${number}\n`);
  await new Promise((resolve) => setImmediate(resolve));
  if (random.chance(0.02)) {
    const kept = BigInt(random.integer(20, 200));
    if (offset > kept) {
      writeSync(1, `deleting ${offset - kept} 0\n`);
      await fixture.partition.deleteRecordsBefore(offset - kept);
      await fixture.partition.log.deleteOldSegments();
    }
  }
}

/** Soon after the time before, or after as long as a slow machine needs for a move. */
function alterAgain(): void {
  const { completed } = fixture.broker.moves.metrics;
  for (; moved < completed; moved++) writeSync(1, 'moved 0 0\n');
  fixture.alter(random.below(3));
  setTimeout(alterAgain, 2 ** random.integer(2, 9));
}

/** The steps of a move take little time for others to kill it in. */
function faulty(fileSystem: FileSystem): FileSystem {
  const step = async (isOne: boolean, action: () => Promise<void>) => {
    const dies = isOne && !isLast && random.chance(0.03);
    if (dies && random.chance(0.5)) process.kill(process.pid, 'SIGKILL');
    await action();
    if (dies) process.kill(process.pid, 'SIGKILL');
  };
  return {
    ...fileSystem,
    rename: (from, to) => step(/-future$|-delete$/.test(from + to), () => fileSystem.rename(from, to)),
    publishCopy: (from, copy, to) => step(random.chance(0.1), () => fileSystem.publishCopy(from, copy, to)),
    replaceFile: (path, bytes) => step(path.includes('-future/'), () => fileSystem.replaceFile(path, bytes)),
  };
}

async function check(): Promise<void> {
  const { acknowledged, deleted } = writtenBefore();
  assert.deepEqual(
    fixture.found().filter((found) => found.endsWith('/t-0')),
    [`${fixture.at}/t-0`],
  );
  const start = fixture.partition.logStartOffset;
  assert.ok(start <= deleted, `the log begins at ${start}, and ${deleted} was asked for`);
  for (const [offset, number] of acknowledged) {
    if (offset < start) continue;
    const { result, bytes } = await fixture.broker.fetch('t', 0, offset, { maxBytes: 1 });
    assert.equal(result.errorCode, 0, `offset ${offset}`);
    assert.equal(bytes.readBigInt64BE(), offset);
    assert.ok(bytes.subarray(21).equals(batchOf(number).subarray(21)), `offset ${offset}, number ${number}`);
  }
  if (!isLast) return;
  await fixture.settled();
  await fixture.broker.stop();
  releaseSharedArena();
  process.exit(0);
}
