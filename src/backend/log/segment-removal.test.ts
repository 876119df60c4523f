import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { testBatch } from './testing/batches.ts';
import { LogFixture, readAll } from './testing/log-fixture.ts';

const batch = (timestamp: number, bytes = 5) => testBatch([{ value: 'v'.repeat(bytes), timestamp }]);

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

describe('segments whose files cannot be renamed', () => {
  /** A log of which retention has failed to let go the third segment and those behind it. */
  async function halfRemoved() {
    const fixture = new LogFixture(1, { segmentBytes: 300, retentionMs: 10_000, fileDeleteDelayMs: 1000 });
    const { files, clock } = fixture;
    const log = await fixture.open();
    for (let index = 0; index < 20; index++) log.append(batch(clock.now()));
    await log.flush();
    log.highWatermark = 20n;
    await log.prepareCheckpoint();
    clock.tick(20_000);
    const third = files.paths().filter((path) => path.endsWith('.log'))[2];
    files.fault = (operation, path) => (operation === 'rename' && path === third ? 'ENOSPC' : null);
    await assert.rejects(log.deleteOldSegments(), { code: 'ENOSPC' });
    files.fault = () => null;
    assert.equal(log.logStartOffset, 20n);
    return { fixture, log };
  }

  it('give their space back when retention looks the next time', async () => {
    const { fixture, log } = await halfRemoved();
    await log.append(batch(fixture.clock.now())).written;
    await log.deleteOldSegments();
    fixture.clock.tick(1000);
    await settle();
    const left = fixture.files
      .paths()
      .filter((path) => /\/t-0\/0.*(log|index|timeindex|deleted)$/.test(path));
    assert.deepEqual(left, ['/data/t-0/00000000000000000020.log']);
  });

  it('do not come back with the next start', async () => {
    const { fixture } = await halfRemoved();
    await fixture.manager.directories[0]!.checkpoints.writeLogStartOffsets();
    const log = await fixture.crash({ power: false });
    assert.equal(log.logStartOffset, 20n);
    assert.equal(log.logEndOffset, 20n);
  });

  it('are not taken for the log’s when that has gone back and on', async () => {
    const fixture = new LogFixture(2, { segmentBytes: 300 });
    const { files, clock } = fixture;
    const log = await fixture.open();
    // As many as a segment has room for.
    for (let index = 0; index < 4; index++) log.append(batch(1));
    await log.flush();
    assert.equal(log.segmentCount, 1);
    let renamings = 0;
    files.fault = (operation, path) => {
      if (operation === 'write') return 'ENOSPC';
      return operation === 'rename' && path.endsWith('8.log') && ++renamings === 1 ? 'ENOSPC' : null;
    };
    // Two segments of them.
    const refused = Array.from({ length: 6 }, () => log.append(batch(1)).written!);
    for (const written of refused) await assert.rejects(written);
    await settle();
    assert.equal(renamings, 1);
    files.fault = () => null;
    clock.tick(1000);
    await settle();
    // The segments of these do not begin where those have.
    for (let index = 0; index < 8; index++) log.append(batch(2, 25));
    await log.flush();
    const again = await fixture.crash({ power: false });
    assert.equal(again.logEndOffset, 12n);
    assert.equal((await readAll(again)).length, 12);
  });
});
