import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { LogErrorCode } from '../errors.ts';
import type { LogDirectory } from '../log-directory.ts';
import type { PartitionLog } from '../partition-log.ts';
import { testBatch } from '../testing/batches.ts';
import { LogFixture, readAll } from '../testing/log-fixture.ts';
import { DirectoryCopy } from './directory-copy.ts';
import { isKept } from './moved-files.ts';

const batch = () => testBatch([{ value: 'v' }]);

describe('A log that is handed over', () => {
  let fixture: LogFixture;
  let log: PartitionLog;
  let from: LogDirectory;
  let to: LogDirectory;
  /** Of the copy. */
  let path: string;

  beforeEach(async () => {
    fixture = new LogFixture(1, {}, { directories: ['/a', '/b'] });
    log = await fixture.open();
    log.becomeLeader(3);
    log.append(batch());
    const { manager } = fixture;
    from = manager.directoryOf(log)!;
    to = manager.directories.find((directory) => directory !== from)!;
    path = join(to.path, `t-0.${'0'.repeat(32)}-future`);
  });

  /** `copied`: called when the copy is up to date. */
  function handOver(copied: () => void = () => {}): Promise<void> {
    const pace = { next: async () => {}, copied: () => {} };
    const copy = new DirectoryCopy(fixture.files.mount(), log.directory, path, pace);
    return fixture.manager.handOver(log, to, path, async () => {
      await copy.update(isKept);
      copied();
    });
  }

  function filesOf(directory: LogDirectory): string[] {
    return fixture.files.paths().filter((name) => name.startsWith(`${directory.path}/t-0/`));
  }

  it('is there also when the directory that it leaves is too full for its checkpoints', async () => {
    const { files, manager } = fixture;
    await handOver(() => {
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

  it('writes what changes meanwhile where it is then', async () => {
    const { files } = fixture;
    const left = log.directory;
    log.highWatermark = 1n;
    let deleted: Promise<bigint> | null = null;
    files.fault = (operation, of) => {
      if (operation === 'rename' && of === left) deleted ??= log.deleteRecordsBefore(1n);
      return null;
    };
    await handOver();
    assert.equal(await deleted, 1n);
    await to.advanceRecoveryPoints();
    assert.deepEqual(filesOf(from), []);
    const epochs = new TextDecoder().decode(files.bytes(join(log.directory, 'leader-epoch-checkpoint')));
    assert.equal(epochs, '0\n1\n3 1\n');
    assert.deepEqual([from.error, to.error], [null, null]);
  });

  it('leaves nothing, when it stays where it was, that a later one would take for its own', async () => {
    const { files, manager } = fixture;
    log.highWatermark = 1n;
    await log.deleteRecordsBefore(1n);
    files.fault = (operation, of) => (operation === 'rename' && of === path ? 'ENOSPC' : null);
    await assert.rejects(handOver(), /ENOSPC/);
    files.fault = () => null;
    await manager.delete('t', 0);
    manager.prefer('t', 0, to);
    const later = await manager.create('t', 0, { topicId: log.topicId });
    assert.equal(manager.directoryOf(later), to);
    later.append(batch());
    await later.flush();
    const recovered = await fixture.crash({ power: false });
    assert.deepEqual([recovered.logStartOffset, recovered.logEndOffset], [0n, 1n]);
  });

  it('stays where it is when its new directory fails while it is copied', async () => {
    await assert.rejects(
      handOver(() => to.fail(new Error('the disk has failed'))),
      /the disk has failed/,
    );
    assert.equal(fixture.manager.directoryOf(log), from);
    log.append(batch());
    await log.flush();
    assert.equal((await readAll(log)).length, 2);
  });

  it('goes out of use with its new directory when that fails while it takes its place', async () => {
    fixture.files.fault = (operation, of) => {
      if (operation === 'rename' && of === path) to.fail(new Error('the disk has failed'));
      return null;
    };
    await handOver();
    assert.equal(fixture.manager.directoryOf(log), to);
    assert.throws(() => log.append(batch()), { code: LogErrorCode.KAFKA_STORAGE_ERROR });
  });

  it('is where it was, and nowhere else, when its new place cannot be made durable', async () => {
    const { files, manager } = fixture;
    let isThere = false;
    files.fault = (operation, of) => {
      if (operation === 'rename' && of === path) isThere = true;
      const fails = isThere && operation === 'syncDirectory' && of === to.path;
      if (fails) isThere = false;
      return fails ? 'EIO' : null;
    };
    await assert.rejects(handOver(), /EIO/);
    assert.equal(manager.directoryOf(log), from);
    assert.deepEqual(filesOf(to), []);
    log.append(batch());
    await log.flush();
    assert.equal((await fixture.crash({ power: false })).logEndOffset, 2n);
  });
});
