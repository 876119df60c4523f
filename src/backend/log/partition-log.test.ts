import assert from 'node:assert/strict';
import { viewOf } from './batch.ts';
import { LogErrorCode } from './errors.ts';
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
});
