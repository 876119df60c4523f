import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { testBatch } from '../testing/batches.ts';
import { LogFixture, readAll } from '../testing/log-fixture.ts';
import { DirectoryCopy } from './directory-copy.ts';
import { isKept } from './moved-files.ts';

const batch = () => testBatch([{ value: 'v' }]);

describe('A log that is handed over', () => {
  it('is there also when the directory that it leaves is too full for its checkpoints', async () => {
    const fixture = new LogFixture(1, {}, { directories: ['/a', '/b'] });
    const { files } = fixture;
    const log = await fixture.open();
    log.append(batch());
    const { manager } = fixture;
    const from = manager.directoryOf(log)!;
    const to = manager.directories.find((directory) => directory !== from)!;
    const path = join(to.path, `t-0.${'0'.repeat(32)}-future`);
    const copy = new DirectoryCopy(files.mount(), log.directory, path, {
      next: async () => {},
      copied: () => {},
    });
    await manager.handOver(log, to, path, async () => {
      await copy.update(isKept);
      files.fault = (operation, of) =>
        operation === 'replaceFile' && dirname(of) === from.path ? 'ENOSPC' : null;
    });
    assert.equal(manager.directoryOf(log), to);
    log.append(batch());
    await log.flush();
    assert.equal((await readAll(log)).length, 2);
    const recovered = await fixture.crash({ power: true });
    assert.equal(dirname(recovered.directory), to.path);
    assert.equal(recovered.logEndOffset, 2n);
  });
});
