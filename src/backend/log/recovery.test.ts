import assert from 'node:assert/strict';
import type { PartitionLog } from './partition-log.ts';
import type { BatchInfo, BatchScan } from './ports.ts';
import { recover } from './recovery.ts';
import { testBatch } from './testing/batches.ts';
import { LogFixture, readAll } from './testing/log-fixture.ts';

function info(baseOffset: number, lastOffset: number, position: number, sizeBytes: number): BatchInfo {
  const rest = { leaderEpoch: 0, attributes: 0, maxTimestamp: 0n, producerId: -1n, producerEpoch: -1 };
  const place = { baseOffset: BigInt(baseOffset), lastOffset: BigInt(lastOffset), position, sizeBytes };
  return { ...rest, ...place, baseSequence: -1, recordCount: 1, marker: null };
}

function step(
  batches: BatchInfo[],
  stop: BatchScan['stop'] = 'end',
  cleanedOffset = 0n,
  endOffset: bigint | null = null,
) {
  const start = { validBytes: 0, nextOffset: 10n };
  const end = (batches.at(-1)?.position ?? 0) + (batches.at(-1)?.sizeBytes ?? 0);
  const scan = { batches, end, stop, reason: stop === 'damaged' ? 'a bad checksum' : '' };
  const { validBytes, nextOffset, problem } = recover(scan, start, {
    baseOffset: 10n,
    endOffset,
    cleanedOffset,
  });
  return { validBytes, nextOffset, problem };
}

describe('recover', () => {
  it('accepts batches that follow one another; offsets may be missing where the log was compacted', () => {
    const good = { validBytes: 170, nextOffset: 14n, problem: null };
    assert.deepEqual(step([info(10, 12, 0, 100), info(13, 13, 100, 70)]), good);
    const gap = [info(10, 12, 0, 100), info(20, 20, 100, 70)];
    assert.equal(step(gap).validBytes, 100);
    assert.equal(step(gap, 'end', 19n).validBytes, 100);
    assert.equal(step(gap, 'end', 20n).validBytes, 170);
    assert.equal(step(gap, 'end', 0n, 21n).validBytes, 170, 'in a segment that is not the last');
    assert.equal(step(gap, 'end', 0n, 20n).validBytes, 100, 'it reaches into the next one');
  });

  it('takes zeros for the end, and damage for what is wrong', () => {
    assert.equal(step([info(10, 10, 0, 100)], 'zeros').problem, null);
    const damaged = step([info(10, 10, 0, 100)], 'damaged');
    assert.deepEqual(damaged, { validBytes: 100, nextOffset: 11n, problem: 'a bad checksum' });
  });

  it('ends before offsets that go back, lie below the segment or too far above it', () => {
    assert.equal(step([info(10, 12, 0, 100), info(12, 13, 100, 70)]).validBytes, 100);
    assert.equal(step([info(9, 9, 0, 100)]).validBytes, 0);
    assert.equal(step([info(10, 10 + 0x80000000, 0, 100)]).validBytes, 0);
    assert.notEqual(step([info(10, 10, 0, 100), info(11, 11, 150, 70)]).problem, null);
  });
});

