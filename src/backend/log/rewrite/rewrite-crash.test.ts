import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { BatchHeader } from '../../../protocol/records/batch-header.ts';
import type { PartitionLog } from '../partition-log.ts';
import type { BatchInfo } from '../ports.ts';
import { testBatch } from '../testing/batches.ts';
import { LogFixture, readAll } from '../testing/log-fixture.ts';
import type { BatchRewriter, Replacement } from './rewrite-segments.ts';

const SEEDS = Number(process.env.KAFABRIC_REWRITE_CRASHES ?? 60);
const BATCHES = 60;
/** Marks the batches that are to be replaced. */
const MARK = 0x4000;

/** A batch at an offset: `marked` ones are small and become large. */
function batchAt(index: number, marked: boolean, large: boolean): Uint8Array {
  const value = `${index}${large ? ' '.repeat(400) : ''}`;
  const record = { key: 'k', value, timestamp: 1_700_000_000_000 + index };
  return testBatch([record], { baseOffset: BigInt(index), attributes: marked ? MARK : 0 });
}

class Enlarging implements BatchRewriter {
  settledCount = 0;

  concerns({ attributes }: BatchInfo): boolean {
    return (attributes & MARK) !== 0;
  }

  async replace({ baseOffset, leaderEpoch }: BatchInfo): Promise<Replacement> {
    const bytes = batchAt(Number(baseOffset), false, true);
    new BatchHeader(bytes).partitionLeaderEpoch = leaderEpoch;
    return {
      pieces: [bytes],
      sizeBytes: bytes.byteLength,
      maxTimestamp: new BatchHeader(bytes).maxTimestamp,
      release: () => {},
    };
  }

  async settled(): Promise<void> {
    this.settledCount++;
  }
}

/** The log has every batch: as it was, or as it is to be. */
async function check(log: PartitionLog): Promise<number> {
  const batches = await readAll(log);
  assert.equal(log.logEndOffset, BigInt(BATCHES));
  assert.deepEqual(
    batches.map(({ baseOffset }) => Number(baseOffset)),
    Array.from({ length: BATCHES }, (_, index) => index),
  );
  let marked = 0;
  for (const { bytes, baseOffset } of batches) {
    const index = Number(baseOffset);
    const isMarked = (new BatchHeader(bytes).attributes & MARK) !== 0;
    if (isMarked) marked++;
    const length = batchAt(index, isMarked, index % 3 === 0 && !isMarked).byteLength;
    assert.equal(bytes.byteLength, length, `offset ${index}`);
  }
  return marked;
}

describe('rewriting segments with crashes', () => {
  it(`loses nothing, whenever the process dies or the power fails (${SEEDS} seeds)`, async function () {
    this.timeout(300_000 + SEEDS * 1000);
    let interrupted = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const fixture = new LogFixture(seed, { segmentBytes: 1500, indexIntervalBytes: 200, retentionMs: -1 });
      let log = await fixture.open();
      log.becomeLeader(0);
      for (let index = 0; index < BATCHES; index++)
        await log.append(batchAt(index, index % 3 === 0, false)).written;
      await log.flush();
      log = await fixture.reopen();
      for (let round = 0; round < 4; round++) {
        const rewriting = log.compaction.rewrite(new Enlarging());
        rewriting.catch(() => {});
        for (let turn = fixture.random.below(500); turn > 0; turn--) await null;
        for (let turn = fixture.random.below(4); turn > 0; turn--) await setImmediate();
        log = await fixture.crash({ power: fixture.random.chance(0.5) });
        const left = await check(log);
        if (left > 0 && left < BATCHES / 3) interrupted++;
      }
      await log.compaction.rewrite(new Enlarging());
      assert.equal(await check(log), 0);
      assert.deepEqual(
        fixture.files.paths().filter((path) => /\.(swap|cleaned|deleted)$/.test(path)),
        [],
      );
      log = await fixture.reopen();
      assert.equal(await check(log), 0);
      assert.ok(log.segmentCount > 10);
      await fixture.manager.close();
    }
    assert.ok(interrupted > 0, 'no rewriting was interrupted in the middle');
  });
});
