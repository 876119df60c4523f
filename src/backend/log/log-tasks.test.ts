import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { testBatch } from './testing/batches.ts';
import { LogFixture } from './testing/log-fixture.ts';

const batch = () => testBatch([{ value: 'v' }]);

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

/** Lets the tasks of so many seconds run. */
async function pass({ clock }: LogFixture, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    clock.tick(1000);
    await settle();
  }
}

describe('the log manager, when flush.ms is over', () => {
  it('flushes again, and uses the directory on, when flush.ms is over and only payload cannot be flushed', async () => {
    const fixture = new LogFixture(26, { flushMs: 5000 });
    const log = await fixture.open();
    let failures = 0;
    let fails = true;
    log.payload = {
      needsFlush: true,
      flush: async () => {
        if (!fails) return;
        failures++;
        throw Object.assign(new Error('the tier of the payload has failed'), { code: 'EIO' });
      },
    };
    await log.append(batch()).written;
    await pass(fixture, 15);
    assert.ok(failures > 1, `${failures} flushes failed`);
    assert.equal(log.flushedOffset, 0n);
    assert.equal(fixture.manager.directories[0]!.error, null);
    fails = false;
    await pass(fixture, 9);
    assert.equal(log.flushedOffset, 1n);
  });

  it('flushes nothing of a partition that is deleted while it flushes another', async () => {
    const fixture = new LogFixture(27, { flushMs: 5000, fileDeleteDelayMs: 0 });
    const { files, manager } = fixture;
    await manager.open();
    const [slow, gone] = [await manager.create('t', 0), await manager.create('t', 1)];
    for (const log of [slow, gone]) await log.append(batch()).written;
    let goOn = () => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const { syncDirectory } = files;
    files.syncDirectory = async (path) => {
      if (path === '/data/t-0') await held;
      await syncDirectory.call(files, path);
    };
    await pass(fixture, 7);
    await manager.delete('t', 1);
    fixture.clock.tick(0);
    await settle();
    assert.equal(
      files.paths().some((path) => path.includes('/t-1')),
      false,
    );
    goOn();
    await settle();
    assert.equal(slow.flushedOffset, 1n);
    assert.equal(manager.directories[0]!.error, null);
  });
});

describe('the log manager, when it closes', () => {
  it('flushes the other logs where one cannot be closed', async () => {
    const { files, manager } = new LogFixture(29);
    await manager.open();
    for (let partition = 0; partition < 5; partition++)
      await (await manager.create('t', partition)).append(batch()).written;
    files.fault = (operation, path) =>
      operation === 'replaceFile' && path.startsWith('/data/t-0/') ? 'ENOSPC' : null;
    await manager.close();
    files.fault = () => null;
    files.crash({ power: true });
    const next = new LogFixture(29, {}, { fileSystem: files.mount() });
    await next.manager.open();
    const ends = Array.from({ length: 4 }, (_, index) => next.manager.get('t', index + 1)!.logEndOffset);
    assert.deepEqual(ends, [1n, 1n, 1n, 1n]);
    await next.manager.close();
  });
});

describe('a log directory whose disk does not answer', () => {
  it('holds up no task of another one', async () => {
    const { files, manager, clock } = new LogFixture(28, {}, { directories: ['/a', '/b'] });
    await manager.open();
    const other = manager.directories[1]!;
    manager.prefer('t', 0, other);
    const log = await manager.create('t', 0);
    const { replaceFile } = files;
    files.replaceFile = (path, bytes) =>
      path.startsWith('/a/') ? new Promise(() => {}) : replaceFile.call(files, path, bytes);
    const checkpointed = () =>
      new TextDecoder().decode(files.bytes('/b/replication-offset-checkpoint')).split('\n')[2];
    for (const offset of [1n, 2n]) {
      await log.append(batch()).written;
      log.highWatermark = offset;
      clock.tick(5000);
      await settle();
      assert.equal(checkpointed(), `t 0 ${offset}`);
    }
  });
});
