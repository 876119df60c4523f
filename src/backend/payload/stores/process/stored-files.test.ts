import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { NativeMemory } from '../../../../native/arena.ts';
import { crc32c } from '../../../../native/batch.ts';
import { Store } from '../../../../native/store.ts';
import { systemClock } from '../../../../util/clock.ts';
import { silentLogger } from '../../../../util/logger.ts';
import { StoreError } from '../messages.ts';
import { GatewayFiles } from './gateway-files.ts';
import { OpenFiles } from './open-files.ts';
import { StoreDirectory } from './store-directory.ts';
import { PIECE_BYTES } from './stored-file-parts.ts';
import {
  append,
  contentOf,
  filesOf,
  GATEWAY,
  gate,
  NEW,
  nameOf,
  PARTITION,
  sourceOf,
  TestDirectory,
} from './testing.ts';

describe('The files of a store', () => {
  let test: TestDirectory;

  beforeEach(async () => {
    test = new TestDirectory();
    await test.open();
  });
  afterEach(() => test.end());

  async function created(segment: number) {
    const files = await test.directory.filesOf(GATEWAY);
    await files.create(nameOf(segment), NEW);
    return files.use(nameOf(segment));
  }

  it('put appends behind each other in the order in which they were asked for, whatever comes first', async () => {
    const file = await created(1);
    const parts = [100_000, 5, 70_001, 4096, 1].map((length, i) => Buffer.alloc(length, i + 1));
    const { passed, open } = gate();
    let position = 0;
    const appended = parts.map((part, i) => {
      const done = append(file, position, part, i === 0 ? () => passed : undefined);
      position += part.byteLength;
      return done;
    });
    open();
    await Promise.all(appended);
    const all = Buffer.concat(parts);
    assert.ok((await contentOf(file, 0, all.length)).equals(all));
    assert.ok((await contentOf(file, 99_999, 10)).equals(all.subarray(99_999, 100_009)));
    await file.seal(100_003, false);
    assert.ok((await contentOf(file, 0, all.length)).equals(all.subarray(0, 100_003)));
  });

  it('stay open while something of them is skipped, as while something is appended', async () => {
    const file = await created(1);
    const begun = gate();
    const { passed, open } = gate();
    test.faults.truncate = async (_path, doIt) => {
      begun.open();
      await passed;
      await doIt();
    };
    const skipped = file.skip(0, 4096);
    await begun.passed;
    // As `OpenFiles` does with those that were not used for longest.
    if (!file.isBusy) void file.release();
    open();
    await skipped;
    await file.seal(4096, false);
  });

  it('leave out what is skipped: zeros that take no space, and are there after a crash', async () => {
    const file = await created(1);
    const [head, tail] = [Buffer.alloc(5000, 7), Buffer.alloc(70_000, 9)];
    const skipped = 3 << 20;
    await Promise.all([
      append(file, 0, head),
      file.skip(head.length, skipped),
      append(file, head.length + skipped, tail),
    ]);
    const all = Buffer.concat([head, Buffer.alloc(skipped), tail]);
    assert.ok((await contentOf(file, 0, all.length)).equals(all));
    assert.throws(() => file.skip(5, 10), { code: 'EILSEQ' });
    await file.seal(all.length, false);
    assert.throws(() => file.skip(all.length, 10), { code: 'EPERM' });
    const [path] = filesOf(test.path, '.payload');
    assert.ok(statSync(path!).blocks * 512 < 200_000, `${statSync(path!).blocks} blocks`);
    assert.ok((await contentOf(file, 0, all.length)).equals(all));

    const open = await created(2);
    await append(open, 0, head);
    await open.skip(head.length, 100_000);
    await append(open, head.length + 100_000, tail);
    await test.crash();
    const files = await test.directory.filesOf(GATEWAY);
    assert.equal(files.use(nameOf(2)).bytes, head.length + 100_000 + tail.length);
  });

  it('take what is large in pieces, so that it needs no more memory than others', async () => {
    const file = await created(1);
    const head = Buffer.alloc(5000, 7);
    const large = Buffer.alloc(2 * PIECE_BYTES + 12_345);
    for (let at = 0; at + 4 <= large.length; at += 4) large.writeUInt32LE((at * 7919) % 2 ** 32, at);
    await append(file, 0, head);
    const asked: number[] = [];
    let freed = 0;
    const source = sourceOf(large);
    await file.append(head.length, large.length, {
      ...source,
      allocate: (bytes) => {
        asked.push(bytes);
        return source.allocate(bytes);
      },
      freed: (bytes) => {
        freed += bytes;
      },
    });
    assert.ok(asked.length >= 3 && asked.every((bytes) => bytes <= PIECE_BYTES), String(asked));
    await file.sync();
    assert.equal(
      freed,
      asked.reduce((sum, bytes) => sum + bytes),
    );
    let crc = 0;
    for (let at = 0; at < large.length; ) {
      const read = (await file.read(head.length + at, 1 << 20, crc))!;
      crc = read.crc32c;
      at += read.piece.byteLength;
      read.piece.memory.release();
    }
    assert.equal(crc, crc32c(large));
  });

  it('take nothing behind an append that failed', async () => {
    const file = await created(1);
    await append(file, 0, Buffer.alloc(1000, 1));
    const failing = append(file, 1000, Buffer.alloc(1000, 2), () =>
      Promise.reject(new StoreError('ENOTCONN', 'gone')),
    );
    const behind = append(file, 2000, Buffer.alloc(1000, 3));
    await assert.rejects(failing, { code: 'ENOTCONN' });
    await assert.rejects(behind, { code: 'EIO' });
    assert.throws(() => append(file, 3000, Buffer.alloc(1)), { code: 'EPERM' });
    assert.equal(file.bytes, 1000);
    await file.sync();
    await assert.rejects(file.seal(1001, true), { code: 'EBADMSG' });
    await file.seal(1000, false);
    assert.ok((await contentOf(file, 0, 2000)).equals(Buffer.alloc(1000, 1)));
    assert.equal(test.directory.disk.state, 'ok');
  });

  it('that are complete are cut again when the gateway has less, durably', async () => {
    const file = await created(1);
    const bytes = Buffer.alloc(10_000, 5);
    await append(file, 0, bytes);
    await file.seal(9000, false);
    await assert.rejects(file.seal(9001, true), { code: 'EBADMSG' });
    let flushed = 0;
    test.faults.sync = (_, doIt) => {
      flushed++;
      return doIt();
    };
    await file.seal(7000, false);
    assert.equal(flushed, 1);
    assert.deepEqual([file.bytes, test.directory.usedBytes], [7000, 7000]);
    assert.equal((await contentOf(file, 0, 10_000)).length, 7000);
    await test.crash();
    const again = (await test.directory.filesOf(GATEWAY)).use(nameOf(1));
    assert.deepEqual([again.bytes, again.sealed], [7000, true]);
    await again.seal(7000, false);
    assert.ok((await contentOf(again, 0, 10_000)).equals(bytes.subarray(0, 7000)));
  });

  it('are read and flushed while they are completed', async () => {
    for (let round = 0; round < 10; round++) {
      const file = await created(round);
      const bytes = Buffer.alloc(30_000, round + 1);
      await append(file, 0, bytes);
      // Completing stands still before each step, while others go on.
      const { passed, open } = gate();
      test.faults.truncate = (_, doIt) => passed.then(doIt);
      const sealed = file.seal(30_000, false);
      assert.throws(() => append(file, 30_000, bytes), { code: 'EPERM' });
      const during = [file.sync(), file.seal(30_000, false), file.sync()];
      assert.ok((await contentOf(file, 0, 30_000)).equals(bytes));
      open();
      const reads = Array.from({ length: 20 }, async (_, i) => {
        for (let turn = 0; turn < i; turn++) await new Promise(setImmediate);
        assert.ok((await contentOf(file, 0, 30_000)).equals(bytes));
      });
      await Promise.all([sealed, ...during, ...reads]);
      assert.ok(file.sealed);
      delete test.faults.truncate;
    }
    assert.deepEqual(filesOf(test.path, '.marks'), []);
  });

  it('are closed when too many are open, and opened again when they are used', async () => {
    const open = new OpenFiles(2);
    const { disk, tiers } = test.directory;
    const unseen = () => null;
    const shared = {
      ...{ store: test.store, open, disk, tiers, unseen },
      ...{ clock: systemClock, logger: silentLogger },
    };
    const files = new GatewayFiles(join(test.root, 'few'), shared);
    const parts = [Buffer.alloc(3000, 1), Buffer.alloc(6001, 2)];
    const numbers = [0, 1, 2, 3, 4, 5];
    let opened = 0;
    test.faults.open = (_, doIt) => {
      opened++;
      return doIt();
    };
    for (const i of numbers) {
      await files.create(nameOf(i), NEW);
      await append(files.use(nameOf(i)), 0, parts[0]!);
      assert.ok(open.count <= 2);
    }
    assert.equal(opened, 12);
    for (const i of numbers) await files.use(nameOf(i)).sync();
    for (const i of numbers) {
      await append(files.use(nameOf(i)), 3000, parts[1]!);
      if (i % 2 === 0) await files.use(nameOf(i)).seal(9001, false);
    }
    assert.ok(opened > 24);
    for (const i of numbers)
      assert.ok((await contentOf(files.use(nameOf(i)), 0, 9001)).equals(Buffer.concat(parts)));
    // One that is used stays open.
    const { passed, open: go } = gate();
    const busy = append(files.use(nameOf(1)), 9001, parts[0]!, () => passed);
    for (const i of numbers) await contentOf(files.use(nameOf(i)), 0, 1);
    go();
    await busy;
    await files.close();
  });

  it('are listed in pages, and removed with their directory', async () => {
    await created(0);
    const directoryOfPartition = join(test.path, 'c.1', PARTITION);
    await test.close();
    for (let i = 1; i < 2500; i++)
      writeFileSync(join(directoryOfPartition, `${nameOf(i).split('/')[1]}.payload`), 'x');
    writeFileSync(join(directoryOfPartition, 'what is this'), '');
    await test.open();
    const again = await test.directory.filesOf(GATEWAY);
    const names: string[] = [];
    for (let more = true; more; ) {
      const page = again.list(names[names.length - 1] ?? '');
      names.push(...page.files.map(({ file }) => file));
      more = page.more;
    }
    assert.deepEqual(
      names,
      Array.from({ length: 2500 }, (_, i) => nameOf(i)),
    );
    rmSync(join(directoryOfPartition, 'what is this'));
    for (const name of names) await again.remove(name);
    assert.deepEqual(readdirSync(join(test.path, 'c.1')), []);
    assert.deepEqual(again.list('').files, []);
    assert.equal(test.directory.usedBytes, 0);
  });

  it('are completed with what was on its way when that was asked for', async () => {
    const file = await created(1);
    const bytes = Buffer.alloc(20_000, 4);
    const { passed, open } = gate();
    const appended = [append(file, 0, bytes, () => passed), append(file, 20_000, bytes)];
    const sealed = file.seal(40_000, false);
    setImmediate(open);
    await Promise.all([...appended, sealed]);
    assert.ok((await contentOf(file, 0, 50_000)).equals(Buffer.concat([bytes, bytes])));
  });

  it('may have the name of one that is being removed, and are then another one', async () => {
    const file = await created(1);
    await append(file, 0, Buffer.alloc(5000, 1));
    const files = await test.directory.filesOf(GATEWAY);
    const removed = files.remove(nameOf(1));
    await files.create(nameOf(1), NEW);
    await removed;
    const again = files.use(nameOf(1));
    await append(again, 0, Buffer.alloc(10, 2));
    await again.seal(10, false);
    assert.ok((await contentOf(again, 0, 100)).equals(Buffer.alloc(10, 2)));
    await assert.rejects(contentOf(file, 0, 10), { code: 'ENOENT' });
    assert.ok(existsSync(again.path));
  });

  it('are begun while the directory of their partition goes with the last file in it', async () => {
    const { rmdir, mkdir } = fsPromises;
    let isMade = false;
    fsPromises.mkdir = (async (...given: Parameters<typeof mkdir>) => {
      const made = await mkdir(...given);
      isMade = true;
      return made;
    }) as typeof mkdir;
    const leaves = gate();
    // Goes when the directory was made, if anybody makes it meanwhile, and before there is a file in it.
    fsPromises.rmdir = async (path) => {
      isMade = false;
      leaves.open();
      for (let turns = 0; turns < 1000 && !isMade; turns++) await turn();
      await rmdir(path);
    };
    syncBuiltinESMExports();
    try {
      await created(1);
      const files = await test.directory.filesOf(GATEWAY);
      const removed = files.remove(nameOf(1));
      await leaves.passed;
      test.faults.open = async (_path, open) => {
        await removed;
        return open();
      };
      await files.create(nameOf(2), NEW);
      assert.ok(existsSync(files.use(nameOf(2)).path));
    } finally {
      Object.assign(fsPromises, { rmdir, mkdir });
      syncBuiltinESMExports();
    }
  });

  it('that are removed while they are begun leave nothing', async () => {
    const files = await test.directory.filesOf(GATEWAY);
    const [isOpening, goesOn] = [gate(), gate()];
    test.faults.open = async (_path, open) => {
      isOpening.open();
      await goesOn.passed;
      return open();
    };
    const begun = files.create(nameOf(1), NEW);
    await isOpening.passed;
    const removed = files.remove(nameOf(1));
    goesOn.open();
    await Promise.all([begun, removed]);
    assert.deepEqual(readdirSync(join(test.path, 'c.1')), []);
    assert.throws(() => files.use(nameOf(1)), { code: 'ENOENT' });
  });

  it('are refused when their directory is another’s', async () => {
    await test.close();
    writeFileSync(join(test.path, 'store.properties'), 'nonsense');
    const native = new Store({ threads: 1 });
    await assert.rejects(
      StoreDirectory.open(test.path, native, async () => undefined),
      /is not understood/,
    );
    await native.shutdown();
    rmSync(join(test.path, 'store.properties'));
    await test.open();
  });

  it('are refused when nobody knows whose they are', async () => {
    await created(1);
    await test.close();
    const properties = join(test.path, 'store.properties');
    const before = readFileSync(properties);
    rmSync(properties);
    await assert.rejects(test.open(), /has files of c\.1, but no store\.properties: put it back/);
    assert.ok(!existsSync(properties));
    writeFileSync(properties, before);
    await test.open();
  });

  it('give memory back when it is not used', async () => {
    const file = await created(1);
    let given = 0;
    const source = sourceOf(Buffer.alloc(10_000, 1), () => Promise.reject(new Error('gone')));
    await assert.rejects(
      file.append(0, 10_000, {
        ...source,
        allocate: async (bytes) => {
          given += bytes;
          return NativeMemory.allocate(bytes)!;
        },
        freed: (bytes) => {
          given -= bytes;
        },
      }),
      /gone/,
    );
    assert.equal(given, 0);
  });
});
