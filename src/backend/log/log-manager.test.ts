import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { silentLogger } from '../../util/logger.ts';
import { LogErrorCode } from './errors.ts';
import type { PartitionLog } from './partition-log.ts';
import { testBatch } from './testing/batches.ts';
import { LogFixture, readAll } from './testing/log-fixture.ts';

const TOPIC_ID = 'fhsr5JwYQoejg4UB0BWw9Q';
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const batch = (value = 'v', timestamp = 1_700_000_000_000) => testBatch([{ value, timestamp }]);

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

async function fill(log: PartitionLog, count: number): Promise<void> {
  for (let index = 0; index < count; index++) log.append(batch(`value ${index}`));
  await log.flush();
}

describe('LogManager', () => {
  it('writes the files that Kafka expects', async () => {
    const fixture = new LogFixture(1, { segmentBytes: 400 }, { clusterId: 'khvrII2lTW2pdGQQ28--TQ' });
    const log = await fixture.open();
    log.becomeLeader(5);
    await fill(log, 6);
    log.highWatermark = log.logEndOffset;
    await fixture.manager.close();
    const names = fixture.files.paths().map((path) => path.slice('/data/'.length));
    for (const name of [
      '.kafka_cleanshutdown',
      'meta.properties',
      'recovery-point-offset-checkpoint',
      'log-start-offset-checkpoint',
      'replication-offset-checkpoint',
      't-0/00000000000000000000.log',
      't-0/00000000000000000000.index',
      't-0/00000000000000000000.timeindex',
      't-0/00000000000000000006.snapshot',
      't-0/leader-epoch-checkpoint',
      't-0/partition.metadata',
    ]) {
      assert.ok(names.includes(name), `${name} is not among ${names.join(' ')}`);
    }
    const content = (name: string) => text(fixture.files.bytes(`/data/${name}`));
    assert.match(
      content('meta.properties'),
      /^node.id=1\ndirectory.id=\S{22}\nversion=1\ncluster.id=khvrII2lTW2pdGQQ28--TQ\n$/,
    );
    assert.equal(content('recovery-point-offset-checkpoint'), '0\n1\nt 0 6\n');
    assert.equal(content('replication-offset-checkpoint'), '0\n1\nt 0 6\n');
    assert.equal(content('t-0/leader-epoch-checkpoint'), '0\n1\n5 0\n');
    assert.equal(content('t-0/partition.metadata'), 'version: 0\ntopic_id: B4sB6MhZSGiyDvPbRqbsaw');
  });

  it('puts a new log into the directory with the fewest partitions', async () => {
    const fixture = new LogFixture(2, {}, { directories: ['/a', '/b'] });
    await fixture.manager.open();
    for (let partition = 0; partition < 5; partition++) await fixture.manager.create('t', partition);
    const counts = fixture.manager.directories.map((directory) => directory.logs.size);
    assert.deepEqual(counts.sort(), [2, 3]);
  });

  it('makes and deletes many partitions at the same time, each in order, and durably', async () => {
    const fixture = new LogFixture(21, {}, { directories: ['/a', '/b'] });
    const { manager } = fixture;
    await manager.open();
    const indexes = Array.from({ length: 40 }, (_, index) => index);
    const made = indexes.map((index) => manager.create('t', index, { topicId: TOPIC_ID }));
    const gone = indexes.slice(0, 10).map((index) => manager.delete('t', index));
    const again = manager.create('t', 3, { topicId: TOPIC_ID });
    await Promise.all([...made, ...gone]);
    assert.notEqual(await again, await made[3]);
    const counts = manager.directories.map((directory) => directory.logs.size);
    assert.equal(counts[0]! + counts[1]!, 31);
    assert.ok(Math.min(...counts) >= 10, `spread over the directories: ${counts}`);
    fixture.files.crash({ power: true });
    const next = new LogFixture(21, {}, { directories: ['/a', '/b'], fileSystem: fixture.files.mount() });
    await next.manager.open();
    const found = Array.from(next.manager.logs(), (log) => log.partition).sort((one, other) => one - other);
    assert.deepEqual(found, [3, ...indexes.slice(10)]);
    for (const log of next.manager.logs()) assert.equal(log.topicId, TOPIC_ID);
  });

  it('advances the recovery points of other logs when one finds no room for its indexes', async () => {
    const { files, manager } = new LogFixture(24, { segmentBytes: 400 });
    await manager.open();
    const logs = [await manager.create('t', 0), await manager.create('t', 1)];
    files.fault = (operation, path) =>
      operation === 'replaceFile' && path.startsWith('/data/t-0/') ? 'ENOSPC' : null;
    for (const log of logs) await fill(log, 6);
    await assert.rejects(manager.directories[0]!.advanceRecoveryPoints(), { code: 'ENOSPC' });
    const points = text(files.bytes('/data/recovery-point-offset-checkpoint'));
    assert.match(points, /^t 0 0$/m);
    assert.match(points, /^t 1 5$/m);
  });

  it('leaves nothing of a partition that could not be made, so that it can be made elsewhere', async () => {
    const fixture = new LogFixture(20, {}, { directories: ['/a', '/b'] });
    const { files, manager } = fixture;
    await manager.open();
    files.fault = (operation) => (operation === 'replaceFile' ? 'ENOSPC' : null);
    const storageError = { code: LogErrorCode.KAFKA_STORAGE_ERROR };
    await assert.rejects(manager.create('t', 0, { topicId: TOPIC_ID }), storageError);
    files.fault = () => null;
    manager.isCordoned = (directory) => directory === '/a';
    await fill(await manager.create('t', 0, { topicId: TOPIC_ID }), 1);
    await manager.close();
    const next = new LogFixture(20, {}, { directories: ['/a', '/b'], fileSystem: files.mount() });
    await next.manager.open();
    assert.equal(next.manager.get('t', 0)?.logEndOffset, 1n);
  });

  it('gives the log that is there, unless it is of another topic id', async () => {
    const { manager } = new LogFixture(3);
    await manager.open();
    const [one, two] = await Promise.all([
      manager.create('t', 0, { topicId: TOPIC_ID }),
      manager.create('t', 0, { topicId: TOPIC_ID }),
    ]);
    assert.equal(one, two);
    const other = manager.create('t', 0, { topicId: 'B4sB6MhZSGiyDvPbRqbsaw' });
    await assert.rejects(other, { code: LogErrorCode.INCONSISTENT_TOPIC_ID });
  });

  it('makes a log where the one of a topic that is gone cannot be removed, and knows both until it is', async () => {
    const fixture = new LogFixture(22, {}, { directories: ['/a', '/b'] });
    const { files, manager } = fixture;
    await manager.open();
    const left = await manager.create('t', 0, { topicId: 'B4sB6MhZSGiyDvPbRqbsaw' });
    await fill(left, 1);
    const failed = manager.directoryOf(left)!;
    files.fault = (_, path) => (path.startsWith(`${failed.path}/`) ? 'EIO' : null);
    failed.fail(new Error('EIO'));
    await assert.rejects(manager.delete('t', 0), { code: LogErrorCode.KAFKA_STORAGE_ERROR });
    const made = await manager.create('t', 0, { topicId: TOPIC_ID });
    assert.notEqual(manager.directoryOf(made), failed);
    assert.equal(manager.get('t', 0), made);
    await fill(made, 2);
    files.crash({ power: true });
    files.fault = () => null;
    const next = new LogFixture(22, {}, { directories: ['/a', '/b'], fileSystem: files.mount() });
    await next.manager.open();
    assert.equal([...next.manager.logs()].length, 2);
    await next.manager.delete('t', 0, left.topicId);
    assert.equal(next.manager.get('t', 0)?.logEndOffset, 2n);
    await next.manager.close();
  });

  it('deletes a partition at once for its users and later on disk, and begins anew', async () => {
    const fixture = new LogFixture(4, { fileDeleteDelayMs: 5000 });
    const log = await fixture.open();
    await fill(log, 3);
    fixture.files.put('/data/t-0/payload/x.payload', new Uint8Array(5));
    log.highWatermark = 3n;
    await log.deleteRecordsBefore(2n);
    await fixture.manager.delete('t', 0);
    assert.equal(fixture.manager.get('t', 0), undefined);
    assert.throws(() => log.append(batch()), { code: LogErrorCode.KAFKA_STORAGE_ERROR });
    assert.ok(fixture.files.paths().some((path) => /^\/data\/t-0\.[0-9a-f]{32}-delete\/.*log$/.test(path)));
    const again = await fixture.manager.create('t', 0, { topicId: TOPIC_ID });
    await fill(again, 1);
    fixture.clock.tick(5000);
    await settle();
    assert.deepEqual(
      fixture.files.paths().filter((path) => path.includes('-delete')),
      [],
    );
    const recovered = await fixture.crash({ power: true }).catch(() => fixture.manager.get('t', 0));
    assert.equal(recovered?.logStartOffset, 0n);
    assert.equal(recovered?.logEndOffset, 1n);
  });

  it('deletes a partition also when the disk is too full for the checkpoints', async () => {
    const fixture = new LogFixture(16, { fileDeleteDelayMs: 5000 });
    const { files } = fixture;
    const log = await fixture.open();
    await fill(log, 3);
    log.highWatermark = 3n;
    await log.deleteRecordsBefore(2n);
    files.fault = (operation) => (operation === 'replaceFile' ? 'ENOSPC' : null);
    await fixture.manager.delete('t', 0);
    assert.equal(fixture.manager.get('t', 0), undefined);
    fixture.clock.tick(5000);
    await settle();
    assert.equal(
      files.paths().some((path) => path.includes('/t-0')),
      false,
    );
    const storageError = { code: LogErrorCode.KAFKA_STORAGE_ERROR };
    await assert.rejects(
      fixture.manager.create('t', 0),
      storageError,
      'it would find the offsets of the other',
    );
    files.fault = () => null;
    await fill(await fixture.manager.create('t', 0), 1);
    const recovered = await fixture.crash({ power: true });
    assert.equal(recovered.logStartOffset, 0n);
    assert.equal(recovered.logEndOffset, 1n);
  });

  it('removes at start what was left of deleted partitions', async () => {
    const fixture = new LogFixture(5, { fileDeleteDelayMs: 60_000 });
    await fill(await fixture.open(), 3);
    await fixture.manager.delete('t', 0);
    await fixture.crash({ power: false });
    await settle();
    assert.equal(
      fixture.files.paths().some((path) => path.includes('-delete')),
      false,
    );
  });

  it('goes on with the other directories when one cannot be opened', async () => {
    const offline: string[] = [];
    const fixture = new LogFixture(6, {}, { directories: ['/a', '/b'] });
    fixture.manager.onOffline = (path) => offline.push(path);
    fixture.files.fault = (_, path) => (path.startsWith('/a') ? 'EACCES' : null);
    await fixture.manager.open();
    assert.deepEqual(offline, ['/a']);
    const log = await fixture.manager.create('t', 0);
    assert.ok(log.directory.startsWith('/b'));
    assert.match(fixture.manager.directories[0]?.error?.message ?? '', /\/a.*EACCES/);
    await fixture.manager.close();
  });

  it('goes on with the other directories when the disk of one is not mounted, and has it again when it is', async () => {
    const directories = ['/a', '/b', '/c'];
    const fixture = new LogFixture(25, {}, { directories: ['/a', '/b'] });
    await fixture.manager.open();
    for (const partition of [0, 1]) await fill(await fixture.manager.create('t', partition), 2);
    await fixture.manager.close();
    const { files } = fixture;
    await files.rename('/b', '/unmounted');
    const open = async () => {
      const { manager } = new LogFixture(25, {}, { directories, fileSystem: files.mount() });
      await manager.open();
      return manager;
    };
    for (let start = 0; start < 2; start++) {
      const manager = await open();
      assert.deepEqual(
        manager.directories.map(({ error }) => error?.message.replace(/;.*/, '') ?? null),
        [null, 'log directory /b: it was in use and has no meta.properties now', null],
      );
      assert.equal([...manager.logs()].length, 1);
      await manager.close();
    }
    await files.remove('/b');
    await files.rename('/unmounted', '/b');
    const back = await open();
    assert.deepEqual(
      Array.from(back.logs(), ({ logEndOffset }) => logEndOffset),
      [2n, 2n],
    );
    await back.close();
    // Given up.
    await files.remove('/b');
    for (const path of ['/a', '/c']) await files.remove(`${path}/known-log-dirs.json`);
    const last = await open();
    assert.ok(last.directories.every(({ error }) => error === null));
    await last.close();
  });

  it('says that a new cluster begins, as where the disk of the only directory is not mounted, and only then', async () => {
    const warnings: object[] = [];
    const logger = { ...silentLogger, warn: (fields: object) => warnings.push(fields) };
    const fixture = new LogFixture(28, {}, { logger });
    for (let start = 0; start < 2; start++) {
      await fixture.open();
      await fixture.manager.close();
      assert.deepEqual(warnings, [{ clusterId: fixture.manager.clusterId, directories: ['/data'] }]);
    }
    await fixture.files.rename('/data', '/unmounted');
    await fixture.open();
    assert.equal(warnings.length, 2);
  });

  it('refuses to open when no directory can be used', async () => {
    const fixture = new LogFixture(7);
    fixture.files.fault = () => 'EACCES';
    await assert.rejects(fixture.manager.open(), /no log directory can be used.*\/data.*EACCES/);
  });

  it('takes a directory out of use when its disk fails', async () => {
    const fixture = new LogFixture(8, {}, { directories: ['/a', '/b'] });
    await fixture.manager.open();
    const a = await fixture.manager.create('t', 0);
    const b = await fixture.manager.create('t', 1);
    const failing = a.directory.startsWith('/a') ? a : b;
    const offline: PartitionLog[] = [];
    fixture.manager.onOffline = (_, logs) => offline.push(...logs);
    const other = failing === a ? b : a;
    fixture.files.fault = (operation, path) =>
      operation === 'write' && path.startsWith('/a') ? 'EIO' : null;
    await assert.rejects(failing.append(batch()).written!, { code: LogErrorCode.KAFKA_STORAGE_ERROR });
    await settle();
    assert.throws(() => failing.append(batch()), { code: LogErrorCode.KAFKA_STORAGE_ERROR });
    assert.deepEqual(offline, [failing]);
    assert.match(fixture.manager.directories.find(({ path }) => path === '/a')?.error?.message ?? '', /EIO/);
    await other.append(batch()).written;
    await fixture.manager.close();
    assert.equal(fixture.files.paths().includes('/a/.kafka_cleanshutdown'), false);
    assert.equal(fixture.files.paths().includes('/b/.kafka_cleanshutdown'), true);
  });

  // A full disk is one that may pass, but not here: the kernel may have dropped what it could not write.
  for (const code of ['EIO', 'ENOSPC']) {
    it(`takes a directory out of use after one flush failed with ${code}, and flushes nothing again`, async () => {
      const fixture = new LogFixture(15, {}, { directories: ['/a', '/b'] });
      const { files, manager } = fixture;
      await manager.open();
      const [one, two] = [await manager.create('t', 0), await manager.create('t', 1)];
      const [failing, other] = one.directory.startsWith('/a') ? [one, two] : [two, one];
      const offline: PartitionLog[] = [];
      manager.onOffline = (_, logs) => offline.push(...logs);
      await fill(failing, 1);
      let flushes = 0;
      files.fault = (operation, path) => {
        if (operation !== 'sync' || !path.startsWith('/a')) return null;
        return ++flushes === 1 ? code : null;
      };
      await failing.append(batch()).written;
      const storageError = { code: LogErrorCode.KAFKA_STORAGE_ERROR };
      await Promise.all([
        assert.rejects(failing.flush(), storageError),
        assert.rejects(failing.flush(), storageError),
      ]);
      await assert.rejects(failing.flush(), storageError);
      assert.throws(() => failing.append(batch()), storageError);
      fixture.clock.tick(400_000);
      await settle();
      assert.deepEqual(offline, [failing]);
      assert.match(manager.directories.find(({ path }) => path === '/a')!.error!.message, new RegExp(code));
      assert.equal(failing.flushedOffset, 1n);
      await fill(other, 2);
      assert.equal(other.flushedOffset, 2n);
      await manager.close();
      assert.equal(flushes, 1);
      assert.equal(files.paths().includes('/a/.kafka_cleanshutdown'), false);
      assert.equal(files.paths().includes('/b/.kafka_cleanshutdown'), true);
    });
  }

  it('leaves it to the next start to look at a log that could not be truncated', async () => {
    const fixture = new LogFixture(29);
    const log = await fixture.open();
    await fill(log, 3);
    fixture.files.fault = (operation) => (operation === 'truncate' ? 'EMFILE' : null);
    await assert.rejects(log.truncateTo(1n), { code: LogErrorCode.KAFKA_STORAGE_ERROR });
    fixture.files.fault = () => null;
    await fixture.manager.close();
    assert.equal(fixture.files.paths().includes('/data/.kafka_cleanshutdown'), false);
  });

  it('refuses a directory of another node or in use, and directories of two clusters', async () => {
    const fixture = new LogFixture(9);
    const meta = (node: number, cluster: string) =>
      new TextEncoder().encode(`#\n#Sat Nov 21\nnode.id=${node}\nversion=1\ncluster.id=${cluster}\n`);
    fixture.files.put('/data/meta.properties', meta(2, 'x'));
    await assert.rejects(fixture.manager.open(), /belongs to node 2, not 1/);
    const two = new LogFixture(10, {}, { directories: ['/a', '/b'] });
    two.files.put('/a/meta.properties', meta(1, 'x'));
    two.files.put('/b/meta.properties', meta(1, 'y'));
    await assert.rejects(two.manager.open(), /clusters x and y/);
  });

  it('closes files that nobody uses, and opens them again', async () => {
    const fixture = new LogFixture(11, {}, { intervals: { idleFileMs: 1000 } });
    const log = await fixture.open();
    await fill(log, 3);
    assert.equal(fixture.files.openFiles, 1);
    for (let pass = 0; pass < 3; pass++) {
      fixture.clock.tick(1000);
      await settle();
    }
    assert.equal(fixture.files.openFiles, 0);
    assert.equal((await readAll(log)).length, 3);
    await fill(log, 1);
    assert.equal(fixture.files.openFiles, 1);
    assert.equal((await readAll(log)).length, 4);
  });

  it('flushes when flush.ms is over or flush.messages have come', async () => {
    const fixture = new LogFixture(12, { flushMs: 5000, flushMessages: 3 });
    const log = await fixture.open();
    await log.append(batch()).written;
    for (let second = 0; second < 9; second++) {
      fixture.clock.tick(1000);
      await settle();
    }
    assert.equal(log.flushedOffset, 1n);
    for (let index = 0; index < 3; index++) log.append(batch());
    await settle();
    assert.equal(log.flushedOffset, 4n);
  });

  it('applies retention in the background', async () => {
    const fixture = new LogFixture(13, { segmentBytes: 300, retentionMs: 10_000, fileDeleteDelayMs: 0 });
    const log = await fixture.open();
    const starts: bigint[] = [];
    log.onLogStartOffset = (offset) => starts.push(offset);
    for (let index = 0; index < 20; index++) log.append(batch('v', fixture.clock.now()));
    await log.flush();
    log.highWatermark = 20n;
    fixture.clock.tick(400_000);
    await settle();
    assert.deepEqual(starts, [20n]);
    assert.equal(log.logStartOffset, 20n);
    assert.equal(log.logEndOffset, 20n);
    const again = await fixture.crash({ power: true });
    assert.equal(again.logStartOffset, 20n);
    assert.equal(again.logEndOffset, 20n);
  });

  it('applies retention to the other logs when the disk is too full for one', async () => {
    const fixture = new LogFixture(19, { segmentBytes: 300, retentionMs: 10_000, fileDeleteDelayMs: 0 });
    const { files } = fixture;
    const full = await fixture.open();
    const other = await fixture.manager.create('t', 1, { config: fixture.config });
    for (const log of [full, other]) {
      for (let index = 0; index < 20; index++) log.append(batch('v', fixture.clock.now()));
      await log.flush();
      log.highWatermark = 20n;
    }
    files.fault = (operation, path) =>
      operation === 'open' && path.startsWith('/data/t-0/') ? 'ENOSPC' : null;
    fixture.clock.tick(400_000);
    await settle();
    assert.equal(full.logStartOffset, 0n);
    assert.equal(other.logStartOffset, 20n);
  });

  it('keeps what is appended while retention looks at older segments', async () => {
    const fixture = new LogFixture(17, { segmentBytes: 300, retentionMs: 10_000 });
    await fixture.open();
    const first = fixture.manager.get('t', 0)!;
    for (let index = 0; index < 18; index++) first.append(batch('v', fixture.clock.now()));
    await first.flush();
    const log = await fixture.reopen();
    log.highWatermark = 18n;
    fixture.clock.tick(20_000);
    let appended = 0;
    fixture.files.fault = (operation, path) => {
      if (operation === 'readFile' && path.endsWith('.timeindex') && appended++ === 0)
        log.append(batch('new', fixture.clock.now()));
      return null;
    };
    await log.deleteOldSegments();
    assert.ok(appended > 0, 'an index was read');
    assert.equal(log.logEndOffset, 19n);
    assert.equal((await readAll(log)).at(-1)?.baseOffset, 18n);
  });

  it('tells of a log start only when it is durable', async () => {
    const fixture = new LogFixture(18, { segmentBytes: 300, retentionMs: -1 });
    const log = await fixture.open();
    await fill(log, 20);
    log.highWatermark = 20n;
    const starts: bigint[] = [];
    log.onLogStartOffset = (offset) => starts.push(offset);
    fixture.files.fault = (operation, path) =>
      operation === 'replaceFile' && path.endsWith('log-start-offset-checkpoint') ? 'ENOSPC' : null;
    await assert.rejects(log.deleteRecordsBefore(10n), /ENOSPC/);
    await log.deleteOldSegments();
    fixture.files.fault = () => null;
    const { logStartOffset } = await fixture.crash({ power: true });
    assert.ok(logStartOffset > 0n && logStartOffset < 10n, `from ${logStartOffset} on`);
    assert.deepEqual(starts, [logStartOffset]);
  });

  it('forgets silent producers after the time that is configured by then', async () => {
    const fixture = new LogFixture(14);
    const log = await fixture.open();
    const record = { value: 'v', timestamp: fixture.clock.now() };
    log.append(testBatch([record], { producerId: 7n, producerEpoch: 0, baseSequence: 0 }));
    await log.flush();
    fixture.clock.tick(5000);
    log.expireProducers();
    assert.equal(log.activeProducers().length, 1);
    fixture.manager.producerIdExpirationMs = 4000;
    log.expireProducers();
    assert.deepEqual(log.activeProducers(), []);
    await fixture.manager.close();
  });
});