describe('recovery of a log', () => {
  const LAST = '/data/t-0/00000000000000000000';

  async function filled(fixture: LogFixture, count = 20): Promise<PartitionLog> {
    const log = await fixture.open();
    for (let index = 0; index < count; index++) {
      const identity = { producerId: 4n, producerEpoch: 0, baseSequence: index };
      log.append(testBatch([{ value: `value ${index}`, timestamp: 1_700_000_000_000 + index }], identity));
    }
    await log.flush();
    return log;
  }

  it('truncates at a flipped byte that may not have been durable', async () => {
    const fixture = new LogFixture(1);
    await filled(fixture);
    const bytes = fixture.files.bytes(`${LAST}.log`);
    bytes[Math.floor(bytes.length / 2)]! ^= 1;
    const log = await fixture.crash({ power: false });
    const left = await readAll(log);
    assert.ok(log.logEndOffset >= 8n && log.logEndOffset < 12n, `ends at ${log.logEndOffset}`);
    assert.equal(left.length, Number(log.logEndOffset));
    assert.equal(log.activeProducers()[0]?.batches.at(-1)?.lastOffset, log.logEndOffset - 1n);
  });

  it('cuts off a torn batch, and zeros behind the last one', async () => {
    const fixture = new LogFixture(2);
    await filled(fixture);
    const whole = fixture.files.bytes(`${LAST}.log`).slice();
    fixture.files.put(`${LAST}.log`, whole.subarray(0, whole.length - 5));
    let log = await fixture.crash({ power: false });
    assert.equal(log.logEndOffset, 19n);
    const padded = new Uint8Array(whole.length + 4096);
    padded.set(whole);
    fixture.files.put(`${LAST}.log`, padded);
    log = await fixture.crash({ power: false });
    assert.equal(log.logEndOffset, 20n);
    assert.equal(fixture.files.bytes(`${LAST}.log`).length, whole.length);
  });

  it('rebuilds indexes that are missing, truncated or damaged after a clean stop', async () => {
    const damages: ((fixture: LogFixture, path: string) => void)[] = [
      (fixture, path) => void fixture.files.mount().remove(path),
      (fixture, path) => fixture.files.put(path, fixture.files.bytes(path).slice(0, 13)),
      (fixture, path) => fixture.files.bytes(path).fill(0),
      (fixture, path) => fixture.files.bytes(path).fill(255),
    ];
    for (const damage of damages) {
      for (const suffix of ['.index', '.timeindex']) {
        const fixture = new LogFixture(3, { indexIntervalBytes: 100, segmentBytes: 1500 });
        await filled(fixture, 60);
        await fixture.manager.close();
        const paths = fixture.files.paths().filter((path) => path.endsWith(suffix));
        assert.ok(paths.length > 2);
        for (const path of paths) damage(fixture, path);
        const log = await fixture.open();
        assert.equal(log.logEndOffset, 60n);
        assert.equal((await readAll(log)).length, 60);
        for (const offset of [0n, 17n, 42n, 59n]) {
          assert.equal((await log.read(offset, 1)).batches[0]?.baseOffset, offset);
          assert.equal((await log.offsetForTimestamp(1_700_000_000_000n + offset))?.offset, offset);
        }
      }
    }
  });

  it('rebuilds producers without snapshots, and past a damaged one', async () => {
    for (const damaged of [true, false]) {
      const fixture = new LogFixture(4, { segmentBytes: 1500 });
      await filled(fixture, 60);
      await fixture.manager.close();
      for (const path of fixture.files.paths().filter((each) => each.endsWith('.snapshot'))) {
        if (damaged) fixture.files.bytes(path)[8]! ^= 1;
        else await fixture.files.mount().remove(path);
      }
      const log = await fixture.open();
      assert.equal(log.activeProducers()[0]?.batches.at(-1)?.lastSequence, 59);
    }
  });

  it('recognizes batches that come again after a crash, also those of the segment before', async () => {
    const fixture = new LogFixture(11, { segmentBytes: 300 });
    let log = await fixture.open();
    const batch = (baseSequence: number) =>
      testBatch([{ value: 'v' }], { producerId: 7n, producerEpoch: 0, baseSequence });
    for (let sequence = 0; sequence < 5; sequence++) await log.append(batch(sequence)).written;
    assert.equal(log.segmentCount, 2);
    log = await fixture.crash({ power: false });
    for (let sequence = 0; sequence < 5; sequence++) {
      const { duplicate, baseOffset } = log.append(batch(sequence));
      assert.deepEqual({ duplicate, baseOffset }, { duplicate: true, baseOffset: BigInt(sequence) });
    }
  });

  it('holds the indexes of the last of the segments that it looks at, not of all, which are completed on disk', async () => {
    const fixture = new LogFixture(12, { segmentBytes: 1500 }, { indexCacheBytes: 1 });
    await filled(fixture, 60);
    const lost = ['/data/recovery-point-offset-checkpoint'];
    const log = await fixture.crash({ power: false, without: lost });
    const read = new Set<string>();
    fixture.files.fault = (operation, path) => {
      if (operation === 'readFile' && path.endsWith('.index')) read.add(path);
      return null;
    };
    const batches = await readAll(log);
    assert.equal(batches.at(-1)!.lastOffset + 1n, log.logEndOffset);
    assert.ok(log.segmentCount > 3);
    // One is in the cache.
    assert.ok(read.size >= log.segmentCount - 2, `${read.size} of ${log.segmentCount}`);
  });

  it('ends before a batch that the caller rejects', async () => {
    const seen: bigint[] = [];
    const fixture = new LogFixture(
      5,
      {},
      {
        async verifyBatch(place, batch) {
          seen.push(batch.baseOffset);
          assert.deepEqual([place.topic, place.partition], ['t', 0]);
          return batch.baseOffset === 15n ? 'its payload is missing' : null;
        },
      },
    );
    await filled(fixture);
    assert.deepEqual(seen, []);
    const log = await fixture.crash({ power: false });
    assert.equal(log.logEndOffset, 15n);
    assert.equal(seen.at(-1), 15n);
  });

  it('knows the leader epochs of batches whose checkpoint was lost', async () => {
    const fixture = new LogFixture(6);
    const log = await fixture.open();
    log.becomeLeader(1);
    await log.append(testBatch([{ value: 'a' }])).written;
    log.becomeLeader(4);
    await log.append(testBatch([{ value: 'b' }])).written;
    await log.flush();
    fixture.files.put('/data/t-0/leader-epoch-checkpoint', new TextEncoder().encode('rubbish'));
    const again = await fixture.crash({ power: false });
    assert.deepEqual([again.epochForOffset(0n), again.epochForOffset(1n), again.leaderEpoch], [1, 4, 4]);
    assert.deepEqual(again.endOffsetForEpoch(1), { leaderEpoch: 1, endOffset: 1n });
  });
});
