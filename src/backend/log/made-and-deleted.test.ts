import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { LogErrorCode } from './errors.ts';
import { testBatch } from './testing/batches.ts';
import { LogFixture } from './testing/log-fixture.ts';

const BEFORE = 'B4sB6MhZSGiyDvPbRqbsaw';
const AFTER = 'fhsr5JwYQoejg4UB0BWw9Q';
const STORAGE_ERROR = { code: LogErrorCode.KAFKA_STORAGE_ERROR };

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

describe('a partition that is made while the log directory with the fewest is full', () => {
  it('is made in another one', async () => {
    const { files, manager } = new LogFixture(4, {}, { directories: ['/a', '/b'] });
    await manager.open();
    const [full, other] = manager.directories;
    manager.prefer('t', 0, other!);
    await manager.create('t', 0, { topicId: BEFORE });
    files.fault = (operation, path) =>
      operation === 'replaceFile' && path.startsWith('/a/') ? 'ENOSPC' : null;
    const log = await manager.create('t', 1, { topicId: BEFORE });
    assert.equal(manager.directoryOf(log), other);
    await log.append(testBatch([{ value: 'v' }])).written;
    assert.equal(full!.error, null);
    files.fault = () => null;
    files.crash({ power: true });
    const next = new LogFixture(4, {}, { directories: ['/a', '/b'], fileSystem: files.mount() });
    await next.manager.open();
    assert.equal([...next.manager.logs()].length, 2);
    await next.manager.close();
  });
});

describe('what is left of a partition that was deleted', () => {
  it('is removed after the start, which does not wait for it, and fails with nothing of it', async () => {
    const fixture = new LogFixture(3);
    const { files } = fixture;
    await fixture.open();
    for (const partition of [1, 2]) {
      const log = await fixture.manager.create('t', partition);
      await log.append(testBatch([{ value: 'v' }])).written;
      await fixture.manager.delete('t', partition);
    }
    let isStarted = false;
    let refused = 0;
    const { remove } = files;
    files.remove = async (path) => {
      if (path.endsWith('-delete')) {
        while (!isStarted) await setImmediate();
        if (refused++ === 0) throw Object.assign(new Error(path), { code: 'EIO' });
      }
      await remove.call(files, path);
    };
    await fixture.crash({ power: false });
    isStarted = true;
    await settle();
    assert.equal(refused, 2);
    assert.equal(fixture.manager.directories[0]!.error, null);
    assert.ok(files.paths().some((path) => path.includes('-delete')));
  });
});

describe('a partition whose log directory fails while it is made', () => {
  it('is not there, and is made in another one', async () => {
    const { files, manager } = new LogFixture(2, {}, { directories: ['/a', '/b'] });
    await manager.open();
    const [failing, other] = manager.directories;
    const { replaceFile } = files;
    files.replaceFile = async (path, bytes) => {
      await replaceFile.call(files, path, bytes);
      if (path === '/a/t-0/partition.metadata') failing!.fail(new Error('the disk has failed'));
    };
    manager.prefer('t', 0, failing!);
    await assert.rejects(manager.create('t', 0, { topicId: BEFORE }), STORAGE_ERROR);
    const made = await manager.create('t', 0, { topicId: BEFORE });
    assert.equal(manager.directoryOf(made), other);
    await manager.close();
  });
});

describe('a partition whose directory cannot be renamed for its deletion', () => {
  /** With a partition that could not be deleted. */
  async function undeleted(code: string, directories: readonly string[]) {
    const fixture = new LogFixture(1, { fileDeleteDelayMs: 0 }, { directories });
    const { files, manager } = fixture;
    const offline: string[] = [];
    manager.onOffline = (path) => offline.push(path);
    await manager.open();
    const log = await manager.create('t', 0, { topicId: BEFORE, config: fixture.config });
    await log.append(testBatch([{ value: 'v' }])).written;
    files.fault = (operation, path) => (operation === 'rename' && path.endsWith('/t-0') ? code : null);
    await assert.rejects(manager.delete('t', 0, BEFORE), STORAGE_ERROR);
    return { ...{ fixture, files, manager, offline }, directory: manager.directoryOf(log)! };
  }

  it('takes its log directory out of use, as in Kafka, and can be made anew in another one', async () => {
    const { manager, offline, directory } = await undeleted('EIO', ['/a', '/b']);
    assert.deepEqual(offline, [directory.path]);
    const made = await manager.create('t', 0, { topicId: AFTER });
    assert.notEqual(manager.directoryOf(made), directory);
    await made.append(testBatch([{ value: 'v' }])).written;
    await manager.close();
  });

  it('is deleted where somebody has removed it by hand', async () => {
    const { files, manager, directory } = await undeleted('ENOSPC', ['/data']);
    await files.remove('/data/t-0');
    files.fault = () => null;
    await manager.delete('t', 0, BEFORE);
    assert.equal(manager.get('t', 0), undefined);
    assert.equal(directory.error, null);
    await manager.close();
  });

  it('is deleted before one is made anew, where that may succeed later', async () => {
    const { files, manager, directory } = await undeleted('ENOSPC', ['/data']);
    assert.equal(directory.error, null);
    await assert.rejects(manager.create('t', 0, { topicId: AFTER }), STORAGE_ERROR);
    files.fault = () => null;
    const made = await manager.create('t', 0, { topicId: AFTER });
    assert.equal(made.topicId, AFTER);
    assert.equal(made.logEndOffset, 0n);
    await made.append(testBatch([{ value: 'v' }])).written;
    await manager.close();
  });

  it('gives its space back when retention looks the next time', async () => {
    const { fixture, files, manager } = await undeleted('ENOSPC', ['/data']);
    files.fault = () => null;
    fixture.clock.tick(30_000);
    await settle();
    fixture.clock.tick(0);
    await settle();
    assert.equal(
      files.paths().some((path) => path.includes('/t-0')),
      false,
    );
    assert.equal(manager.get('t', 0), undefined);
    await manager.close();
  });
});
