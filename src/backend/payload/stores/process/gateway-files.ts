import { readdir, rmdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Store } from '../../../../native/store.ts';
import type { Clock } from '../../../../util/clock.ts';
import type { Logger } from '../../../../util/logger.ts';
import { homePlace } from '../../home-places.ts';
import type { PayloadPlace } from '../../ports.ts';
import { namesIn, removeFile } from '../../small-files.ts';
import { COPY_SUFFIX, isPartitionName } from '../../tiers/directories.ts';
import { TierFile } from '../../tiers/tier-file.ts';
import type { TierPath } from '../../tiers/tier-path.ts';
import { chooseCopy } from '../../tiers/tiered-places.ts';
import type { TieredStorage } from '../../tiers/tiered-storage.ts';
import { LIST_PAGE, type ListedFile, StoreError } from '../messages.ts';
import { parseStoredName } from '../stored-name.ts';
import { type DiskHealth, isOfDisk } from './disk-health.ts';
import type { OpenFiles } from './open-files.ts';
import { PartitionDirectories } from './partition-directories.ts';
import { Pins } from './pins.ts';
import { recoverEnd } from './recovery.ts';
import { StoredFile } from './stored-file.ts';
import {
  MARKS_SUFFIX,
  OPEN_SUFFIX,
  SEALED_SUFFIX,
  type StoredFileOwner,
  type StoredFileState,
} from './stored-file-parts.ts';
import { TieredCopy } from './tiered-copy.ts';

/** The unit in which systems count what a file takes. */
const SECTOR_BYTES = 512;
/** Files that a gateway may have. */
const MAX_FILES = 1 << 18;

/** What the files of all gateways share. */
export interface SharedByFiles {
  readonly store: Store;
  readonly open: OpenFiles;
  readonly disk: DiskHealth;
  /** Where files lie; in the store's directory when there are none. */
  readonly tiers: TieredStorage;
  /** Where nobody could look at the start, for people: files that are not known may be there; null: all are known. */
  readonly unseen: () => string | null;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a gateway says of a file that it begins. */
export interface NewFile {
  /** What the segment may grow to. */
  readonly segmentBytes: number;
  /** Nobody was promised that it outlasts a restart of the machine. */
  readonly mayLose: boolean;
  /** In which its partition is to stay; null: in none. */
  readonly tier: number | null;
  /** How much space of removed files it may begin with. */
  readonly recycledBytes: number;
}

/** A file that is there. */
interface FoundFile extends Omit<StoredFileState, 'place'> {
  readonly name: string;
  /** Its path, once it is complete. */
  readonly path: string;
  /** Null: in the store's directory. */
  readonly at: TierPath | null;
  /** Slower ones are greater. */
  readonly tier: number;
  readonly modifiedMs: number;
}

/** What a store has for one gateway, in a directory of its own: `<cluster>.<node>/<partition>/<segment>-<incarnation>.payload`. */
export class GatewayFiles {
  readonly #directory: string;
  /** Not those in tiers, which stay. */
  readonly #directories: PartitionDirectories;
  readonly #shared: SharedByFiles;
  readonly #owner: StoredFileOwner;
  readonly #files = new Map<string, StoredFile>();
  /** Files in each partition. */
  readonly #partitions = new Map<string, number>();
  readonly #pins: Pins;
  readonly #removing = new Map<string, Promise<void>>();
  #bytes = 0;
  /** What `list` goes through. */
  #listed: string[] = [];
  /** Told of files that their gateway is to end. */
  #endWanted: (name: string) => void = () => undefined;

  /** `directory`: of the gateway in the store's directory. */
  constructor(directory: string, shared: SharedByFiles) {
    this.#directory = directory;
    this.#directories = new PartitionDirectories(directory);
    this.#shared = shared;
    this.#pins = new Pins(directory, shared.logger);
    this.#owner = {
      store: shared.store,
      resized: (bytes) => {
        this.#bytes += bytes;
      },
      diskFailed: (error, place) => {
        if (!(place instanceof TierFile)) shared.disk.failed(error);
        else if (isOfDisk(error)) place.failed(error);
      },
      isFull: (place) => {
        if (place instanceof TierFile) place.complete();
      },
    };
  }

  /** The gateway is there, and hears of files that it is to end. */
  onEndWanted(listener: (name: string) => void): void {
    this.#endWanted = listener;
  }

