import assert from 'node:assert/strict';
import { testBatch } from './testing/batches.ts';
import { LogFixture, readAll } from './testing/log-fixture.ts';

describe('a start with a log directory whose disk is full', () => {
  it('uses it, so that retention makes room there', async () => {
    const config = { segmentBytes: 300, retentionMs: 10_000, fileDeleteDelayMs: 0 };
    const fixture = new LogFixture(1, config, { directories: ['/a', '/b'] });
    const { clock, files, manager } = fixture;
    await manager.open();
    const before = await manager.create('t', 0, { config: fixture.config });
    for (let index = 0; index < 20; index++)
      before.append(testBatch([{ value: 'v', timestamp: clock.now() }]));
    await before.flush();
    const full = manager.directoryOf(before)!.path;
    await manager.close();
    files.fault = (operation, path) =>
      operation === 'replaceFile' && path.startsWith(`${full}/`) ? 'ENOSPC' : null;
    const directories = ['/a', '/b', '/c'];
    const next = new LogFixture(1, config, { clock, directories, fileSystem: files.mount() });
    await next.manager.open();
    assert.deepEqual(
      next.manager.directories.map(({ error }) => error),
      [null, null, null],
    );
    const log = next.manager.get('t', 0)!;
    assert.equal((await readAll(log)).length, 20);
    log.highWatermark = 20n;
    clock.tick(20_000);
    assert.ok((await log.deleteOldSegments()) > 0);
    assert.equal(log.logStartOffset, 20n);
    files.fault = () => null;
    await next.manager.close();
  });

  it('reads segments whose indexes somebody has removed for room, and lets them go', async () => {
    const fixture = new LogFixture(2, { segmentBytes: 300, retentionMs: 10_000, fileDeleteDelayMs: 0 });
    const { clock, files } = fixture;
    const before = await fixture.open();
    for (let index = 0; index < 20; index++)
      before.append(testBatch([{ value: 'v', timestamp: clock.now() }]));
    await before.flush();
    await fixture.manager.close();
    for (const path of files.paths()) if (/index$/.test(path)) await files.remove(path);
    files.fault = (operation) => (operation === 'replaceFile' ? 'ENOSPC' : null);
    const log = await fixture.open();
    assert.equal((await readAll(log)).length, 20);
    log.highWatermark = 20n;
    clock.tick(20_000);
    assert.ok((await log.deleteOldSegments()) > 0);
    assert.equal(log.logStartOffset, 20n);
  });
});
