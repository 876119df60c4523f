import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { viewOf } from './batch.ts';
import { LogErrorCode } from './errors.ts';
import type { OpenOptions } from './ports.ts';
import { testBatch } from './testing/batches.ts';
import { LogFixture, readAll } from './testing/log-fixture.ts';

const value = (text: string) => [{ value: text }];

describe('PartitionLog', () => {
  it('gives offsets in the order of the calls and reads batches back', async () => {
    const fixture = new LogFixture(1);
    const log = await fixture.open();
    log.becomeLeader(3);
    const first = log.append(testBatch([{ value: 'a' }, { value: 'b' }]));
    const second = log.append(testBatch(value('c')));
    assert.deepEqual([first.baseOffset, first.lastOffset, second.baseOffset], [0n, 1n, 2n]);
    assert.equal(log.logEndOffset, 3n);
    await second.written;
    assert.equal(log.writtenEndOffset, 3n);
    const batches = await readAll(log);
    assert.deepEqual(
      batches.map((batch) => [batch.baseOffset, batch.lastOffset]),
      [
        [0n, 1n],
        [2n, 2n],
      ],
    );
    assert.equal(viewOf(batches[1]!.bytes).getBigInt64(0), 2n);
    assert.equal(viewOf(batches[1]!.bytes).getInt32(12), 3);
  });

  it('keeps no view of what it appends, not even while a segment is being opened', async () => {
    const log = await new LogFixture(5).open();
    const frame = Buffer.from(testBatch(value('the first batch of a segment')));
    const { written } = log.append(frame);
    const appended = Buffer.from(frame).toString('hex');
    frame.fill(0);
    await written;
    const [batch] = await readAll(log);
    assert.equal(Buffer.from(batch!.bytes).toString('hex'), appended);
  });

  it('goes on when the producers cannot be written down while an earlier segment is being completed', async () => {
    const fixture = new LogFixture(7, { segmentBytes: 300 });
    const { files } = fixture;
    const log = await fixture.open();
    let complete = () => {};
    const completed = new Promise<void>((resolve) => {
      complete = resolve;
    });
    const { replaceFile } = files;
    files.replaceFile = async (path, bytes) => {
      if (path.endsWith('.index')) await completed;
      await replaceFile.call(files, path, bytes);
    };
    for (let index = 0; index < 5; index++) log.append(testBatch(value('first')));
    await setImmediate();
    files.fault = (operation, path) =>
      operation === 'replaceFile' && path.endsWith('.snapshot') ? 'ENOSPC' : null;
    for (let index = 0; index < 4; index++) log.append(testBatch(value('later')));
    // A promise that is rejected and of which nobody hears by now ends the process.
    const unheard: unknown[] = [];
    const note = (reason: unknown) => unheard.push(reason);
    process.on('unhandledRejection', note);
    for (let turn = 0; turn < 5; turn++) await setImmediate();
    process.off('unhandledRejection', note);
    assert.deepEqual(unheard, []);
    complete();
    for (let turn = 0; turn < 5; turn++) await setImmediate();
    files.fault = () => null;
    await log.append(testBatch(value('last'))).written;
    assert.equal((await readAll(log)).length, 10);
    assert.equal(log.segmentCount, 3);
  });

  it('reads the batch that holds an offset in its middle', async () => {
    const log = await new LogFixture(2).open();
    await log.append(testBatch([{ value: 'a' }, { value: 'b' }, { value: 'c' }])).written;
    const { batches } = await log.read(1n, 1);
    assert.deepEqual(
      batches.map((batch) => batch.baseOffset),
      [0n],
    );
    assert.deepEqual((await log.read(1n, 1, { minOneBatch: false })).batches, []);
    assert.deepEqual((await log.read(3n, 1)).batches, []);
    await assert.rejects(log.read(4n, 1), { code: LogErrorCode.OFFSET_OUT_OF_RANGE });
  });

  it('looks at the headers of a range once, and not for what would fill the rest', async () => {
    const count = 40;
    const perRead = 10;
    const fixture = new LogFixture(6, { indexIntervalBytes: 0 });
    let log = await fixture.open();
    for (let i = 0; i < count; i++) await log.append(testBatch(value(`value ${i % 10}`))).written;
    const { batches } = await log.read(0n, 1);
    log = await fixture.reopen();
    let scans = 0;
    const { scanBatches } = fixture.files;
    fixture.files.scanBatches = (...args) => {
      scans++;
      return scanBatches.apply(fixture.files, args);
    };
    const maxBytes = batches[0]!.sizeBytes * (perRead + 0.9);
    let reads = 0;
    for (let offset = 0n; offset < count - perRead; reads++) {
      const read = await log.read(offset, maxBytes);
      assert.ok(read.batches.length === perRead, `${read.batches.length} at ${offset}`);
      offset = read.batches.at(-1)!.lastOffset + 1n;
    }
    assert.ok(scans > 0 && scans <= reads, `${scans} scans for ${reads} reads`);
  });

  it('serves the end of the log from memory', async () => {
    const log = await new LogFixture(3).open();
    await log.append(testBatch(value('a'))).written;
    await log.append(testBatch(value('b'))).written;
    const read = log.readCached(1n, 1000);
    assert.deepEqual(
      read?.batches.map((batch) => batch.baseOffset),
      [1n],
    );
  });

  it('rolls segments by size and reads across them', async () => {
    const fixture = new LogFixture(4, { segmentBytes: 300, indexIntervalBytes: 0 });
    const log = await fixture.open();
    for (let index = 0; index < 50; index++) await log.append(testBatch(value(`value ${index}`))).written;
    assert.ok(log.segmentCount > 10);
    assert.equal((await readAll(log)).length, 50);
    const again = await fixture.reopen();
    assert.equal(again.recoveredFrom, null);
    assert.equal(again.logEndOffset, 50n);
    assert.equal((await readAll(again, 33n)).length, 17);
  });

  it('keeps what was flushed when the power is cut, and recovers all when the process is killed', async () => {
    const fixture = new LogFixture(5, { segmentBytes: 1000 });
    let log = await fixture.open();
    for (let index = 0; index < 20; index++) log.append(testBatch(value(`value ${index}`)));
    await log.flush();
    assert.equal(log.flushedOffset, 20n);
    await log.append(testBatch(value('not flushed'))).written;
    log = await fixture.crash({ power: false });
    assert.equal(log.logEndOffset, 21n);
    assert.equal(log.recoveredFrom, 0n);
    log = await fixture.crash({ power: true });
    assert.ok(log.logEndOffset >= 20n);
  });

  it('rolls segments by time, by a full index and when an offset is too far from the first', async () => {
    const byTime = await new LogFixture(6, { segmentMs: 1000 }).open();
    for (const timestamp of [5000, 5500, 6001]) byTime.append(testBatch([{ value: 'v', timestamp }]));
    assert.equal(byTime.segmentCount, 2);
    const early = { random: () => 0.9 };
    const byJitter = await new LogFixture(6, { segmentMs: 1000, segmentJitterMs: 500 }, early).open();
    for (const timestamp of [5000, 5550, 5551]) byJitter.append(testBatch([{ value: 'v', timestamp }]));
    assert.equal(byJitter.segmentCount, 2);
    const waiting = new LogFixture(6, { segmentMs: 1000 });
    const untimed = await waiting.open();
    for (const ms of [0, 1000, 1]) {
      waiting.clock.tick(ms);
      untimed.append(testBatch([{ value: 'v', timestamp: -1 }]));
    }
    assert.equal(untimed.segmentCount, 2, 'by when it was begun');
    const byIndex = await new LogFixture(7, { segmentIndexBytes: 24, indexIntervalBytes: 0 }).open();
    for (let index = 0; index < 6; index++)
      byIndex.append(testBatch([{ value: 'v', timestamp: 5000 + index }]));
    assert.ok(byIndex.segmentCount > 2);
    const byOffset = await new LogFixture(8).open();
    for (const baseOffset of [0n, 0x80000000n, 0xffffffffn]) {
      await byOffset.append(testBatch(value('v'), { baseOffset }), 'replication').written;
    }
    assert.equal(byOffset.segmentCount, 2);
    assert.equal((await byOffset.read(0x80000000n, 1)).batches[0]?.baseOffset, 0x80000000n);
    assert.equal((await byOffset.read(5n, 1)).batches[0]?.baseOffset, 0x80000000n);
  });

  it('has space ahead for a segment that follows a full one, and for no other', async () => {
    const fixture = new LogFixture(29, { segmentBytes: 300, segmentMs: 1000 });
    const ahead: number[] = [];
    const open = fixture.files.open.bind(fixture.files);
    fixture.files.open = (path: string, options: OpenOptions = {}) => {
      if (options.create) ahead.push(options.aheadBytes!);
      return open(path, options);
    };
    const log = await fixture.open();
    const append = (timestamp: number, size: number) =>
      log.append(testBatch([{ value: 'v'.repeat(size), timestamp }])).written;
    await append(5000, 150); // the first segment
    await append(5001, 150); // it is full
    await append(5002, 150);
    await append(7000, 10); // too old, and half full
    await append(9000, 10); // too old, and nearly empty
    assert.deepEqual(ahead, [0, 300, 300, 300, 0]);
  });

  it('answers a repeated request with the offsets of the first', async () => {
    const fixture = new LogFixture(9);
    let log = await fixture.open();
    const batch = () => testBatch(value('v'), { producerId: 1n, producerEpoch: 0, baseSequence: 0 });
    log.append(testBatch(value('other')));
    const first = log.append(batch());
    const again = log.append(batch());
    assert.deepEqual([first.duplicate, again.duplicate, again.baseOffset], [false, true, first.baseOffset]);
    await again.written;
    assert.equal(log.writtenEndOffset, 2n);
    await log.flush();
    log = await fixture.crash({ power: true });
    assert.equal(log.append(batch()).baseOffset, first.baseOffset);
    assert.equal(log.logEndOffset, 2n);
  });

  it('finds records by time, also in batches that carry the time of their append', async () => {
    const log = await new LogFixture(10, { segmentBytes: 400, indexIntervalBytes: 0 }).open();
    for (let index = 0; index < 10; index++) {
      log.append(testBatch([{ timestamp: 1000 + index * 10 }, { timestamp: 1005 + index * 10 }]));
    }
    await log.append(testBatch([{ timestamp: 900 }, { timestamp: 950 }], { attributes: 0x08 })).written;
    assert.deepEqual(await log.offsetForTimestamp(1035n), { timestamp: 1035n, offset: 7n, leaderEpoch: -1 });
    assert.equal((await log.offsetForTimestamp(0n))?.offset, 0n);
    assert.equal(await log.offsetForTimestamp(1096n), null);
    assert.deepEqual(await log.offsetOfMaxTimestamp(), { timestamp: 1095n, offset: 19n, leaderEpoch: -1 });
    assert.equal(await (await new LogFixture(11).open()).offsetOfMaxTimestamp(), null);
  });

  it('moves its start into a segment, durably, and refuses to move it above the high watermark', async () => {
    const fixture = new LogFixture(12);
    let log = await fixture.open();
    for (let index = 0; index < 5; index++) log.append(testBatch(value('v')));
    await log.flush();
    log.highWatermark = 4n;
    const starts: bigint[] = [];
    log.onLogStartOffset = (offset) => starts.push(offset);
    assert.equal(await log.deleteRecordsBefore(3n), 3n);
    assert.equal(await log.deleteRecordsBefore(1n), 3n);
    await assert.rejects(log.deleteRecordsBefore(5n), { code: LogErrorCode.OFFSET_OUT_OF_RANGE });
    assert.deepEqual(starts, [3n, 3n]);
    log = await fixture.crash({ power: true });
    assert.deepEqual([log.logStartOffset, log.logEndOffset], [3n, 5n]);
    await assert.rejects(log.read(2n, 1), { code: LogErrorCode.OFFSET_OUT_OF_RANGE });
  });

  it('tells of a start that it was given only when that is durable, also while it is raised again', async () => {
    const fixture = new LogFixture(15);
    const log = await fixture.open();
    for (let index = 0; index < 10; index++) log.append(testBatch(value('v')));
    await log.flush();
    log.highWatermark = 10n;
    const durable = () => {
      const checkpoint = fixture.files.bytes('/data/log-start-offset-checkpoint');
      return BigInt(/^t 0 (\d+)$/m.exec(new TextDecoder().decode(checkpoint))?.[1] ?? 0);
    };
    const { replaceFile } = fixture.files;
    fixture.files.replaceFile = async (...args) => {
      await setImmediate();
      return replaceFile.apply(fixture.files, args);
    };
    const told: [bigint, bigint][] = [];
    log.onLogStartOffset = (offset) => told.push([offset, durable()]);
    await Promise.all([3n, 6n, 9n].map((offset) => log.deleteRecordsBefore(offset)));
    assert.equal(told.length, 3);
    for (const [offset, written] of told)
      assert.ok(offset <= written, `${offset} where ${written} is durable`);
    assert.equal(log.logStartOffset, 9n);
  });

  it('says of what retention takes that it is not there, and gives nothing that is behind it instead', async () => {
    const fixture = new LogFixture(16, { segmentBytes: 300, retentionBytes: 300 });
    const log = await fixture.open();
    for (let index = 0; index < 20; index++) log.append(testBatch(value('v')));
    await log.flush();
    log.highWatermark = 20n;
    const reads: Promise<void>[] = [];
    fixture.files.fault = (operation, path) => {
      if (operation === 'rename' && path.endsWith('.log'))
        reads.push(assert.rejects(log.read(0n, 1), { code: LogErrorCode.OFFSET_OUT_OF_RANGE }));
      return null;
    };
    await log.deleteOldSegments();
    assert.ok(reads.length > 0);
    await Promise.all(reads);
  });

  it('keeps what is appended at the moment in which retention takes the last segment', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const fixture = new LogFixture(turns, { retentionMs: 10_000 });
      const log = await fixture.open();
      const batch = () => testBatch([{ value: 'v', timestamp: fixture.clock.now() }]);
      await log.append(batch()).written;
      log.highWatermark = 1n;
      fixture.clock.tick(20_000);
      const deleted = log.deleteOldSegments();
      for (let turn = 0; turn < turns; turn++) await null;
      const appended = log.append(batch()).baseOffset;
      await log.flush();
      await deleted;
      assert.equal((await readAll(log)).at(-1)?.baseOffset, appended, `appended ${turns} turns later`);
    }
  });

  it('refuses batches that are larger than a segment, and what is no batch', async () => {
    const log = await new LogFixture(13, { segmentBytes: 100 }).open();
    const large = testBatch([{ value: 'v'.repeat(100) }]);
    assert.throws(() => log.append(large), { code: LogErrorCode.RECORD_LIST_TOO_LARGE });
    assert.throws(() => log.append(large.subarray(0, 80)), { code: LogErrorCode.CORRUPT_MESSAGE });
    assert.throws(() => log.append(new Uint8Array(0)), { code: LogErrorCode.CORRUPT_MESSAGE });
    assert.equal(log.logEndOffset, 0n);
  });

  it('goes back to the last written batch when the disk is full, and goes on when it no longer is', async () => {
    const fixture = new LogFixture(14);
    const log = await fixture.open();
    const batch = (sequence: number) =>
      testBatch([{ value: 'v'.repeat(50) }], { producerId: 1n, producerEpoch: 0, baseSequence: sequence });
    await log.append(batch(0)).written;
    fixture.files.capacityBytes = fixture.files.usedBytes() + 150;
    const results = await Promise.allSettled(
      [1, 2, 3].map((sequence) => log.append(batch(sequence)).written),
    );
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
    );
    assert.throws(() => log.append(batch(2)), { code: LogErrorCode.KAFKA_STORAGE_ERROR });
    fixture.files.capacityBytes = Number.POSITIVE_INFINITY;
    for (let turn = 0; turn < 10; turn++) await setImmediate();
    assert.equal(log.logEndOffset, 2n);
    assert.equal(log.append(batch(2)).baseOffset, 2n);
    await log.flush();
    assert.equal((await readAll(log)).length, 3);
  });
});