  /** Finds what there is. Files that took appends when the store ended are looked at: how many there were is returned, and their bytes. */
  async load(): Promise<{ recovered: number; bytes: number }> {
    const { tiers } = this.#shared;
    await this.#pins.load();
    const byName = new Map<string, FoundFile[]>();
    for (const at of [null, ...tiers.paths])
      for (const file of await this.#searchIn(at)) {
        const known = byName.get(file.name);
        if (known === undefined) byName.set(file.name, [file]);
        else known.push(file);
      }
    const found = { recovered: 0, bytes: 0 };
    for (const files of byName.values()) {
      const file = files.length === 1 ? files[0]! : await this.#chooseAmong(files);
      this.#take(file);
      if (file.sealed) continue;
      found.recovered++;
      found.bytes += file.bytes;
    }
    return found;
  }

  /** None in a tier that cannot be read. */
  async #searchIn(at: TierPath | null): Promise<FoundFile[]> {
    if (at === null) return this.#search(null);
    if (at.error !== null) return [];
    try {
      return await this.#search(at);
    } catch (error) {
      at.takeOut(error);
      return [];
    }
  }

  async #search(at: TierPath | null): Promise<FoundFile[]> {
    const directory = at?.directoryOf(basename(this.#directory)) ?? this.#directory;
    const found: FoundFile[] = [];
    for (const partition of await namesIn(directory)) {
      if (!isPartitionName(partition)) continue;
      const names = new Set(await readdir(join(directory, partition)));
      // What moves to another tier leaves its directory.
      if (names.size === 0) await rmdir(join(directory, partition));
      for (const name of names) {
        if (name.endsWith(COPY_SUFFIX)) await removeFile(join(directory, partition, name));
        const file = await this.#find(at, join(directory, partition), name, names);
        if (file !== null) found.push(file);
      }
    }
    return found;
  }

  async #find(
    at: TierPath | null,
    directory: string,
    entry: string,
    names: ReadonlySet<string>,
  ): Promise<FoundFile | null> {
    const suffix = entry.slice(Math.max(0, entry.lastIndexOf('.')));
    const stem = entry.slice(0, entry.length - suffix.length);
    const name = `${basename(directory)}/${stem}`;
    if (parseStoredName(name) === null) return null;
    const base = join(directory, stem);
    if (suffix === MARKS_SUFFIX && !names.has(`${stem}${OPEN_SUFFIX}`)) await removeFile(`${base}${suffix}`);
    if (suffix !== SEALED_SUFFIX && (suffix !== OPEN_SUFFIX || names.has(`${stem}${SEALED_SUFFIX}`)))
      return null;
    const { size, blocks, mtimeMs: modifiedMs } = await stat(`${base}${suffix}`);
    const tier = at?.tier ?? this.#shared.tiers.tiers.length;
    const file = { name, path: `${base}${SEALED_SUFFIX}`, at, tier, modifiedMs };
    if (suffix === SEALED_SUFFIX) {
      const freedBytes = Math.max(0, size - blocks * SECTOR_BYTES);
      return { ...file, sealed: true, bytes: size, synced: size, markBytes: 0, freedBytes };
    }
    const { end, ...recovered } = await recoverEnd(
      `${base}${suffix}`,
      `${base}${MARKS_SUFFIX}`,
      size,
      this.#shared.store,
    );
    return { ...file, sealed: false, bytes: end, ...recovered };
  }

  /** A move was interrupted between the naming of the copy and the removal of the original. */
  async #chooseAmong(files: readonly FoundFile[]): Promise<FoundFile> {
    const { store, logger } = this.#shared;
    const complete = files.filter(({ sealed }) => sealed);
    const { kept, extra } = chooseCopy(complete.length > 0 ? complete : files, null);
    for (const file of files) {
      const { path } = file;
      if (file.sealed && extra.includes(file)) {
        logger.info({ kept: kept.path, removed: path }, 'removing what an interrupted move has left');
        await store.remove(path);
      } else if (file !== kept)
        logger.warn({ used: kept.path, left: path }, 'a file is there twice, and not the same: one is used');
    }
    return kept;
  }

  #take({ name, path, at, modifiedMs, ...state }: FoundFile): void {
    const { tiers } = this.#shared;
    const { bytes, freedBytes = 0 } = state;
    this.#bytes += bytes - freedBytes;
    if (tiers.tiers.length === 0) {
      this.#add(name, new StoredFile({ ...state, place: homePlace(path, Promise.resolve()) }, this.#owner));
      return;
    }
    const segmentId = parseStoredName(name)!.segment;
    const copy = this.#copyOf(name);
    const place = tiers.add(at, copy, { segmentId, path, bytes, modifiedMs });
    const file = new StoredFile({ ...state, place }, this.#owner);
    copy.holds(file);
    this.#add(name, file);
  }

  #copyOf(name: string): TieredCopy {
    const { partition } = parseStoredName(name)!;
    return new TieredCopy(basename(this.#directory), name, this.#shared.clock, {
      pin: () => this.#pins.of(partition),
      askToEnd: () => this.#endWanted(name),
    });
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
    else {
      this.#partitions.delete(partition);
      this.#pins.set(partition, null);
    }
    return left === 0;
  }

  get count(): number {
    return this.#files.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The file, which is used now. @throws StoreError ENOENT; EIO when it may be where nobody can look */
  use(name: string): StoredFile {
    const file = this.#files.get(name);
    if (file === undefined) throw this.#isMissing(name);
    this.#shared.open.use(file);
    return file;
  }

  /** In which tier what there is of a partition is to stay from now on; null: in none. */
  pin(partition: string, tier: number | null): void {
    if (this.#partitions.has(partition)) this.#pins.set(partition, tier);
  }

  #isMissing(name: string): StoreError {
    const unseen = this.#shared.unseen();
    return unseen === null
      ? new StoreError('ENOENT', `there is no ${name}`)
      : new StoreError('EIO', `${name} is not known, and may be where nobody can look: ${unseen}`);
  }

  /** What was appended is durable. Rejects with EIO for what is in memory, which a flush does not make last. */
  async sync(name: string): Promise<void> {
    const file = this.use(name);
    const { place } = file;
    if (!file.sealed && place instanceof TierFile && place.at.isVolatile)
      throw new StoreError('EIO', `${file.path} is in memory: log.durability=flush needs the next segment`);
    await file.sync();
  }

  /** Rejects with a StoreError: EEXIST, EMFILE when there are too many, ENOSPC or EIO when the disk takes nothing. */
  async create(name: string, { recycledBytes, ...wanted }: NewFile): Promise<void> {
    await this.#removing.get(name)?.catch(() => undefined);
    this.#shared.disk.assertTakes();
    if (this.#files.has(name)) throw new StoreError('EEXIST', `there is ${name} already`);
    if (this.#files.size >= MAX_FILES)
      throw new StoreError('EMFILE', `a gateway may have ${MAX_FILES} files at a store`);
    const { file, place } = this.#begin(name, wanted);
    this.#add(name, file);
    try {
      await file.create(recycledBytes);
      // Somebody may have removed it meanwhile.
      if (this.#files.get(name) === file) this.#shared.open.use(file);
    } catch (error) {
      this.#owner.diskFailed(error, place);
      await this.remove(name).catch(() => undefined);
      throw error;
    }
  }

  /** Throws ENOSPC when no tier has room. */
  #begin(
    name: string,
    { segmentBytes, mayLose, tier }: Omit<NewFile, 'recycledBytes'>,
  ): { file: StoredFile; place: PayloadPlace } {
    const { tiers } = this.#shared;
    const { partition, segment } = parseStoredName(name)!;
    const state = { sealed: false, bytes: 0, synced: 0, markBytes: 0 };
    if (tiers.tiers.length === 0) {
      const made = this.#directories.make(partition);
      made.catch(() => undefined); // who writes there hears of it
      const place = homePlace(join(this.#directory, `${name}${SEALED_SUFFIX}`), made);
      return { file: new StoredFile({ ...state, place }, this.#owner), place };
    }
    const copy = this.#copyOf(name);
    this.#pins.set(partition, tier);
    try {
      const place = tiers.place(copy, segment, 1, segmentBytes, mayLose);
      const file = new StoredFile({ ...state, place }, this.#owner);
      copy.holds(file);
      return { file, place };
    } catch (error) {
      if (!this.#partitions.has(partition)) this.#pins.set(partition, null);
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
    if (isLast && !this.#partitions.has(partition)) await this.#directories.leave(partition);
  }

  /** Ends what is under way, flushes, and closes the files. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#removing.values());
    await Promise.all([...this.#files.values()].map((file) => file.close()));
    await this.#pins.closed();
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
