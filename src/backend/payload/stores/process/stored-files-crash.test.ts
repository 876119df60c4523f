import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { MARK_BYTES } from './marks.ts';
import {
  append,
  contentOf,
  diskError,
  filesOf,
  GATEWAY,
  gate,
  NEW,
  nameOf,
  TestDirectory,
} from './testing.ts';

const PARTS = [5000, 12_288, 1, 70_000].map((length, i) => Buffer.alloc(length, i + 1));
const ALL = Buffer.concat(PARTS);
const WITHOUT_LAST = ALL.length - 70_000;

describe('The files of a store that failed', () => {
  let test: TestDirectory;

  beforeEach(async () => {
    test = new TestDirectory();
    await test.open();
  });
  afterEach(() => test.end());

  async function fileOf(segment = 1) {
    return (await test.directory.filesOf(GATEWAY)).use(nameOf(segment));
  }

  /** A file with `PARTS`, of which so many were flushed. */
  async function written(flushed = 0, segment = 1) {
    const files = await test.directory.filesOf(GATEWAY);
    await files.create(nameOf(segment), NEW);
    const file = files.use(nameOf(segment));
    let position = 0;
    for (const [i, part] of PARTS.entries()) {
      await append(file, position, part);
      position += part.length;
      if (i + 1 === flushed) await file.sync();
    }
    return file;
  }

  function overwrite(path: string, position: number, byte: number): void {
    const descriptor = openSync(path, 'r+');
    writeSync(descriptor, Buffer.of(byte), 0, 1, position);
    closeSync(descriptor);
  }

  for (const flushed of [0, 2, 4])
    it(`have what was acknowledged, and not what its size says, with ${flushed} appends flushed`, async () => {
      await written(flushed);
      await test.crash();
      const file = await fileOf();
      assert.ok(statSync(file.path).size > ALL.length);
      assert.deepEqual([file.bytes, file.sealed], [ALL.length, false]);
      // Space that was allocated ahead is not read.
      assert.ok((await contentOf(file, 0, 1 << 20)).equals(ALL));
      await assert.rejects(file.seal(ALL.length + 1, false), { code: 'EBADMSG' });
      await file.seal(ALL.length, false);
      assert.ok((await contentOf(file, 0, 1 << 20)).equals(ALL));
      assert.deepEqual(filesOf(test.path, '.marks'), []);
    });

  it('lack what was not written as it was noted', async () => {
    await written(2);
    await test.crash((path) => overwrite(filesOf(path, '.open')[0]!, ALL.length - 5, 9));
    const file = await fileOf();
    assert.equal(file.bytes, WITHOUT_LAST);
    await assert.rejects(file.seal(ALL.length, false), { code: 'EBADMSG' });
    await file.seal(WITHOUT_LAST, false);
    assert.ok((await contentOf(file, 0, 1 << 20)).equals(ALL.subarray(0, WITHOUT_LAST)));
  });

  it('lack what was not noted as a whole', async () => {
    await written();
    await test.crash((path) => truncateSync(filesOf(path, '.marks')[0]!, 4 * MARK_BYTES - 1));
    assert.equal((await fileOf()).bytes, WITHOUT_LAST);
    await test.crash((path) => overwrite(filesOf(path, '.marks')[0]!, MARK_BYTES + 3, 200));
    assert.equal((await fileOf()).bytes, PARTS[0]!.length);
  });

  for (const bytes of [ALL.length, WITHOUT_LAST, WITHOUT_LAST + 7])
    it(`have what they were cut to by a seal that a kill has ended, ${bytes} bytes`, async () => {
      await written(4);
      // Of allocated space and without its name yet.
      await test.crash((path) => truncateSync(filesOf(path, '.open')[0]!, bytes));
      const file = await fileOf();
      const expected = bytes === ALL.length ? ALL : ALL.subarray(0, WITHOUT_LAST);
      assert.equal(file.bytes, expected.length);
      assert.ok((await contentOf(file, 0, 1 << 20)).equals(expected));
      await append(file, expected.length, PARTS[0]!);
      await test.crash();
      await (await fileOf()).seal(expected.length, false);
      assert.ok((await contentOf(await fileOf(), 0, 1 << 20)).equals(expected));
    });

  it('lack what is damaged also when they were cut', async () => {
    await written(4);
    await test.crash((path) => {
      const [name] = filesOf(path, '.open');
      truncateSync(name!, WITHOUT_LAST);
      overwrite(name!, PARTS[0]!.length, 9);
    });
    assert.equal((await fileOf()).bytes, PARTS[0]!.length);
  });

  it('whose marks cannot be read give no answer, and are as they were when that is over', async () => {
    await written(4);
    let marks = Buffer.alloc(0);
    await test.crash((path) => {
      const [name] = filesOf(path, '.marks');
      marks = readFileSync(name!);
      rmSync(name!);
      // Reading its begin fails with EIO.
      symlinkSync('/proc/self/mem', name!);
    });
    const file = await fileOf();
    const refused = { code: 'EIO', message: /marks cannot be read/ };
    await assert.rejects(contentOf(file, 0, 1), refused);
    await assert.rejects(file.sync(), refused);
    for (const trust of [false, true]) await assert.rejects(file.seal(0, trust), refused);
    assert.throws(() => append(file, 0, Buffer.alloc(1)), { code: 'EPERM' });
    await test.crash((path) => {
      const [name] = filesOf(path, '.marks');
      rmSync(name!);
      writeFileSync(name!, marks);
    });
    assert.ok((await contentOf(await fileOf(), 0, 1 << 20)).equals(ALL));
  });

  it('of which nothing is known hold what they seem to, if the gateway wants that', async () => {
    await written(4);
    await test.crash((path) => rmSync(filesOf(path, '.marks')[0]!));
    await assert.rejects((await fileOf()).seal(ALL.length, false), { code: 'EBADMSG' });
    // Neither a clean end nor another start makes more of it.
    await test.reopen();
    const file = await fileOf();
    await assert.rejects(file.seal(1, false), { code: 'EBADMSG' });
    await file.seal(ALL.length, true);
    assert.ok((await contentOf(file, 0, 1 << 20)).equals(ALL));
  });

  it('have after a start that failed what they had before', async () => {
    await written(1);
    await test.crash((path) => overwrite(filesOf(path, '.open')[0]!, ALL.length - 5, 9));
    // Whoever could not start for another reason closes the directory again.
    await test.reopen();
    await test.reopen();
    const file = await fileOf();
    assert.equal(file.bytes, WITHOUT_LAST);
    await assert.rejects(file.seal(ALL.length, false), { code: 'EBADMSG' });
  });

  it('take more behind what they have, and know that too after the next kill', async () => {
    await written(1);
    await test.crash((path) => overwrite(filesOf(path, '.open')[0]!, ALL.length - 5, 9));
    const more = Buffer.alloc(9000, 77);
    await append(await fileOf(), WITHOUT_LAST, more);
    await test.crash();
    const file = await fileOf();
    const expected = Buffer.concat([ALL.subarray(0, WITHOUT_LAST), more]);
    assert.equal(file.bytes, expected.length);
    await file.sync();
    await test.crash();
    assert.ok((await contentOf(await fileOf(), 0, 1 << 20)).equals(expected));
  });

  it('are as they were after a clean end, and nothing has to be read then', async () => {
    await written(1);
    await (await written(1, 2)).seal(5000, false);
    const { id } = test.directory;
    await test.reopen();
    assert.equal(test.directory.id, id);
    const files = await test.directory.filesOf(GATEWAY);
    assert.deepEqual(
      files.list('').files.map(({ bytes, sealed }) => [bytes, sealed]),
      [
        [ALL.length, false],
        [5000, true],
      ],
    );
    assert.equal(test.directory.usedBytes, ALL.length + 5000);
    // All was flushed, so that damage is not looked for here, but by whoever compares copies.
    await test.crash((path) => overwrite(filesOf(path, '.open')[0]!, 10, 9));
    assert.equal((await fileOf()).bytes, ALL.length);
  });

  it('have at a clean end what was on its way', async () => {
    const file = await written(1);
    const { passed, open } = gate();
    const last = append(file, ALL.length, Buffer.alloc(100, 9), () => passed);
    const closed = test.close();
    setImmediate(open);
    await Promise.all([last, closed]);
    await test.open();
    const again = await fileOf();
    await again.seal(ALL.length + 100, false);
    assert.ok((await contentOf(again, 0, 1 << 20)).equals(Buffer.concat([ALL, Buffer.alloc(100, 9)])));
  });

  it('leave no marks of files that are complete or gone', async () => {
    await written(1);
    const stray = (path: string) => {
      const [marks] = filesOf(path, '.marks');
      writeFileSync(marks!.replace('00001-', '00002-'), 'x');
    };
    await test.crash(stray);
    assert.equal(filesOf(test.path, '.marks').length, 1);
    await (await test.directory.filesOf(GATEWAY)).remove(nameOf(1));
    assert.deepEqual(filesOf(test.path, '.marks'), []);
    assert.deepEqual(filesOf(test.path, '.open'), []);
  });

  it('hold for sure only what was flushed before a flush failed, and are never flushed again', async () => {
    const file = await written(2);
    const flushed = PARTS[0]!.length + PARTS[1]!.length;
    let syncs = 0;
    test.faults.sync = (path, doIt) => {
      if (!path.endsWith('.open')) return doIt();
      syncs++;
      return Promise.reject(diskError('EIO', `cannot flush ${path}: Input/output error`));
    };
    await assert.rejects(file.sync(), { code: 'EIO' });
    delete test.faults.sync;
    // The disk would say now that all is well.
    await assert.rejects(file.sync(), { code: 'EIO' });
    assert.equal(syncs, 1);
    assert.throws(() => append(file, ALL.length, Buffer.alloc(1)), { code: 'EPERM' });
    for (const trust of [false, true])
      await assert.rejects(file.seal(ALL.length, trust), { code: 'EBADMSG' });
    await file.seal(flushed, false);
    assert.ok((await contentOf(file, 0, 1 << 20)).equals(ALL.subarray(0, flushed)));
    assert.equal(test.directory.disk.state, 'failed');
    const files = await test.directory.filesOf(GATEWAY);
    await assert.rejects(files.create(nameOf(2), NEW), { code: 'EIO', message: /the disk has failed/ });
  });

  it('are not complete when a flush failed while they were completed', async () => {
    const file = await written(1);
    test.faults.sync = () => Promise.reject(diskError('EIO'));
    await assert.rejects(file.seal(ALL.length, false), { code: 'EIO' });
    delete test.faults.sync;
    assert.equal(file.sealed, false);
    await assert.rejects(file.seal(ALL.length, false), { code: 'EBADMSG' });
    await file.seal(PARTS[0]!.length, false);
    assert.ok(file.sealed && existsSync(file.path));
  });

  for (const suffix of ['.open', '.marks'])
    it(`lack an append that could not be ${suffix === '.open' ? 'written' : 'noted'}, also when they are completed meanwhile`, async () => {
      const file = await written();
      const { passed, open } = gate();
      test.faults.append = (path, doIt) => {
        if (!path.endsWith(suffix)) return doIt();
        return { ...doIt(), done: passed.then(() => Promise.reject(diskError('ENOSPC'))) };
      };
      const failing = append(file, ALL.length, Buffer.alloc(8000, 9));
      const sealed = file.seal(ALL.length + 8000, true);
      setImmediate(open);
      await assert.rejects(failing, { code: 'ENOSPC' });
      await assert.rejects(sealed, { code: 'EBADMSG' });
      delete test.faults.append;
      assert.equal(file.bytes, ALL.length);
      await assert.rejects(file.seal(ALL.length + 1, true), { code: 'EBADMSG' });
      await file.seal(ALL.length, false);
      assert.ok((await contentOf(file, 0, 1 << 20)).equals(ALL));
      assert.equal(test.directory.disk.state, 'full');
    });

  it('are not there when they could not be created', async () => {
    test.faults.open = (path, doIt) => (path.endsWith('.open') ? Promise.reject(diskError('EROFS')) : doIt());
    const files = await test.directory.filesOf(GATEWAY);
    await assert.rejects(files.create(nameOf(1), NEW), { code: 'EROFS' });
    delete test.faults.open;
    assert.deepEqual([files.count, files.list('').files], [0, []]);
    assert.ok(!existsSync(join(test.path, 'c.1', nameOf(1).split('/')[0]!)));
  });
});
