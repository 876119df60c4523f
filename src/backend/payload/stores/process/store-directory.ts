import { randomUUID } from 'node:crypto';
import { readdir, readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { DirectoryLock, Store } from '../../../../native/store.ts';
import { type Clock, systemClock } from '../../../../util/clock.ts';
import { type Logger, silentLogger } from '../../../../util/logger.ts';
import { makeDirectory, replaceFile } from '../../small-files.ts';
import type { Identity } from '../authentication.ts';
import { StoreError } from '../messages.ts';
import { DiskHealth } from './disk-health.ts';
import { GatewayFiles, type SharedByFiles } from './gateway-files.ts';
import { OpenFiles } from './open-files.ts';

const PROPERTIES = 'store.properties';
/** Gateways whose files a store has. */
const MAX_GATEWAYS = 1024;
/** Files that stay open though nobody uses them now; one that takes appends has two descriptors. */
const OPEN_MAX = 512;
const GATEWAY = /^[\w-]{1,64}\.-?\d+$/;

interface Surroundings {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A store's directory: who the store is, and the files of each gateway. */
export class StoreDirectory {
  readonly id: string;
  readonly path: string;
  /** It is being emptied: nothing new is to come. */
  draining: boolean;
  capacityBytes = 0;
  freeBytes = 0;
  readonly disk: DiskHealth;
  /** Those of all gateways. */
  readonly open = new OpenFiles(OPEN_MAX);
  readonly #logger: Logger;
  readonly #lock: DirectoryLock;
  readonly #shared: SharedByFiles;
  readonly #gateways = new Map<string, GatewayFiles>();
  readonly #listeners: (() => void)[] = [];

  private constructor(
    path: string,
    lock: DirectoryLock,
    { id, draining }: { id: string; draining: boolean },
    store: Store,
    { clock, logger }: Surroundings,
  ) {
    this.path = path;
    this.id = id;
    this.draining = draining;
    this.#lock = lock;
    this.#logger = logger;
    this.disk = new DiskHealth({
      directory: path,
      clock,
      measure: () => this.measure(),
      changed: (state, reason) => {
        const fields = { dir: path, reason };
        if (state === 'ok') logger.info(fields, 'the disk of the store takes payload again');
        else
          logger.error(
            { ...fields, state },
            'the disk of the store takes no payload; what is there is still read',
          );
        for (const listener of this.#listeners) listener();
      },
    });
    this.#shared = { store, open: this.open, disk: this.disk };
  }

  /**
   * Finds out what the store has. Rejects with an Error for people when the directory cannot be used.
   * `beforeLoading`: when it is locked, before its files are looked at.
   */
  static async open(
    path: string,
    store: Store,
    beforeLoading: () => Promise<void>,
    surroundings: Surroundings = { clock: systemClock, logger: silentLogger },
  ): Promise<StoreDirectory> {
    await makeDirectory(path);
    const lock = store.lockDirectory(path);
    try {
      await beforeLoading();
      const properties = await readProperties(path);
      const directory = new StoreDirectory(path, lock, properties, store, surroundings);
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
    for (const name of await readdir(this.path)) {
      if (!GATEWAY.test(name)) continue;
      const files = new GatewayFiles(join(this.path, name), this.#shared);
      const { recovered, bytes } = await files.load();
      if (recovered > 0)
        this.#logger.info({ gateway: name, files: recovered, bytes }, 'found what was being written');
      this.#gateways.set(name, files);
    }
  }

  /** The disk has failed, or takes payload again. */
  onDiskChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The files of one gateway; no other one reaches them. */
  async filesOf({ cluster, node }: Identity): Promise<GatewayFiles> {
    const name = `${cluster}.${node}`;
    const known = this.#gateways.get(name);
    if (known !== undefined) return known;
    if (this.#gateways.size >= MAX_GATEWAYS)
      throw new StoreError('EMFILE', `the store has files of ${MAX_GATEWAYS} gateways; remove some`);
    await makeDirectory(join(this.path, name));
    // Another one may have come meanwhile.
    const files = this.#gateways.get(name) ?? new GatewayFiles(join(this.path, name), this.#shared);
    this.#gateways.set(name, files);
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

  /** Rejects, and nothing has changed, when it cannot be made to last. */
  async setDraining(on: boolean): Promise<void> {
    const before = this.draining;
    this.draining = on;
    try {
      await this.#writeProperties();
    } catch (error) {
      this.draining = before;
      throw error;
    }
  }

  /** Looks at the room that there is. */
  async measure(): Promise<{ freeBytes: number; capacityBytes: number }> {
    const { blocks, bavail, bsize } = await statfs(this.path);
    this.capacityBytes = blocks * bsize;
    this.freeBytes = bavail * bsize;
    return { freeBytes: this.freeBytes, capacityBytes: this.capacityBytes };
  }

  async #writeProperties(): Promise<void> {
    const lines = ['version=1', `id=${this.id}`, `draining=${this.draining}`, ''];
    await replaceFile(join(this.path, PROPERTIES), Buffer.from(lines.join('\n')));
  }

  /** Waits for what is under way, flushes and closes the files, and gives the directory back. */
  async close(): Promise<void> {
    try {
      await this.disk.stop();
      await Promise.all([...this.#gateways.values()].map((files) => files.close()));
    } finally {
      this.#lock.release();
    }
  }
}

async function readProperties(path: string): Promise<{ id: string; draining: boolean }> {
  const text = await readFile(join(path, PROPERTIES), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) {
    // With another id nobody would know what is there.
    const gateway = (await readdir(path)).find((name) => GATEWAY.test(name));
    if (gateway === undefined) return { id: randomUUID(), draining: false };
    throw new Error(
      `${path} has files of ${gateway}, but no ${PROPERTIES}: put it back, or write one with the lines version=1 and ` +
        'id=<the id of this store, which the .stores files of its gateways name>; move the files away for a new store',
    );
  }
  const id = /^id=([\w-]{1,64})$/m.exec(text)?.[1];
  if (id === undefined || !/^version=1$/m.test(text))
    throw new Error(`${join(path, PROPERTIES)} is not understood; put back the one that was there`);
  return { id, draining: /^draining=true$/m.test(text) };
}
