import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats, NativeMemory } from '../../../../native/arena.ts';
import { Store } from '../../../../native/store.ts';
import { StoreError } from '../messages.ts';
import { StoreDirectory } from './store-directory.ts';
import { StoredFile } from './stored-file.ts';

const GATEWAY = { role: 'gateway', cluster: 'c', node: 1 } as const;
const PARTITION = 't-0.AAAAAAAAAAAAAAAAAAAABQ';
const nameOf = (segment: number) => `${PARTITION}/${String(segment).padStart(20, '0')}-0123456789abcdef`;

describe('The files of a store', () => {
  let root: string;
  let native: Store;
  let directory: StoreDirectory;

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'stored-files-'));
    await open();
  });
  afterEach(async () => {
    await close();
    rmSync(root, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  async function open(): Promise<void> {
    native = new Store({ threads: 2 });
    directory = await StoreDirectory.open(root, native, async () => undefined);
  }

  async function close(): Promise<void> {
    await directory.close();
    await native.shutdown();
  }

  function append(
    file: StoredFile,
    position: number,
    bytes: Buffer,
    fill?: () => Promise<void>,
  ): Promise<void> {
    const allocate = async () =>
      NativeMemory.allocate(StoredFile.memoryFor(position, bytes.byteLength)) ?? assert.fail('no memory');
    return file.append(position, bytes.byteLength, false, allocate, async (memory, offset) => {
      await fill?.();
      memory.bytes().set(bytes, offset);
    });
  }

  async function contentOf(file: StoredFile, position: number, length: number): Promise<Buffer> {
    const { piece } = await file.read(position, length, 0);
    const bytes = Buffer.from(piece.bytes());
    piece.memory.release();
    return bytes;
  }

  it('put appends behind each other in the order in which they were asked for, whatever comes first', async () => {
    const files = await directory.filesOf(GATEWAY);
    await files.create(nameOf(1), 0);
    const file = files.get(nameOf(1));
    const parts = [100_000, 5, 70_001, 4096, 1].map((length, i) => Buffer.alloc(length, i + 1));
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let position = 0;
    const appended = parts.map((part, i) => {
      const done = append(file, position, part, i === 0 ? () => gate : undefined);
      position += part.byteLength;
      return done;
    });
    release();
    await Promise.all(appended);
    const all = Buffer.concat(parts);
    assert.ok((await contentOf(file, 0, all.length)).equals(all));
    assert.ok((await contentOf(file, 99_999, 10)).equals(all.subarray(99_999, 100_009)));
    await file.seal(100_003, false);
    assert.ok((await contentOf(file, 0, all.length)).equals(all.subarray(0, 100_003)));
  });

  it('take nothing behind an append that failed', async () => {
    const files = await directory.filesOf(GATEWAY);
    await files.create(nameOf(1), 0);
    const file = files.get(nameOf(1));
    await append(file, 0, Buffer.alloc(1000, 1));
    const failing = append(file, 1000, Buffer.alloc(1000, 2), () =>
      Promise.reject(new StoreError('ENOTCONN', 'gone')),
    );
    const behind = append(file, 2000, Buffer.alloc(1000, 3));
    await assert.rejects(failing, { code: 'ENOTCONN' });
    await assert.rejects(behind, { code: 'EIO' });
    assert.throws(() => append(file, 3000, Buffer.alloc(1)), { code: 'EPERM' });
    await assert.rejects(file.seal(1001, true), { code: 'EBADMSG' });
    await file.seal(1000, false);
    assert.ok((await contentOf(file, 0, 2000)).equals(Buffer.alloc(1000, 1)));
  });

  it('are as they were after a clean end; after another one it is not known what open ones hold', async () => {
    const files = await directory.filesOf(GATEWAY);
    for (const segment of [1, 2, 3]) {
      await files.create(nameOf(segment), 0);
      await append(files.get(nameOf(segment)), 0, Buffer.alloc(5000, segment));
    }
    await files.get(nameOf(1)).seal(5000, false);
    const { id } = directory;
    await close();
    await open();
    assert.equal(directory.id, id);
    const again = await directory.filesOf(GATEWAY);
    assert.deepEqual(
      again.list('').files.map(({ bytes, sealed }) => [bytes, sealed]),
      [
        [5000, true],
        [5000, false],
        [5000, false],
      ],
    );
    await again.get(nameOf(2)).seal(5000, false);
    await close();
    rmSync(join(root, '.closed'));
    await open();
    const crashed = await directory.filesOf(GATEWAY);
    await assert.rejects(crashed.get(nameOf(3)).seal(5000, false), { code: 'EBADMSG' });
    await crashed.get(nameOf(3)).seal(4000, true);
    await crashed.get(nameOf(2)).seal(5000, false);
    assert.equal(directory.usedBytes, 14_000);
  });

  it('are listed in pages, and removed with their directory', async () => {
    const directoryOfPartition = join(root, 'c.1', PARTITION);
    const files = await directory.filesOf(GATEWAY);
    await files.create(nameOf(0), 0);
    await close();
    for (let i = 1; i < 2500; i++)
      writeFileSync(join(directoryOfPartition, `${nameOf(i).split('/')[1]}.payload`), 'x');
    writeFileSync(join(directoryOfPartition, 'what is this'), '');
    await open();
    const again = await directory.filesOf(GATEWAY);
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
    await again.removePartition(PARTITION);
    assert.deepEqual(readdirSync(join(root, 'c.1')), []);
    assert.deepEqual(again.list('').files, []);
  });

  it('are refused when their directory is another’s', async () => {
    await close();
    writeFileSync(join(root, 'store.properties'), 'nonsense');
    await native.shutdown();
    native = new Store({ threads: 1 });
    await assert.rejects(
      StoreDirectory.open(root, native, async () => undefined),
      /is not understood/,
    );
    rmSync(join(root, 'store.properties'));
    directory = await StoreDirectory.open(root, native, async () => undefined);
  });
});
