import { readdir, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Store } from '../../../../native/store.ts';
import { makeDirectory, removeFile } from '../../small-files.ts';
import { COPY_SUFFIX, isPartitionName } from '../../tiers/directories.ts';
import { LIST_PAGE, type ListedFile, StoreError } from '../messages.ts';
import { parseStoredName } from '../stored-name.ts';
import type { DiskHealth } from './disk-health.ts';
import type { OpenFiles } from './open-files.ts';
import { recoverEnd } from './recovery.ts';
import { MARKS_SUFFIX, OPEN_SUFFIX, SEALED_SUFFIX, StoredFile } from './stored-file.ts';
import type { StoredFileOwner, StoredFileState } from './stored-file-parts.ts';

/** The unit in which systems count what a file takes. */
const SECTOR_BYTES = 512;
/** Files that a gateway may have. */
const MAX_FILES = 1 << 18;

/** What the files of all gateways share. */
export interface SharedByFiles {
  readonly store: Store;
  readonly open: OpenFiles;
  readonly disk: DiskHealth;
}

/** What a store has for one gateway, in a directory of its own: `<cluster>-<node>/<partition>/<segment>-<incarnation>.payload`. */
export class GatewayFiles {
  readonly #directory: string;
  readonly #shared: SharedByFiles;
  readonly #owner: StoredFileOwner;
  readonly #files = new Map<string, StoredFile>();
  /** Files in each partition. */
  readonly #partitions = new Map<string, number>();
  readonly #removing = new Map<string, Promise<void>>();
  #bytes = 0;
  /** What `list` goes through. */
  #listed: string[] = [];

  constructor(directory: string, shared: SharedByFiles) {
    this.#directory = directory;
    this.#shared = shared;
    this.#owner = {
      store: shared.store,
      resized: (bytes) => {
        this.#bytes += bytes;
      },
      diskFailed: (error) => shared.disk.failed(error),
    };
  }

  /** Finds what there is. Files that took appends when the store ended are looked at: how many there were is returned, and their bytes. */
  async load(): Promise<{ recovered: number; bytes: number }> {
    const found = { recovered: 0, bytes: 0 };
    for (const partition of await readdir(this.#directory)) {
      if (!isPartitionName(partition)) continue;
      const names = new Set(await readdir(join(this.#directory, partition)));
      for (const name of names) {
        if (name.endsWith(COPY_SUFFIX)) await removeFile(join(this.#directory, partition, name));
        const state = await this.#find(partition, name, names);
        if (state === null) continue;
        this.#add(state.name, new StoredFile(state, this.#owner));
        this.#bytes += state.bytes - (state.freedBytes ?? 0);
        if (state.sealed) continue;
        found.recovered++;
        found.bytes += state.bytes;
      }
    }
    return found;
  }

  async #find(
    partition: string,
    name: string,
    names: ReadonlySet<string>,
  ): Promise<(StoredFileState & { name: string }) | null> {
    const suffix = name.slice(Math.max(0, name.lastIndexOf('.')));
    const stem = name.slice(0, name.length - suffix.length);
    const file = `${partition}/${stem}`;
    if (parseStoredName(file) === null) return null;
    const base = join(this.#directory, file);
    if (suffix === MARKS_SUFFIX && !names.has(`${stem}${OPEN_SUFFIX}`)) await removeFile(`${base}${suffix}`);
    if (suffix === SEALED_SUFFIX) {
      const { size, blocks } = await stat(`${base}${suffix}`);
      const freedBytes = Math.max(0, size - blocks * SECTOR_BYTES);
      return { name: file, base, sealed: true, bytes: size, synced: size, markBytes: 0, freedBytes };
    }
    if (suffix !== OPEN_SUFFIX || names.has(`${stem}${SEALED_SUFFIX}`)) return null;
    const { size } = await stat(`${base}${suffix}`);
    const { end, ...recovered } = await recoverEnd(
      `${base}${suffix}`,
      `${base}${MARKS_SUFFIX}`,
      size,
      this.#shared.store,
    );
    return { name: file, base, sealed: false, bytes: end, ...recovered };
  }

  #add(name: string, file: StoredFile): void {
    this.#files.set(name, file);
    const { partition } = parseStoredName(name)!;
    this.#partitions.set(partition, (this.#partitions.get(partition) ?? 0) + 1);
  }

  /** Returns whether its partition has none any more. */
  #forget(name: string): boolean {
    this.#files.delete(name);
    const { partition } = parseStoredName(name)!;
    const left = this.#partitions.get(partition)! - 1;
    if (left > 0) this.#partitions.set(partition, left);
    else this.#partitions.delete(partition);
    return left === 0;
  }

  get count(): number {
    return this.#files.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The file, which is used now. @throws StoreError ENOENT */
  use(name: string): StoredFile {
    const file = this.#files.get(name);
    if (file === undefined) throw new StoreError('ENOENT', `there is no ${name}`);
    this.#shared.open.use(file);
    return file;
  }

  /** Rejects with a StoreError: EEXIST, EMFILE when there are too many, ENOSPC or EIO when the disk takes nothing. */
  async create(name: string, recycledBytes: number): Promise<void> {
    await this.#removing.get(name)?.catch(() => undefined);
    this.#shared.disk.assertTakes();
    if (this.#files.has(name)) throw new StoreError('EEXIST', `there is ${name} already`);
    if (this.#files.size >= MAX_FILES)
      throw new StoreError('EMFILE', `a gateway may have ${MAX_FILES} files at a store`);
    const base = join(this.#directory, name);
    const file = new StoredFile({ base, sealed: false, bytes: 0, synced: 0, markBytes: 0 }, this.#owner);
    this.#add(name, file);
    try {
      await makeDirectory(join(this.#directory, parseStoredName(name)!.partition));
      await file.create(recycledBytes);
      this.#shared.open.use(file);
    } catch (error) {
      this.#shared.disk.failed(error);
      await this.remove(name).catch(() => undefined);
      throw error;
    }
  }

  list(after: string): { files: ListedFile[]; more: boolean } {
    if (after === '') this.#listed = [...this.#files.keys()].sort();
    let at = after === '' ? 0 : firstBehind(this.#listed, after);
    const files: ListedFile[] = [];
    for (; at < this.#listed.length && files.length < LIST_PAGE; at++) {
      const name = this.#listed[at]!;
      const file = this.#files.get(name);
      if (file !== undefined) files.push({ file: name, bytes: file.bytes, sealed: file.sealed });
    }
    return { files, more: at < this.#listed.length };
  }

  /** One that is not there is no error. */
  remove(name: string): Promise<void> {
    const file = this.#files.get(name);
    if (file === undefined) return this.#removing.get(name) ?? Promise.resolve();
    const isLast = this.#forget(name);
    this.#shared.open.forget(file);
    const removed = this.#remove(file, parseStoredName(name)!.partition, isLast).finally(() => {
      if (this.#removing.get(name) === removed) this.#removing.delete(name);
    });
    this.#removing.set(name, removed);
    return removed;
  }

  async #remove(file: StoredFile, partition: string, isLast: boolean): Promise<void> {
    await file.remove();
    // It stays when something came meanwhile.
    if (isLast && !this.#partitions.has(partition))
      await rmdir(join(this.#directory, partition)).catch(() => undefined);
  }

  /** Ends what is under way, flushes, and closes the files. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#removing.values());
    await Promise.all([...this.#files.values()].map((file) => file.close()));
  }
}

/** The index of the first of sorted names that is greater. */
function firstBehind(names: readonly string[], after: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (names[middle]! > after) high = middle;
    else low = middle + 1;
  }
  return low;
}
