import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Store } from '../../native/store.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import type { Appended, FileSystem, LogFile, OpenOptions } from './ports.ts';
import { SegmentFile } from './segment-file.ts';
import { storeFileSystem } from './store-file-system.ts';

describe('SegmentFile', () => {
  let directory: string;
  let store: Store;
  let path: string;
  const clock = new VirtualClock();

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'segment-'));
    path = join(directory, '0.log');
    store = new Store({ threads: 1 });
  });
  afterEach(async () => {
    await store.shutdown();
    rmSync(directory, { recursive: true });
  });

  it('gives back on trim the space behind the last batch, and takes more after it', async () => {
    const file = new SegmentFile(
      { fileSystem: storeFileSystem(store), clock, path, size: 0 },
      { preallocateBytes: 1 << 20, segmentBytes: 1 << 30, aheadBytes: 0 },
    );
    await file.trim();
    await file.append(Buffer.alloc(700, 'a')).done;
    assert.equal(file.writtenBytes, 700);
    assert.ok(statSync(path).size > 700);
    await file.trim();
    assert.equal(statSync(path).size, 700);
    await file.append(Buffer.alloc(50, 'b')).done;
    await file.sync();
    assert.equal(file.isSynced, true);
    await file.close();
    assert.equal(readFileSync(path, 'latin1'), 'a'.repeat(700) + 'b'.repeat(50));
  });

  it('cuts off what a killed process had allocated ahead', async () => {
    writeFileSync(path, Buffer.concat([Buffer.alloc(300, 'a'), Buffer.alloc(5000)]));
    const file = new SegmentFile({ fileSystem: storeFileSystem(store), clock, path, size: 300 });
    const { position, done } = file.append(Buffer.alloc(10, 'b'));
    assert.equal(position, 300);
    await done;
    await file.close();
    assert.equal(readFileSync(path, 'latin1'), 'a'.repeat(300) + 'b'.repeat(10));
  });

  it('counts as written what was acknowledged from memory, at once', async () => {
    const taken: { bytes: string; fromMemory: boolean | undefined }[] = [];
    let size = 0;
    const acknowledging = {
      path,
      fileId: 1,
      size: 0,
      append([bytes], options): Appended {
        taken.push({ bytes: Buffer.from(bytes as Uint8Array).toString(), fromMemory: options?.fromMemory });
        const position = size;
        size += bytes!.byteLength;
        return { position, done: options?.fromMemory ? null : Promise.resolve() };
      },
    } as Partial<LogFile> as LogFile;
    const fileSystem = { open: () => Promise.resolve(acknowledging) } as Partial<FileSystem> as FileSystem;
    const file = new SegmentFile(
      { fileSystem, clock, path, size: 0 },
      { preallocateBytes: 0, segmentBytes: 1 << 30, aheadBytes: 0 },
    );
    // Taken before the file is open, it waits for that.
    const early = file.append(Buffer.from('early'), { fromMemory: true });
    assert.ok(early.done);
    assert.deepEqual([file.size, file.writtenBytes], [5, 0]);
    await early.done;
    assert.equal(file.writtenBytes, 5);
    assert.deepEqual(file.append(Buffer.from('now'), { fromMemory: true }), { position: 5, done: null });
    assert.deepEqual([file.size, file.writtenBytes, file.isSynced], [8, 8, false]);
    const written = file.append(Buffer.from('later'));
    assert.ok(written.done);
    assert.equal(file.writtenBytes, 8);
    await written.done;
    assert.equal(file.writtenBytes, 13);
    const heardOfLater = file.append(Buffer.from('slow'));
    file.append(Buffer.from('at once'), { fromMemory: true });
    assert.equal(file.writtenBytes, 24);
    await heardOfLater.done;
    assert.equal(file.writtenBytes, 24, 'what can be read can be read');
    assert.deepEqual(taken, [
      { bytes: 'early', fromMemory: true },
      { bytes: 'now', fromMemory: true },
      { bytes: 'later', fromMemory: undefined },
      { bytes: 'slow', fromMemory: undefined },
      { bytes: 'at once', fromMemory: true },
    ]);
  });

  it('is opened again only when it is closed, for what was allocated ahead is cut off then', async () => {
    const fileSystem = storeFileSystem(store);
    let close = () => {};
    const closing = new Promise<void>((resolve) => {
      close = resolve;
    });
    let opened = 0;
    const slow: FileSystem = {
      ...fileSystem,
      async open(at, options) {
        const opening = await fileSystem.open(at, options);
        const closeIt = opening.close.bind(opening);
        if (opened++ === 0) opening.close = () => closing.then(closeIt);
        return opening;
      },
    };
    const file = new SegmentFile(
      { fileSystem: slow, clock, path, size: 0 },
      { preallocateBytes: 0, segmentBytes: 1 << 30, aheadBytes: 0 },
    );
    await file.append(Buffer.alloc(300, 'a')).done;
    const closed = file.close();
    await new Promise((resolve) => setImmediate(resolve));
    const { done } = file.append(Buffer.alloc(10, 'b'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    close();
    await closed;
    await done;
    await file.sync();
    await file.close();
    assert.equal(opened, 2);
    assert.equal(readFileSync(path, 'latin1'), 'a'.repeat(300) + 'b'.repeat(10));
  });

  it('reserves space for the copy of an empty file that takes its place, and for no other', async () => {
    const opened: OpenOptions[] = [];
    let size = 0;
    const target = {
      append: ([bytes]) => {
        size += bytes!.byteLength;
        return { position: 0, done: null };
      },
      get size() {
        return size;
      },
    } as Partial<LogFile> as LogFile;
    const fileSystem = {
      open(_path, options = {}) {
        opened.push(options);
        return Promise.resolve(target);
      },
    } as Partial<FileSystem> as FileSystem;
    const file = new SegmentFile(
      { fileSystem, clock, path, size: 0 },
      { preallocateBytes: 1 << 20, segmentBytes: 1 << 30, aheadBytes: 0 },
    );
    await file.open();
    file.replaced(`${path}-copy`);
    await file.open();
    file.append(Buffer.from('something'));
    file.replaced(`${path}-other`);
    await file.open();
    assert.deepEqual(
      opened.map(({ create = false, preallocateBytes = 0 }) => [create, preallocateBytes]),
      [
        [true, 1 << 20],
        [false, 1 << 20],
        [false, 0],
      ],
    );
  });
});
