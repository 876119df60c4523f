import assert from 'node:assert/strict';
import { LogFixture } from '../../backend/log/testing/log-fixture.ts';
import { logDirTroubles } from './log-dir-health.ts';

describe('a gateway whose log directories fail', () => {
  it('is not ready once none is in use any more', async () => {
    const { manager } = new LogFixture(1, {}, { directories: ['/a', '/b'] });
    await manager.open();
    const { directories } = manager;
    assert.deepEqual(logDirTroubles(directories), []);
    directories[0]!.fail(new Error('EIO'));
    assert.deepEqual(logDirTroubles(directories), []);
    directories[1]!.fail(new Error('EROFS'));
    assert.deepEqual(logDirTroubles(directories), ['log directory /a: EIO', 'log directory /b: EROFS']);
    await manager.close();
  });

  it('is not ready once the one with the metadata is out of use', async () => {
    const { manager } = new LogFixture(1, {}, { directories: ['/a', '/b'] });
    await manager.open();
    const { directories } = manager;
    const metadata = manager.directoryOf(await manager.create('__cluster_metadata', 0))!;
    assert.deepEqual(logDirTroubles(directories), []);
    metadata.fail(new Error('EIO'));
    assert.deepEqual(logDirTroubles(directories), [
      `log directory ${metadata.path}: EIO (with the cluster's metadata)`,
    ]);
    await manager.close();
  });
});
