import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Codec } from '../../../native/codec.ts';
import { HeaderField } from '../../../protocol/records/batch-header.ts';
import { CompactionFixture, type FoundRecord, ROUND } from './compaction.fixture.ts';
import { CompactionStopped } from './log-compaction.ts';

const CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD];
const DELETE_HORIZON = 0x40;

describe('log compaction', () => {
  let fixture: CompactionFixture;

  beforeEach(async () => {
    fixture = new CompactionFixture();
    await fixture.open();
  });
  afterEach(() => fixture.end());

  const without = (records: FoundRecord[]) => records.filter(({ key }) => !key?.startsWith('roll'));
  const read = () => fixture.texts();
  const files = (suffix: string) => fixture.files(suffix);

  it('keeps the latest record of each key, at its offset', async () => {
    await fixture.write([
      { key: 'a', value: '1' },
      { key: 'b', value: '1' },
    ]);
    await fixture.write([{ key: 'a', value: '2' }]);
    await fixture.write([
      { key: 'c', value: '1' },
      { key: 'a', value: '3' },
    ]);
    await fixture.roll();
    const stats = await fixture.compact();
    assert.deepEqual(await read(), ['1 b=1', '3 c=1', '4 a=3']);
    assert.deepEqual([stats.fromOffset, stats.endOffset, stats.recordsRemoved], [0n, 5n, 2]);
    assert.equal(fixture.log.compaction.cleanedOffset, 5n);
    assert.equal(fixture.log.logStartOffset, 0n);
  });

  for (const codec of CODECS) {
    it(`writes batches of codec ${codec} anew with the same codec`, async () => {
      const value = 'v'.repeat(200);
      await fixture.write(
        [
          { key: 'a', value: 'old' },
          { key: 'b', value },
          { key: 'c', value: '' },
        ],
        { codec },
      );
      await fixture.write([{ key: 'a', value: 'new' }], { codec });
      await fixture.roll();
      await fixture.compact();
      assert.deepEqual(await read(), [`1 b=${value}`, '2 c=', '3 a=new']);
      const [first] = await fixture.batches();
      assert.deepEqual([first!.header.compression, first!.header.recordCount], [codec, 2]);
      assert.deepEqual([first!.header.baseOffset, first!.header.lastOffset], [0n, 2n]);
    });
  }

  it('keeps tombstones until their time is over', async () => {
    await fixture.write([
      { key: 'a', value: '1' },
      { key: 'b', value: '1' },
    ]);
    await fixture.write([{ key: 'a', value: null }]);
    await fixture.roll();
    const now = fixture.clock.now();
    await fixture.compact();
    assert.deepEqual(await read(), ['1 b=1', '2 a=null']);
    const tombstone = (await fixture.batches()).find(({ header }) => header.baseOffset === 2n)!;
    assert.ok(tombstone.header.attributes & DELETE_HORIZON);
    assert.equal(tombstone.header.baseTimestamp, BigInt(now + 60_000));
    assert.equal(tombstone.records[0]!.timestamp, tombstone.header.maxTimestamp);
    fixture.clock.tick(59_000 - 1001);
    await fixture.roll();
    await fixture.compact();
    assert.deepEqual(await read(), ['1 b=1', '2 a=null']);
    fixture.clock.tick(1001);
    await fixture.roll();
    await fixture.compact();
    assert.deepEqual(await read(), ['1 b=1']);
  });

  it('removes records without a key', async () => {
    await fixture.write([
      { key: null, value: '1' },
      { key: 'b', value: '1' },
    ]);
    await fixture.roll();
    await fixture.compact();
    assert.deepEqual(await read(), ['1 b=1']);
  });

  it('removes what was aborted, and its marker a while later', async () => {
    const producer = { producerId: 7n, transactional: true };
    await fixture.write([{ key: 'a', value: 'kept' }]);
    await fixture.write([{ key: 'a', value: 'aborted' }], { ...producer, baseSequence: 0 });
    await fixture.endTransaction('abort', 7n);
    await fixture.write([{ key: 'b', value: 'committed' }], { ...producer, baseSequence: 1 });
    await fixture.endTransaction('commit', 7n);
    await fixture.write([{ key: 'x', value: 'last of the producer' }], { ...producer, baseSequence: 2 });
    await fixture.endTransaction('commit', 7n);
    await fixture.roll();
    await fixture.compact();
    const expected = ['0 a=kept', '3 b=committed', '5 x=last of the producer'];
    assert.deepEqual(await read(), expected);
    const offsets = async () => (await fixture.batches()).map(({ header }) => Number(header.baseOffset));
    assert.deepEqual((await offsets()).slice(0, 6), [0, 2, 3, 4, 5, 6]);
    await fixture.roll();
    await fixture.compact();
    fixture.clock.tick(60_001);
    await fixture.roll();
    await fixture.compact();
    assert.deepEqual((await offsets()).slice(0, 5), [0, 3, 4, 5, 6], 'the marker of the abort is gone');
    assert.deepEqual(await read(), expected);
  });

  it('does not touch what an open transaction may still abort', async () => {
    await fixture.write([{ key: 'a', value: '1' }]);
    await fixture.roll();
    await fixture.write([{ key: 'a', value: 'open' }], { producerId: 7n, transactional: true });
    await fixture.roll();
    await fixture.write([{ key: 'a', value: '3' }]);
    await fixture.roll();
    const stats = await fixture.compact();
    assert.equal(stats.endOffset, 1n, 'the segment before the one in which the transaction begins');
    await fixture.endTransaction('abort', 7n);
    await fixture.roll();
    await fixture.compact();
    assert.deepEqual(await read(), ['4 a=3']);
  });

  it('keeps the last sequence number of producers in an empty batch', async () => {
    await fixture.write(
      [
        { key: 'a', value: '1' },
        { key: 'b', value: '1' },
      ],
      { producerId: 9n, baseSequence: 0 },
    );
    await fixture.write([
      { key: 'a', value: '2' },
      { key: 'b', value: '2' },
    ]);
    await fixture.roll();
    await fixture.compact();
    const [empty] = await fixture.batches();
    const { header } = empty!;
    assert.deepEqual([header.recordCount, header.producerId, header.baseSequence], [0, 9n, 0]);
    assert.deepEqual([header.baseOffset, header.lastOffset, header.baseTimestamp], [0n, 1n, -1n]);
    await fixture.crash();
    assert.equal(fixture.log.producer(9n)!.batches.at(-1)!.lastSequence, 1);
    await assert.rejects(fixture.write([{ key: 'c', value: '1' }], { producerId: 9n, baseSequence: 3 }), {
      code: 45,
    });
    await fixture.write([{ key: 'c', value: '1' }], { producerId: 9n, baseSequence: 2 });
  });

  it('joins small segments, and reads on across what is gone', async () => {
    for (let i = 0; i < 60; i++) await fixture.write([{ key: `k${i % 3}`, value: 'x'.repeat(400) }]);
    await fixture.roll();
    const before = fixture.log.segmentCount;
    assert.ok(before > 5);
    await fixture.compact();
    await fixture.roll();
    const stats = await fixture.compact();
    assert.deepEqual([stats.segmentsBefore > 5, stats.segmentsAfter], [true, 1]);
    assert.equal(fixture.log.segmentCount, 2);
    assert.deepEqual(
      (await fixture.read()).slice(0, 3).map(({ offset }) => offset),
      [57n, 58n, 59n],
    );
    const { batches } = await fixture.log.read(10n, 1 << 20);
    assert.ok(batches.length > 0 && batches.at(-1)!.lastOffset >= 57n);
  });

  it('needs several rounds when the keys do not fit into its memory', async () => {
    for (let i = 0; i < 300; i++) await fixture.write([{ key: `k${i % 100}`, value: `${i}` }]);
    await fixture.roll();
    let rounds = 0;
    for (; fixture.log.compaction.cleanedOffset < 300n; rounds++)
      await fixture.compact({ ...ROUND, mapBytes: 24 * 50 });
    assert.ok(rounds > 2, `${rounds} rounds`);
    const found = without(await fixture.read());
    assert.deepEqual(
      found.map(({ offset }) => Number(offset)),
      Array.from({ length: 100 }, (_, i) => 200 + i),
    );
  });

  it('says so when not even one batch fits', async () => {
    await fixture.write(Array.from({ length: 50 }, (_, i) => ({ key: `${i}`, value: '' })));
    await fixture.roll();
    await assert.rejects(
      fixture.compact({ ...ROUND, mapBytes: 24 * 20 }),
      /log\.cleaner\.dedupe\.buffer\.size/,
    );
  });

  it('keeps what it has made across a clean stop, a crash and Kafka’s checkpoint', async () => {
    for (let i = 0; i < 40; i++) await fixture.write([{ key: `k${i % 4}`, value: 'x'.repeat(300) }]);
    await fixture.roll();
    await fixture.compact();
    const expected = await read();
    assert.equal(expected.length, 4);
    const checkpoint = join(fixture.directory, 'cleaner-offset-checkpoint');
    assert.equal(readFileSync(checkpoint, 'utf8'), '0\n1\nt 0 40\n');
    await fixture.reopen();
    assert.deepEqual(await read(), expected);
    assert.equal(fixture.log.compaction.cleanedOffset, 40n);
    await fixture.crash();
    assert.deepEqual(await read(), expected);
    assert.equal(fixture.log.compaction.cleanedOffset, 40n);
  });

  it('finds records by time, and the newest, whatever batches say of which no record is left', async () => {
    const at = (seconds: number) => fixture.clock.now() + seconds * 1000;
    await fixture.write([{ key: 'a', value: '1', timestamp: at(9) }], { producerId: 7n, baseSequence: 0 });
    await fixture.write([{ key: 'b', value: '1', timestamp: at(8) }]);
    await fixture.write([{ key: 'a', value: '2', timestamp: at(7) }]);
    fixture.configure({ segmentBytes: 400 });
    await fixture.write([{ key: 'c', value: 'x'.repeat(200), timestamp: at(1) }]);
    await fixture.compact();
    const { log } = fixture;
    assert.equal((await fixture.batches())[0]!.header.recordCount, 0);
    const newest = await log.offsetOfMaxTimestamp();
    assert.deepEqual([newest!.timestamp, newest!.offset], [BigInt(at(8)), 1n]);
    for (const seconds of [7, 7.5, 8])
      assert.equal((await log.offsetForTimestamp(BigInt(at(seconds))))?.offset, 1n);
    assert.equal(await log.offsetForTimestamp(BigInt(at(8)) + 1n), null);
  });

  it('leaves no file behind, and removes the old ones after file.delete.delay.ms', async () => {
    for (let i = 0; i < 40; i++) await fixture.write([{ key: `k${i % 4}`, value: 'x'.repeat(300) }]);
    await fixture.roll();
    await fixture.compact();
    assert.deepEqual([files('.cleaned'), files('.swap')], [[], []]);
    assert.ok(files('.deleted').length > 3);
    fixture.clock.tick(1000);
    while (files('.deleted').length > 0) await new Promise((done) => setTimeout(done, 5));
    assert.equal(files('.log').length, fixture.log.segmentCount);
  });

  it('lets readers go on that have found a batch before it was compacted away', async () => {
    await fixture.write([{ key: 'a', value: 'first' }]);
    await fixture.write([{ key: 'a', value: 'second' }]);
    await fixture.roll();
    const { batches } = await fixture.log.read(0n, 1 << 20);
    await fixture.compact();
    const memory = await batches[0]!.file.read(batches[0]!.position, batches[0]!.sizeBytes);
    assert.match(Buffer.from(memory.bytes()).toString('latin1'), /first/);
    memory.release();
  });

  it('is marked by damage instead of copying it', async () => {
    await fixture.write([{ key: 'a', value: '1' }]);
    await fixture.write([{ key: 'b', value: '1' }]);
    await fixture.roll();
    await fixture.reopen();
    const path = join(fixture.path, `${'0'.repeat(20)}.log`);
    const bytes = readFileSync(path);
    bytes[HeaderField.recordCount + 6]! ^= 1;
    writeFileSync(path, bytes);
    await assert.rejects(fixture.compact(), { code: 'EBADMSG' });
    assert.deepEqual([files('.cleaned'), fixture.log.compaction.cleanedOffset], [[], 0n]);
  });

  it('stops for a truncation, and for the end', async () => {
    for (let i = 0; i < 40; i++) await fixture.write([{ key: `k${i % 4}`, value: 'x'.repeat(300) }]);
    await fixture.roll();
    const compacting = fixture.compact();
    const truncated = fixture.log.truncateTo(20n);
    await compacting.then(
      () => undefined,
      (error: unknown) => assert.ok(error instanceof CompactionStopped, String(error)),
    );
    await truncated;
    assert.deepEqual([fixture.log.compaction.isRunning, files('.cleaned')], [false, []]);
    assert.ok(fixture.log.compaction.cleanedOffset <= 20n);
    assert.ok(fixture.log.logEndOffset <= 20n);
  });

  describe('time-window', () => {
    beforeEach(() => fixture.configure({ compactionStrategy: 'time-window', compactionWindowMs: 3_600_000 }));

    it('keeps the latest record of each key and window, and its tombstones', async () => {
      const hour = Math.floor(fixture.clock.now() / 3_600_000) * 3_600_000;
      await fixture.write([
        { key: 'a', value: '1', timestamp: hour },
        { key: 'a', value: '2', timestamp: hour + 3_599_999 },
      ]);
      await fixture.write([
        { key: 'a', value: '3', timestamp: hour + 3_600_000 },
        { key: 'a', value: null, timestamp: hour + 3_600_001 },
        { key: 'a', value: '5', timestamp: hour + 7_200_000 },
      ]);
      fixture.clock.tick(8_000_000);
      await fixture.roll();
      for (let round = 0; round < 3; round++) {
        await fixture.compact();
        assert.deepEqual(await read(), ['1 a=2', '3 a=null', '4 a=5']);
        fixture.clock.tick(100_000);
        await fixture.roll();
      }
    });
  });

  describe('hybrid', () => {
    beforeEach(() => fixture.configure({ compactionStrategy: 'hybrid', compactionWindowMs: 3_600_000 }));

    it('keeps everything that is younger than the window', async () => {
      await fixture.write([{ key: 'a', value: '1' }]);
      await fixture.write([{ key: 'a', value: '2' }]);
      fixture.clock.tick(1_800_000);
      await fixture.write([{ key: 'a', value: '3' }]);
      await fixture.write([{ key: 'a', value: '4' }]);
      await fixture.roll();
      assert.equal((await fixture.log.compaction.survey()).dirtyBytes, 0);
      fixture.clock.tick(1_900_000);
      await fixture.compact();
      assert.deepEqual(await read(), ['1 a=2', '2 a=3', '3 a=4']);
      fixture.clock.tick(3_600_000);
      await fixture.compact();
      assert.deepEqual(await read(), ['3 a=4']);
    });
  });

  it('compacts while records are appended and read', async () => {
    const latest = new Map<string, string>();
    let running: Promise<unknown> | null = null;
    for (let i = 0; i < 400; i++) {
      const key = `k${i % 7}`;
      latest.set(key, `${i}`);
      await fixture.write([
        { key, value: `${i}` },
        { key: 'filler', value: 'x'.repeat(150) },
      ]);
      if (i % 40 !== 39) continue;
      await running;
      running = fixture.compact();
      assert.deepEqual(latestOf(await fixture.read()), latest);
    }
    await running;
    assert.deepEqual(latestOf(await fixture.read()), latest);
  });

  function latestOf(records: FoundRecord[]): Map<string, string> {
    const latest = new Map<string, string>();
    for (const { key, value } of records) if (key?.startsWith('k')) latest.set(key, value!);
    return new Map([...latest].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
});
