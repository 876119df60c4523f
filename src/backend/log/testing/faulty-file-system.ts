import { basename, dirname } from 'node:path';
import type { MemoryPiece } from '../../../native/pieces.ts';
import type { SeededRandom } from '../../../util/testing/seeded-random.ts';
import type {
  Appended,
  BatchScan,
  DirectoryEntry,
  DirectoryLock,
  FileSystem,
  LogFile,
  Memory,
} from '../ports.ts';
import { scanBatches } from './scan.ts';

/** A file's bytes as the process sees them, and as they would be after a power failure. */
class Inode {
  content = new Uint8Array(0);
  durable = new Uint8Array(0);
  modifiedMs = 0;

  sync(): void {
    this.durable = this.content.slice();
  }
}

type Change = (names: Map<string, Inode>) => void;

function fileError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

/**
 * Files in memory that fail as disks do. What is written is volatile until it is synced: a power failure keeps a part of it, with a
 * torn end. Creating, renaming and removing is volatile until the directory is synced; a power failure keeps the first so many
 * changes. It runs full, and calls can be made to fail. The same seed gives the same faults.
 */
export class FaultyFileSystem implements FileSystem {
  /** Bytes of all files beyond which writing gives ENOSPC. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Calls to fail: the code for an operation on a path, or null. */
  fault: (operation: string, path: string) => string | null = () => null;
  /** Opened and not closed. */
  openFiles = 0;
  readonly #random: SeededRandom;
  readonly #now: () => number;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  /** Changes of names that are not durable yet, in order. */
  #changes: { directory: string; change: Change }[] = [];
  #directories = new Set<string>();
  readonly #locks = new Set<string>();
  #generation = 0;

  constructor(random: SeededRandom, now: () => number) {
    this.#random = random;
    this.#now = now;
  }

  /** The process dies: its calls never end. With `power`, what is volatile is lost in part. */
  crash({ power }: { power: boolean }): void {
    this.#generation++;
    this.#locks.clear();
    this.openFiles = 0;
    if (!power) return;
    const names = new Map(this.#durableNames);
    for (const { change } of this.#changes.slice(0, this.#random.below(this.#changes.length + 1)))
      change(names);
    this.#names = names;
    this.#durableNames = new Map(names);
    this.#changes = [];
    for (const inode of new Set(names.values())) this.#lose(inode);
  }

  /** The file system as one process uses it: after the next crash, its calls never end and do nothing. */
  mount(): FileSystem {
    const generation = this.#generation;
    return new Proxy<FaultyFileSystem>(this, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return (...given: unknown[]) =>
          generation === target.#generation ? member.apply(target, given) : new Promise(() => {});
      },
    });
  }

  /** The paths of all files, in order. */
  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** A file's bytes, which a test may change in place. */
  bytes(path: string): Uint8Array {
    return this.#inode(path).content;
  }

