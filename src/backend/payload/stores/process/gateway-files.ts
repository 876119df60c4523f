import { readdir, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Store } from '../../../../native/store.ts';
import { makeDirectory } from '../../small-files.ts';
import { isPartitionName } from '../../tiers/directories.ts';
import { LIST_PAGE, type ListedFile, StoreError } from '../messages.ts';
import { parseStoredName } from '../stored-name.ts';
import { OPEN_SUFFIX, SEALED_SUFFIX, StoredFile } from './stored-file.ts';

/** Complete files that are kept open. */
const OPEN_MAX = 256;

/** What a store has for one gateway, in a directory of its own: `<cluster>-<node>/<partition>/<segment>-<incarnation>.payload`. */
export class GatewayFiles {
  readonly #directory: string;
  readonly #store: Store;
  readonly #files = new Map<string, StoredFile>();
  /** Least recently read first. */
  readonly #open = new Map<string, StoredFile>();
  /** What `list` goes through. */
  #listed: string[] = [];

  constructor(directory: string, store: Store) {
    this.#directory = directory;
    this.#store = store;
  }

  /** `wasClosed`: the store ended as it should, so that the sizes of files say what they have. */
  async load(wasClosed: boolean): Promise<void> {
    for (const partition of await readdir(this.#directory)) {
      if (!isPartitionName(partition)) continue;
      for (const name of await readdir(join(this.#directory, partition)))
        await this.#adopt(partition, name, wasClosed);
    }
  }

  async #adopt(partition: string, name: string, wasClosed: boolean): Promise<void> {
    const sealed = name.endsWith(SEALED_SUFFIX);
    if (!sealed && !name.endsWith(OPEN_SUFFIX)) return;
    const file = `${partition}/${name.slice(0, name.lastIndexOf('.'))}`;
    if (parseStoredName(file) === null) return;
    const { size } = await stat(join(this.#directory, partition, name));
    const state = { base: join(this.#directory, file), sealed, bytes: size, known: sealed || wasClosed };
    this.#files.set(file, new StoredFile(state, this.#store));
  }

  get count(): number {
    return this.#files.size;
  }

  get bytes(): number {
    let bytes = 0;
    for (const file of this.#files.values()) bytes += file.bytes;
    return bytes;
  }

  /** @throws StoreError ENOENT */
  get(name: string): StoredFile {
    const file = this.#files.get(name);
    if (file === undefined) throw new StoreError('ENOENT', `there is no ${name}`);
    return file;
  }

  async create(name: string, recycledBytes: number): Promise<void> {
    if (this.#files.has(name)) throw new StoreError('EEXIST', `there is ${name} already`);
    const state = { base: join(this.#directory, name), sealed: false, bytes: 0, known: true };
    const file = new StoredFile(state, this.#store);
    this.#files.set(name, file);
    try {
      await makeDirectory(join(this.#directory, parseStoredName(name)!.partition));
      await file.create(recycledBytes);
    } catch (error) {
      this.#files.delete(name);
      throw error;
    }
  }

  /** The file is read: it is kept open for a while. */
  touch(name: string): StoredFile {
    const file = this.get(name);
    if (!file.sealed) return file;
    this.#open.delete(name);
    this.#open.set(name, file);
    for (const [other, idle] of this.#open) {
      if (this.#open.size <= OPEN_MAX) break;
      if (idle.isBusy) continue;
      this.#open.delete(other);
      void idle.close();
    }
    return file;
  }

  list(after: string): { files: ListedFile[]; more: boolean } {
    if (after === '') this.#listed = [...this.#files.keys()].sort();
    let at = after === '' ? 0 : this.#listed.findIndex((name) => name > after);
    if (at < 0) at = this.#listed.length;
    const files: ListedFile[] = [];
    for (; at < this.#listed.length && files.length < LIST_PAGE; at++) {
      const name = this.#listed[at]!;
      const file = this.#files.get(name);
      if (file !== undefined) files.push({ file: name, bytes: file.bytes, sealed: file.sealed });
    }
    return { files, more: at < this.#listed.length };
  }

  /** One that is not there is no error. */
  async remove(name: string): Promise<void> {
    const file = this.#files.get(name);
    if (file === undefined) return;
    this.#files.delete(name);
    this.#open.delete(name);
    await file.remove();
    await this.#removeIfEmpty(parseStoredName(name)!.partition);
  }

  async removePartition(partition: string): Promise<void> {
    const names = [...this.#files.keys()].filter((name) => name.startsWith(`${partition}/`));
    for (const name of names) await this.remove(name);
  }

  async #removeIfEmpty(partition: string): Promise<void> {
    for (const name of this.#files.keys()) if (name.startsWith(`${partition}/`)) return;
    await rmdir(join(this.#directory, partition)).catch(() => undefined);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#files.values()].map((file) => file.close()));
  }
}
