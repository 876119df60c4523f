import { randomUUID } from 'node:crypto';
import { access, readdir, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { DirectoryLock, Store } from '../../../../native/store.ts';
import { makeDirectory, replaceFile, syncDirectory } from '../../small-files.ts';
import type { Identity } from '../authentication.ts';
import { GatewayFiles } from './gateway-files.ts';

const PROPERTIES = 'store.properties';
/** It is there while the store does not run, and was not killed. */
const CLEAN = '.closed';
const GATEWAY = /^[\w-]{1,64}\.-?\d+$/;

/** A store's directory: who the store is, and the files of each gateway. */
export class StoreDirectory {
  readonly id: string;
  readonly path: string;
  /** It is being emptied: nothing new is to come. */
  draining: boolean;
  capacityBytes = 0;
  freeBytes = 0;
  readonly #store: Store;
  readonly #lock: DirectoryLock;
  readonly #gateways = new Map<string, GatewayFiles>();

  private constructor(path: string, store: Store, lock: DirectoryLock, id: string, draining: boolean) {
    this.path = path;
    this.#store = store;
    this.#lock = lock;
    this.id = id;
    this.draining = draining;
  }

  /** Rejects with an Error for people when it cannot be used. `beforeLoading`: when it is locked, before its files are looked at. */
  static async open(path: string, store: Store, beforeLoading: () => Promise<void>): Promise<StoreDirectory> {
    await makeDirectory(path);
    const lock = store.lockDirectory(path);
    try {
      await beforeLoading();
      const { id, draining } = await readProperties(path);
      const directory = new StoreDirectory(path, store, lock, id, draining);
      await directory.#writeProperties();
      await directory.#load();
      await directory.measure();
      return directory;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  async #load(): Promise<void> {
    const clean = join(this.path, CLEAN);
    const wasClosed = await access(clean).then(
      () => true,
      () => false,
    );
    await rm(clean, { force: true });
    await syncDirectory(this.path);
    for (const name of await readdir(this.path)) {
      if (!GATEWAY.test(name)) continue;
      const files = new GatewayFiles(join(this.path, name), this.#store);
      await files.load(wasClosed);
      this.#gateways.set(name, files);
    }
  }

  /** The files of one gateway; no other one reaches them. */
  async filesOf({ cluster, node }: Identity): Promise<GatewayFiles> {
    const name = `${cluster}.${node}`;
    let files = this.#gateways.get(name);
    if (files === undefined) {
      files = new GatewayFiles(join(this.path, name), this.#store);
      this.#gateways.set(name, files);
      await makeDirectory(join(this.path, name));
    }
    return files;
  }

  get files(): number {
    let files = 0;
    for (const { count } of this.#gateways.values()) files += count;
    return files;
  }

  get usedBytes(): number {
    let used = 0;
    for (const { bytes } of this.#gateways.values()) used += bytes;
    return used;
  }

  async setDraining(on: boolean): Promise<void> {
    this.draining = on;
    await this.#writeProperties();
  }

  /** Looks at the room that there is. */
  async measure(): Promise<void> {
    const { blocks, bavail, bsize } = await statfs(this.path);
    this.capacityBytes = blocks * bsize;
    this.freeBytes = bavail * bsize;
  }

  async #writeProperties(): Promise<void> {
    const lines = ['version=1', `id=${this.id}`, `draining=${this.draining}`, ''];
    await replaceFile(join(this.path, PROPERTIES), Buffer.from(lines.join('\n')));
  }

  /** Closes the files, says that this was done, and gives the directory back. */
  async close(): Promise<void> {
    await Promise.all([...this.#gateways.values()].map((files) => files.close()));
    await replaceFile(join(this.path, CLEAN), Buffer.alloc(0));
    this.#lock.release();
  }
}

async function readProperties(path: string): Promise<{ id: string; draining: boolean }> {
  const text = await readFile(join(path, PROPERTIES), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) return { id: randomUUID(), draining: false };
  const id = /^id=([\w-]{1,64})$/m.exec(text)?.[1];
  if (id === undefined || !/^version=1$/m.test(text))
    throw new Error(`${join(path, PROPERTIES)} is not understood; put back the one that was there`);
  return { id, draining: /^draining=true$/m.test(text) };
}