  /** Puts a file there, durably. */
  put(path: string, content: Uint8Array): void {
    const inode = new Inode();
    inode.content = content.slice();
    inode.modifiedMs = this.#now();
    inode.sync();
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
    for (let at = dirname(path); !this.#directories.has(at); at = dirname(at)) this.#directories.add(at);
  }

  open(path: string, options: { create?: boolean } = {}): Promise<LogFile> {
    const generation = this.#generation;
    return this.turn('open', path, () => {
      if (!this.#names.has(path)) {
        if (!options.create) throw fileError('ENOENT', path);
        const inode = new Inode();
        this.#change(dirname(path), (names) => names.set(path, inode));
      }
      this.openFiles++;
      return new FaultyFile(this, path, this.#inode(path), generation);
    });
  }

  readFile(path: string, limitBytes: number): Promise<Uint8Array | null> {
    return this.turn('readFile', path, () => {
      const inode = this.#names.get(path);
      if (inode && inode.content.length > limitBytes) throw fileError('EFBIG', path);
      return inode ? inode.content.slice() : null;
    });
  }

  replaceFile(path: string, bytes: Uint8Array): Promise<void> {
    const content = bytes.slice();
    return this.turn('replaceFile', path, () => {
      if (this.usedBytes() + content.length > this.capacityBytes) throw fileError('ENOSPC', path);
      const inode = new Inode();
      inode.content = content;
      inode.modifiedMs = this.#now();
      inode.sync();
      this.#change(dirname(path), (names) => names.set(path, inode));
      this.#makeNamesDurable(dirname(path));
    });
  }

  list(path: string): Promise<DirectoryEntry[] | null> {
    return this.turn('list', path, () => (this.#directories.has(path) ? this.#entries(path) : null));
  }

  makeDirectory(path: string): Promise<void> {
    return this.turn('makeDirectory', path, () => {
      for (let at = path; !this.#directories.has(at); at = dirname(at)) this.#directories.add(at);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.turn('rename', from, () => {
      if (this.#directories.has(from)) {
        this.#moveDirectory(from, to);
        return;
      }
      const inode = this.#inode(from);
      this.#change(dirname(from), (names) => {
        names.delete(from);
        names.set(to, inode);
      });
    });
  }

  remove(path: string): Promise<void> {
    return this.turn('remove', path, () => {
      const below = (name: string) => name === path || name.startsWith(`${path}/`);
      this.#change(dirname(path), (names) => {
        for (const name of [...names.keys()]) if (below(name)) names.delete(name);
      });
      for (const directory of [...this.#directories]) {
        if (below(directory)) this.#directories.delete(directory);
      }
    });
  }

  syncDirectory(path: string): Promise<void> {
    return this.turn('syncDirectory', path, () => this.#makeNamesDurable(path));
  }

  lockDirectory(path: string): DirectoryLock {
    if (this.#locks.has(path)) throw fileError('EAGAIN', path);
    this.#locks.add(path);
    return { release: () => this.#locks.delete(path) };
  }

  scanBatches(
    file: LogFile,
    position: number,
    limit: number,
    options: { maxBytes: number; verifyCrc: boolean },
  ): Promise<BatchScan> {
    return scanBatches(file, position, limit, options);
  }

  copyRange(from: string, to: string, position: number, length: number): Promise<number> {
    return this.turn('copyRange', to, () => {
      const bytes = this.#inode(from).content.slice(position, position + length);
      if (this.room(bytes.length) < bytes.length) throw fileError('ENOSPC', to);
      const before = this.#names.get(to);
      const inode = before ?? new Inode();
      const content = new Uint8Array(Math.max(inode.content.length, position + bytes.length));
      content.set(inode.content);
      content.set(bytes, position);
      inode.content = content;
      if (before === undefined) this.#change(dirname(to), (names) => names.set(to, inode));
      return bytes.length;
    });
  }

  publishCopy(from: string, copy: string, to: string): Promise<void> {
    return this.turn('publishCopy', to, () => {
      const [original, inode] = [this.#inode(from), this.#inode(copy)];
      if (original.content.length !== inode.content.length) throw fileError('EIO', copy);
      if (this.#names.has(to)) throw fileError('EEXIST', to);
      inode.modifiedMs = original.modifiedMs;
      inode.sync();
      this.#change(dirname(to), (names) => {
        names.delete(copy);
        names.set(to, inode);
      });
      this.#makeNamesDurable(dirname(to));
    });
  }

  decompress(): Promise<Uint8Array> {
    return Promise.reject(new Error('no codec in tests'));
  }

  usedBytes(): number {
    return [...this.#names.values()].reduce((sum, inode) => sum + inode.content.length, 0);
  }

  /** How many of `bytes` more fit. */
  room(bytes: number): number {
    return Math.min(bytes, Math.max(0, this.capacityBytes - this.usedBytes()));
  }

  now(): number {
    return this.#now();
  }

  /** Does something after a while, as a disk does; never ends, and does nothing, after a crash. */
  async turn<T>(operation: string, path: string, action: () => T, generation = this.#generation): Promise<T> {
    for (let turns = this.#random.below(4); turns >= 0; turns--) await null;
    if (generation !== this.#generation) await new Promise(() => {});
    const code = this.fault(operation, path);
    if (code) throw fileError(code, path);
    return action();
  }

  #entries(path: string): DirectoryEntry[] {
    const entries: DirectoryEntry[] = [];
    for (const [name, inode] of this.#names) {
      if (dirname(name) !== path) continue;
      const { modifiedMs } = inode;
      entries.push({ name: basename(name), isDirectory: false, sizeBytes: inode.content.length, modifiedMs });
    }
    for (const name of this.#directories) {
      if (dirname(name) !== path || name === path) continue;
      entries.push({ name: basename(name), isDirectory: true, sizeBytes: 0, modifiedMs: 0 });
    }
    return entries;
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (!inode) throw fileError('ENOENT', path);
    return inode;
  }

  #change(directory: string, change: Change): void {
    change(this.#names);
    this.#changes.push({ directory, change });
  }

  /** As journalling file systems do, syncing one directory makes every change before it durable as well. */
  #makeNamesDurable(directory: string): void {
    const last = this.#changes.findLastIndex((change) => change.directory === directory);
    for (const { change } of this.#changes.splice(0, last + 1)) change(this.#durableNames);
  }

  #moveDirectory(from: string, to: string): void {
    const moved = (name: string) => to + name.slice(from.length);
    for (const directory of [...this.#directories]) {
      if (directory !== from && !directory.startsWith(`${from}/`)) continue;
      this.#directories.delete(directory);
      this.#directories.add(moved(directory));
    }
    this.#change(dirname(from), (names) => {
      for (const [name, inode] of [...names]) {
        if (!name.startsWith(`${from}/`)) continue;
        names.delete(name);
        names.set(moved(name), inode);
      }
    });
  }

  /** What a power failure leaves of a file: what is durable, and perhaps a part of what is not. */
  #lose(inode: Inode): void {
    const { content, durable } = inode;
    if (content.length < durable.length) {
      if (this.#random.chance(0.5)) inode.content = durable.slice();
    } else {
      const kept = durable.length + this.#random.below(content.length - durable.length + 1);
      const left = content.slice(0, kept);
      const torn = this.#random.below(kept - durable.length + 1);
      if (this.#random.chance(0.5)) left.fill(0, kept - torn);
      inode.content = left;
    }
    inode.sync();
  }
}

let nextFileId = 1;

class FaultyFile implements LogFile {
  readonly path: string;
  readonly fileId = nextFileId++;
  size: number;
  readonly #fileSystem: FaultyFileSystem;
  readonly #inode: Inode;
  readonly #generation: number;
  #last: Promise<void> = Promise.resolve();
  #failure: Error | null = null;

  constructor(fileSystem: FaultyFileSystem, path: string, inode: Inode, generation: number) {
    this.#fileSystem = fileSystem;
    this.#generation = generation;
    this.path = path;
    this.#inode = inode;
    this.size = inode.content.length;
  }

  append(pieces: (Uint8Array | MemoryPiece)[]): Appended {
    const position = this.size;
    const parts = pieces.map((piece) => (piece instanceof Uint8Array ? piece : piece.bytes()));
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.size += bytes.length;
    return { position, done: this.#inOrder('write', () => this.#put(bytes)) };
  }

  sync(): Promise<void> {
    return this.#inOrder('sync', () => this.#inode.sync());
  }

  read(position: number, length: number): Promise<Memory> {
    return this.#turn('read', () => {
      const bytes = this.#inode.content.slice(position, position + length);
      return { byteLength: bytes.length, bytes: () => bytes, release() {} };
    });
  }

  find(): null {
    return null;
  }

  async readPieces(position: number, length: number): Promise<Uint8Array[]> {
    return [(await this.read(position, length)).bytes()];
  }

  async trim(): Promise<void> {
    await this.#last;
  }

  async truncate(size: number): Promise<void> {
    await this.#last;
    await this.#turn('truncate', () => {
      this.#inode.content = this.#inode.content.slice(0, size);
      this.size = size;
      this.#failure = null;
    });
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#turn('close', () => this.#fileSystem.openFiles--);
  }

  #turn<T>(operation: string, action: () => T): Promise<T> {
    return this.#fileSystem.turn(operation, this.path, action, this.#generation);
  }

  #inOrder(operation: string, action: () => void): Promise<void> {
    const done = this.#last.then(() => this.#unlessFailed(operation, action));
    this.#last = done.catch(() => {});
    return done;
  }

  /** Once one has failed, all do, until the file is truncated. */
  async #unlessFailed(operation: string, action: () => void): Promise<void> {
    if (this.#failure) throw this.#failure;
    try {
      await this.#turn(operation, action);
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
  }

  #put(bytes: Uint8Array): void {
    const fits = this.#fileSystem.room(bytes.length);
    const content = new Uint8Array(this.#inode.content.length + fits);
    content.set(this.#inode.content);
    content.set(bytes.subarray(0, fits), this.#inode.content.length);
    this.#inode.content = content;
    this.#inode.modifiedMs = this.#fileSystem.now();
    if (fits < bytes.length) throw fileError('ENOSPC', this.path);
  }
}
