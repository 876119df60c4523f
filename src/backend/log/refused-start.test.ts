import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type { PartitionLog } from './partition-log.ts';
import { testBatch } from './testing/batches.ts';
import { LogFixture } from './testing/log-fixture.ts';

async function fill(log: PartitionLog, count: number): Promise<void> {
  for (let index = 0; index < count; index++) log.append(testBatch([{ value: `value ${index}` }]));
  await log.flush();
}

describe('A LogManager that is not to be used', () => {
  for (const isClean of [true, false])
    it(`leaves directories as they are when it cannot open them, after a ${isClean ? 'clean stop' : 'crash'}`, async () => {
      const fixture = new LogFixture(23);
      const { files } = fixture;
      const log = await fixture.open();
      await fill(log, 5);
      log.highWatermark = 5n;
      await log.deleteRecordsBefore(3n);
      if (isClean) await fixture.manager.close();
      files.crash({ power: true });
      const left = files.paths();
      const refused = new LogFixture(23, {}, { clusterId: 'another', fileSystem: files.mount() }).manager;
      await assert.rejects(refused.open(), /belong to clusters/);
      await refused.close();
      assert.deepEqual(files.paths(), left);
      const next = await fixture.open();
      assert.deepEqual([next.logStartOffset, next.logEndOffset], [3n, 5n]);
      assert.equal(next.recoveredFrom === null, isClean);
    });

  it('need not recover after a start that was refused while the disk was full', async () => {
    const fixture = new LogFixture(27);
    await fill(await fixture.open(), 5);
    await fixture.manager.close();
    fixture.files.fault = (operation) => (operation === 'replaceFile' ? 'ENOSPC' : null);
    const beforeLoading = () => Promise.reject(new Error('no room'));
    const options = { beforeLoading, fileSystem: fixture.files.mount() };
    const refused = new LogFixture(27, {}, options).manager;
    await assert.rejects(refused.open(), /no room/);
    await refused.close();
    fixture.files.fault = () => null;
    const log = await fixture.open();
    assert.deepEqual([log.recoveredFrom, log.logEndOffset], [null, 5n]);
  });

  it('recovers again after a start that ended before payload was compared with the logs', async () => {
    const fixture = new LogFixture(26, { segmentBytes: 400 }, { hasPayload: true });
    await fill(await fixture.open(), 2);
    await fixture.manager.directories[0]!.advanceRecoveryPoints();
    const { recoveredFrom } = await fixture.crash({ power: false });
    assert.notEqual(recoveredFrom, null);
    await fill(fixture.manager.get('t', 0)!, 5);
    fixture.clock.tick(120_000);
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    const again = await fixture.reopen();
    assert.deepEqual([again.recoveredFrom, again.logEndOffset], [recoveredFrom, 7n]);
    fixture.manager.compared();
    const last = await fixture.reopen();
    assert.deepEqual([last.recoveredFrom, last.logEndOffset], [null, 7n]);
  });
});
