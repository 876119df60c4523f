import { randomUUID } from 'node:crypto';
import { readdir, readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { DirectoryLock, Store } from '../../../../native/store.ts';
import { type Clock, systemClock } from '../../../../util/clock.ts';
import { type Logger, silentLogger } from '../../../../util/logger.ts';
import { isTransient } from '../../../log/errors.ts';
import { makeDirectory, replaceFile } from '../../small-files.ts';
import { forgetPath } from '../../tiers/forget-path.ts';
import { STORE_NODE } from '../../tiers/identity.ts';
import type { TierPath } from '../../tiers/tier-path.ts';
import { TieredStorage } from '../../tiers/tiered-storage.ts';
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
/** How long gateways may take to end what is in memory when the store stops, and how often that is looked at. */
const END_MS = 5_000;
const LOOK_MS = 50;
const GATEWAY = /^[\w-]{1,64}\.-?\d+$/;

export interface Surroundings {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The tiers of the store with this id; `isGateway`: what the directories of gateways are called there. */
  readonly openTiers: (id: string, isGateway: (name: string) => boolean) => Promise<TieredStorage>;
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
  /** Where files lie; none: in `path`. */
  readonly tiers: TieredStorage;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #lock: DirectoryLock;
  readonly #shared: SharedByFiles;
  readonly #gateways = new Map<string, GatewayFiles>();
  readonly #listeners: (() => void)[] = [];
  #unseen: string | null = null;
  #draining: Promise<void> = Promise.resolve();
  /** Whether it is being drained was not noted yet, for want of room. */
  #isUnnoted = false;

  private constructor(
    path: string,
    lock: DirectoryLock,
    { id, draining }: StoreProperties,
    store: Store,
    tiers: TieredStorage,
    { clock, logger }: Pick<Surroundings, 'clock' | 'logger'>,
  ) {
    this.path = path;
    this.tiers = tiers;
    this.#clock = clock;
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
    const unseen = () => this.#unseen;
    this.#shared = { store, open: this.open, disk: this.disk, tiers, unseen, clock, logger };
  }

  /**
   * Finds out what the store has. Rejects with an Error for people when the directory cannot be used.
   * `beforeLoading`: when it and its tiers are locked, before its files are looked at.
   */
  static async open(
    path: string,
    store: Store,
    beforeLoading: () => Promise<void>,
    given: Partial<Surroundings> = {},
  ): Promise<StoreDirectory> {
    const { clock = systemClock, logger = silentLogger } = given;
    const openTiers = given.openTiers ?? (() => noTiers(path, store, { clock, logger }));
    await makeDirectory(path);
    const lock = store.lockDirectory(path);
    let tiers: TieredStorage | null = null;
    try {
      const properties = await readProperties(path);
      // First of all: tiers say by the id whose they are. What is there already needs no room on a full disk.
      if (properties.isNew) await writeProperties(path, properties);
      tiers = await openTiers(properties.id, isGatewayName);
      await beforeLoading();
      const directory = new StoreDirectory(path, lock, properties, store, tiers, { clock, logger });
      await directory.#load();
      await directory.measure();
      return directory;
    } catch (error) {
      tiers?.close();
      lock.release();
      throw error;
    }
  }

  async #load(): Promise<void> {
    const names = new Set(await readdir(this.path));
    for (const path of this.tiers.paths) for (const name of await entriesOf(path)) names.add(name);
    for (const name of names) {
      if (!isGatewayName(name)) continue;
      const files = new GatewayFiles(join(this.path, name), this.#shared);
      const { recovered, bytes } = await files.load();
      if (recovered > 0)
        this.#logger.info({ gateway: name, files: recovered, bytes }, 'found what was being written');
      this.#gateways.set(name, files);
    }
    // Gateways take for lost what a store does not know, and cut logs where no store has what they refer to.
    this.#unseen = this.tiers.outage;
    if (this.#unseen !== null)
      this.#logger.error(
        { reason: this.#unseen },
        'the store serves without a directory of its tiers: nobody takes what is there for lost, and other copies are read',
      );
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

  /**
   * Rejects, and nothing has changed, when it cannot be made to last; where there is only no room now it lasts as soon as there is some, which draining
   * makes. One after the other.
   */
  setDraining(on: boolean): Promise<void> {
    return this.#inTurn(() => this.#setDraining(on));
  }

  #inTurn(set: () => Promise<void>): Promise<void> {
    this.#draining = this.#draining.then(set, set);
    return this.#draining;
  }

  async #setDraining(on: boolean): Promise<void> {
    const before = this.draining;
    const wasUnnoted = this.#isUnnoted;
    this.draining = on;
    try {
      await writeProperties(this.path, this);
      this.#isUnnoted = false;
    } catch (error) {
      this.#isUnnoted = isTransient(error);
      if (!this.#isUnnoted) {
        this.draining = before;
        throw error;
      }
      const fields = { dir: this.path, draining: on, err: error };
      if (!wasUnnoted) this.#logger.warn(fields, 'whether the store is being drained cannot be noted yet');
    }
  }

  /** Why nothing new is taken, for people; empty while it is. */
  get trouble(): string {
    return this.#tiersHaveFailed ? this.tiers.outage! : this.disk.trouble;
  }

  /** Nothing new can be written. */
  get hasFailed(): boolean {
    return this.#tiersHaveFailed || this.disk.state === 'failed';
  }

  get #tiersHaveFailed(): boolean {
    const { paths } = this.tiers;
    return paths.length > 0 && paths.every(({ error }) => error !== null);
  }

  /** Looks at the room that there is. */
  async measure(): Promise<{ freeBytes: number; capacityBytes: number }> {
    const { paths } = this.tiers;
    await this.tiers.measure();
    const { blocks, bavail, bsize } = await statfs(this.path);
    this.capacityBytes = paths.length > 0 ? sum(paths, 'capacityBytes') : blocks * bsize;
    this.freeBytes = paths.length > 0 ? sum(paths, 'roomBytes') : bavail * bsize;
    if (this.#isUnnoted) await this.#inTurn(() => this.#setDraining(this.draining));
    return { freeBytes: this.freeBytes, capacityBytes: this.capacityBytes };
  }

  /** For a clean stop: has gateways that are there end what is in memory, moves that out, and ends moves. Nothing new goes into memory from then on. */
  async endMoves(): Promise<void> {
    if (this.tiers.hasPayloadInMemory) {
      this.tiers.memory.isDraining = true;
      const deadlineMs = this.#clock.now() + END_MS;
      while (this.tiers.completeInMemory() && this.#clock.now() < deadlineMs)
        await new Promise<void>((resolve) => this.#clock.setTimer(LOOK_MS, resolve));
      await this.tiers.drain();
    }
    await this.tiers.stop();
  }

  /** Waits for what is under way, flushes and closes the files, and gives the directory back. */
  async close(): Promise<void> {
    try {
      await this.disk.stop();
      await this.tiers.stop();
      await Promise.all([...this.#gateways.values()].map((files) => files.close()));
    } finally {
      this.tiers.close();
      this.#lock.release();
    }
  }
}

/**
 * Gives up what a directory of the tiers of a store held that does not run.
 * @throws Error for people, and nothing has changed: see `forgetPath`, and when the store runs
 */
export async function forgetStoreTier(directory: string, store: Store, path: string): Promise<void> {
  const lock = store.lockDirectory(directory);
  try {
    const { id } = await readProperties(directory);
    const owner = { clusterId: id, nodeId: STORE_NODE };
    await forgetPath({ logDirectories: [directory], path, owner, isOwner: isGatewayName });
  } finally {
    lock.release();
  }
}

function isGatewayName(name: string): boolean {
  return GATEWAY.test(name);
}

function noTiers(path: string, files: Store, { clock, logger }: Pick<Surroundings, 'clock' | 'logger'>) {
  return TieredStorage.open({
    ...{ tiers: [], logDirectories: [path], files, clock, logger, isOwner: isGatewayName },
    owner: { clusterId: '', nodeId: STORE_NODE },
    settings: () => ({ threshold: -1, bytesPerSecond: -1 }),
    threads: 0,
    isBusy: () => false,
  });
}

/** Nothing of one that cannot be read. */
async function entriesOf(path: TierPath): Promise<string[]> {
  if (path.error !== null) return [];
  try {
    return await path.entries();
  } catch (error) {
    path.takeOut(error);
    return [];
  }
}

function sum(paths: readonly TierPath[], of: 'capacityBytes' | 'roomBytes'): number {
  return paths.reduce((total, path) => total + path[of], 0);
}

interface StoreProperties {
  readonly id: string;
  readonly draining: boolean;
}

/** `isNew`: nobody has written them yet. */
interface FoundProperties extends StoreProperties {
  readonly isNew: boolean;
}

async function writeProperties(path: string, { id, draining }: StoreProperties): Promise<void> {
  const lines = ['version=1', `id=${id}`, `draining=${draining}`, ''];
  await replaceFile(join(path, PROPERTIES), Buffer.from(lines.join('\n')));
}

async function readProperties(path: string): Promise<FoundProperties> {
  const text = await readFile(join(path, PROPERTIES), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (text === null) {
    // With another id nobody would know what is there.
    const gateway = (await readdir(path)).find((name) => GATEWAY.test(name));
    if (gateway === undefined) return { id: randomUUID(), draining: false, isNew: true };
    throw new Error(
      `${path} has files of ${gateway}, but no ${PROPERTIES}: put it back, or write one with the lines version=1 and ` +
        'id=<the id of this store, which the .stores files of its gateways name>; move the files away for a new store',
    );
  }
  const id = /^id=([\w-]{1,64})$/m.exec(text)?.[1];
  if (id === undefined || !/^version=1$/m.test(text))
    throw new Error(`${join(path, PROPERTIES)} is not understood; put back the one that was there`);
  return { id, draining: /^draining=true$/m.test(text), isNew: false };
}
