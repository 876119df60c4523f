import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RangeRead } from '../../../../native/listed-pieces.ts';
import type { StoreFile } from '../../../../native/store-file.ts';
import type { DirectoryLock } from '../../../log/ports.ts';
import { isFull } from '../../full-disk.ts';
import { type FileRange, ObjectError } from './objects.ts';

const SUFFIX = '.window';
const OF_OTHERS = new Set(['.lock', 'lost+found']);
/** Extents follow each other with gaps below this. */
const GAP_BYTES = 8192;
const WAITING_MAX = 1024;
/** Open files. */
const WINDOWS_MAX = 512;

/** A window's file. */
type WindowFile = Pick<StoreFile, 'readCrc' | 'close'>;

interface WindowFiles {
  lockDirectory(path: string): DirectoryLock;
  open(path: string, options: { readOnly: true }): Promise<WindowFile>;
  remove(path: string): Promise<void>;
}

export interface ReadWindowsOptions {
  /** Local, absolute, for the windows alone. */
  readonly directory: string;
  /** What is kept for later reads. */
  readonly maxBytes: number;
  readonly readAheadBytes: number;
  /** Downloads at the same time. */
  readonly connections: number;
  readonly files: WindowFiles;
  readonly download: (key: string, position: number, to: FileRange) => Promise<number>;
}

/** A range of an object in a local file, or on its way there. */
interface Window {
  readonly key: string;
  readonly start: number;
  readonly end: number;
  readonly path: string;
  readonly file: Promise<WindowFile>;
  users: number;
  dropped: boolean;
}

/**
 * Ranges of objects in local files, from which they are read as any other payload: so their bytes come into the arena without passing the
 * gateway's thread, and are bounded by disk, not memory. Those used last are kept.
 */
export class ReadWindows {
  downloadedBytes = 0;
  /** Reads, and those of them that needed no download. */
  reads = 0;
  hits = 0;
  #bytes = 0;
  readonly #options: ReadWindowsOptions;
  /** Least recently used first. */
  readonly #windows = new Set<Window>();
  /** By key: where the last read ended, as long as anything is kept of it. */
  readonly #ends = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #nextName = 0;
  readonly #lock: DirectoryLock;

  private constructor(options: ReadWindowsOptions, lock: DirectoryLock) {
    this.#options = options;
    this.#lock = lock;
  }

  /** Makes the directory, and removes what an earlier process kept there. Rejects when it is in use, or used for something else. */
  static async open(options: ReadWindowsOptions): Promise<ReadWindows> {
    const { directory, files } = options;
    await mkdir(directory, { recursive: true }).catch((error: Error) => {
      throw new Error(`storage.s3.cache.dir: ${error.message}`);
    });
    const lock = files.lockDirectory(directory);
    try {
      const names = await readdir(directory);
      const foreign = names.find((name) => !name.endsWith(SUFFIX) && !OF_OTHERS.has(name));
      if (foreign !== undefined)
        throw new Error(`storage.s3.cache.dir: ${directory} holds ${foreign}; it needs to be for itself`);
      for (const name of names) if (name.endsWith(SUFFIX)) await files.remove(join(directory, name));
      return new ReadWindows(options, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Bytes that are kept or being downloaded. */
  get bytes(): number {
    return this.#bytes;
  }

  /** As `StoreFile.readCrc`, of an object. What is not as expected (null: not known) is downloaded anew once. */
  async read(
    key: string,
    position: number,
    length: number,
    seed: number,
    expected: number | null = null,
  ): Promise<RangeRead> {
    this.reads++;
    const kept = this.#find(key, position, length);
    if (kept !== null) this.hits++;
    const window = kept ?? this.#fetch(key, position, this.#lengthFor(key, position, length));
    this.#ends.set(key, position + length);
    const found = await this.#readFrom(window, position, length, seed);
    if (expected === null || found.crc32c === expected) return found;
    found.piece.memory.release();
    void this.#drop(window);
    return this.#readFrom(this.#fetch(key, position, length), position, length, seed);
  }

  #lengthFor(key: string, position: number, length: number): number {
    const gap = position - (this.#ends.get(key) ?? 0);
    const goesOn = position <= GAP_BYTES || (gap >= 0 && gap <= GAP_BYTES);
    return goesOn ? Math.max(length, this.#options.readAheadBytes) : length;
  }

  #find(key: string, position: number, length: number): Window | null {
    for (const window of this.#windows) {
      if (window.key !== key || position < window.start || position + length > window.end) continue;
      this.#windows.delete(window);
      this.#windows.add(window);
      return window;
    }
    return null;
  }

  #fetch(key: string, start: number, length: number): Window {
    const { directory, files } = this.#options;
    const path = join(directory, `${this.#nextName++}${SUFFIX}`);
    const file = this.#inTurn(async () => {
      const download = () => this.#options.download(key, start, { path, position: 0, length });
      this.downloadedBytes += await download().catch(async (error: unknown) => {
        if (!isFull(error) || !(await this.#giveBack())) throw error;
        return download();
      });
      return files.open(path, { readOnly: true });
    });
    const window: Window = { key, start, end: start + length, path, file, users: 0, dropped: false };
    this.#windows.add(window);
    this.#bytes += length;
    file.catch(() => this.#drop(window));
    return window;
  }

  async #inTurn<T>(action: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#options.connections) {
      if (this.#waiting.length >= WAITING_MAX)
        throw new ObjectError('EAGAIN', `${WAITING_MAX} reads of objects wait already`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      return await action();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  async #readFrom(window: Window, position: number, length: number, seed: number): Promise<RangeRead> {
    window.users++;
    try {
      return await (await window.file).readCrc(position - window.start, length, seed);
    } finally {
      window.users--;
      if (window.dropped && window.users === 0) void this.#remove(window);
      this.#evict();
    }
  }

  #evict(): void {
    const { maxBytes } = this.#options;
    for (const window of this.#windows) {
      if (this.#bytes <= maxBytes && this.#windows.size <= WINDOWS_MAX) return;
      if (window.users === 0) void this.#drop(window);
    }
  }

  /** Removes what nobody reads from; whether there was anything. */
  async #giveBack(): Promise<boolean> {
    const idle = [...this.#windows].filter(({ users }) => users === 0);
    await Promise.all(idle.map((window) => this.#drop(window)));
    return idle.length > 0;
  }

  /** Finds it no more; its file goes when nobody reads from it. Resolves when it is gone, if it goes now. */
  async #drop(window: Window): Promise<void> {
    if (!this.#windows.delete(window)) return;
    this.#bytes -= window.end - window.start;
    window.dropped = true;
    if (![...this.#windows].some(({ key }) => key === window.key)) this.#ends.delete(window.key);
    if (window.users === 0) await this.#remove(window);
  }

  async #remove(window: Window): Promise<void> {
    const file = await window.file.catch(() => null);
    await file?.close();
    await this.#options.files.remove(window.path).catch(() => undefined); // the next start does
  }

  /** Keeps nothing more of an object. */
  forget(key: string): void {
    for (const window of [...this.#windows]) if (window.key === key) void this.#drop(window);
  }

  /** Keeps nothing more; nothing may be read any more. */
  clear(): void {
    for (const window of [...this.#windows]) void this.#drop(window);
  }

  /** Gives the directory back. */
  close(): void {
    this.clear();
    this.#lock.release();
  }
}
