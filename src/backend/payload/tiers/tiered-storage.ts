import { tierKind } from '../../../config/tier-kinds.ts';
import type { Timer } from '../../../util/clock.ts';
import type { DirectoryLock } from '../../log/ports.ts';
import { HomePlaces } from '../home-places.ts';
import type { PayloadFiles, PayloadPlaces } from '../ports.ts';
import { partitionName, topicIdOf } from './directories.ts';
import type { TierOwner } from './identity.ts';
import { type MemorySettings, MemoryTiers, UNLIMITED_MEMORY } from './memory-tiers.ts';
import { type MigrationFiles, Migrator, type MigratorOptions } from './migrator.ts';
import { type AbsentPath, admitPath, openTierPaths } from './open-paths.ts';
import { type Move, nextMove, type TierView } from './policy.ts';
import type { Bucket } from './s3/bucket.ts';
import { ObjectScrubber } from './s3/object-scrubber.ts';
import { S3Path } from './s3/s3-path.ts';
import { TierFile, type TierFileOwner } from './tier-file.ts';
import { TierPath } from './tier-path.ts';
import { TieredPlaces } from './tiered-places.ts';

/** How often space is looked at, and what to move. */
const LOOK_MS = 1_000;
/** A segment that got nothing for so long is completed when its tier is too full. */
const IDLE_MS = 60_000;

/** The part of a segment that a tier should have room for: a full one would else get a small segment for each gap that a move leaves. */
const WORTH_A_SEGMENT = 1 / 8;

/** What the tiers use of the native store; tests use one with faults. */
export interface TierFiles extends MigrationFiles {
  lockDirectory(path: string): DirectoryLock;
  /** Bytes in a directory that are kept for new files; none by default. */
  keptIn?(directory: string): number;
}

export interface TieredStorageOptions extends MigratorOptions {
  /** Fastest first; none: payload lies in the directories of its partitions. */
  readonly tiers: readonly {
    readonly ordinal: string;
    readonly type: string;
    readonly paths: readonly { readonly path: string; readonly sizeBytes: number }[];
  }[];
  /** Those that are in use; what they say of the tiers counts. Of a payload store, its directory. */
  readonly logDirectories: readonly string[];
  readonly owner: TierOwner;
  readonly files: TierFiles;
  /** What the directories of others than partitions are called, who look for their files themselves, and `add` them. */
  readonly isOwner?: (name: string) => boolean;
  /** Of the last tier, if that is S3. */
  readonly bucket?: Bucket | null;
  /** How objects are checked; asked again and again. Not at all by default. */
  readonly scrub?: () => { readonly bytesPerSecond: number; readonly intervalMs: number };
  /** Asked again and again; nothing is limited by default. */
  readonly memory?: () => MemorySettings;
}

/** Where the payload of all partitions lies when it is not in their own directories. See docs/tiers.md. */
export class TieredStorage {
  readonly tiers: readonly {
    readonly ordinal: string;
    readonly type: string;
    readonly paths: readonly TierPath[];
  }[];
  readonly migrator: Migrator;
  readonly memory: MemoryTiers;
  /** Null without a tier S3. */
  readonly scrubber: ObjectScrubber | null;
  readonly #options: TieredStorageOptions;
  /** Payload in the directories of its partitions, from before there were tiers. */
  readonly #home: TierPath;
  /** Files that were found at the start, by the directory of their partition, until that is opened. */
  readonly #found = new Map<string, TierFile[]>();
  /** What held payload before and is not configured. */
  absent: readonly AbsentPath[] = [];
  #locks: DirectoryLock[] = [];
  #timer: Timer | null = null;

  private constructor(given: TieredStorageOptions) {
    const { clock, logger, bucket = null } = given;
    const options =
      bucket === null ? given : { ...given, files: bucket.overMigration(tierFiles(given.files)) };
    this.#options = options;
    const memory = new MemoryTiers(options.memory ?? (() => UNLIMITED_MEMORY), logger);
    this.memory = memory;
    const takesMore = () => memory.takesMore;
    this.tiers = options.tiers.map(({ ordinal, type, paths }, tier) => {
      const { isVolatile, isPersistentMemory } = tierKind(type);
      const isPooled = isVolatile || isPersistentMemory;
      const pathOf = (each: (typeof paths)[number]) =>
        bucket !== null && each.path === bucket.url
          ? new S3Path({ bucket, tier, sizeBytes: each.sizeBytes, clock, logger })
          : new TierPath({
              ...each,
              ...{ tier, isVolatile, clock, logger },
              ...(isVolatile && { takesMore }),
              ...(isPooled && { keptBytes: () => options.files.keptIn?.(each.path) ?? 0 }),
            });
      return { ordinal, type, paths: paths.map(pathOf) };
    });
    this.scrubber = this.#makeScrubber();
    this.#home = new TierPath({ path: '', tier: this.tiers.length, sizeBytes: 0, clock, logger });
    this.migrator = new Migrator(this, {
      ...options,
      // Nobody is served any more who could be in its way.
      isBusy: () => !memory.isDraining && options.isBusy(),
      settings: () =>
        memory.isDraining
          ? { threshold: options.settings().threshold, bytesPerSecond: -1 }
          : options.settings(),
    });
  }

  #makeScrubber(): ObjectScrubber | null {
    const { clock, logger, scrub = () => ({ bytesPerSecond: 0, intervalMs: 0 }) } = this.#options;
    const path = this.paths.find(({ bucket }) => bucket !== null);
    if (path?.bucket == null) return null;
    return new ObjectScrubber({
      ...{ path, bucket: path.bucket, clock, logger },
      bytesPerSecond: () => scrub().bytesPerSecond,
      intervalMs: () => scrub().intervalMs,
    });
  }

  /**
   * Takes the directories of the tiers. One that cannot be used is left out, with an error in the log. Rejects with an error for people
   * when none of the first tier can be used.
   */
  static async open(options: TieredStorageOptions): Promise<TieredStorage> {
    const storage = new TieredStorage(options);
    const { bucket } = storage;
    try {
      if (bucket !== null) bucket.isStarting = true;
      const { locks, absent } = await openTierPaths(storage.paths, options);
      storage.#locks = locks;
      for (const path of storage.paths)
        if (path instanceof S3Path) path.admit = () => admitPath(path, storage.paths, options);
      storage.absent = absent;
      if (options.isOwner === undefined)
        for (const path of storage.paths) if (path.error === null) await storage.#scan(path);
      if (storage.tiers.length > 0 && storage.paths.every(({ error }) => error !== null))
        throw new Error(`no tier directory can be used: ${storage.outage}`);
      if (bucket !== null) bucket.isStarting = false;
      await storage.measure();
      storage.memory.report(storage.paths);
      return storage;
    } catch (error) {
      storage.close();
      throw error;
    }
  }

  get paths(): readonly TierPath[] {
    return this.tiers.flatMap(({ paths }) => paths);
  }

  async #scan(at: TierPath): Promise<void> {
    const { files, logger } = this.#options;
    try {
      for (const found of await at.scan()) {
        if (found.segmentId === null) {
          logger.info({ path: found.path }, 'removing the copy of a move that was interrupted');
          await files.remove(found.path);
          continue;
        }
        const { segmentId, path, bytes, modifiedMs } = found;
        const file = this.#file({ segmentId, path, at, bytes, modifiedMs, owner: null });
        const known = this.#found.get(found.partition);
        if (known === undefined) this.#found.set(found.partition, [file]);
        else known.push(file);
      }
    } catch (error) {
      at.takeOut(error);
    }
  }

  #file(
    options: Pick<TierFile, 'segmentId' | 'path' | 'at' | 'bytes' | 'modifiedMs' | 'owner'> &
      Partial<Pick<TierFile, 'state' | 'ready'>>,
  ): TierFile {
    const now = () => this.#options.clock.now();
    return new TierFile({ state: 'writing', ready: Promise.resolve(), now, ...options });
  }

  /** Why payload may be unavailable, for people; null: all of it is there. */
  get outage(): string | null {
    const reasons = [...this.absent, ...this.paths].flatMap(({ error }) => error ?? []);
    return reasons.length === 0 ? null : reasons.join('; ');
  }

  /** As `outage`, and what was not seen at the start: a segment that is in none of the places may be there. */
  get unseen(): string | null {
    const unlisted = this.paths.find(({ isListed }) => !isListed);
    const reason = unlisted && `${unlisted.path} could not be listed when the gateway started`;
    return this.outage ?? reason ?? null;
  }

  /** The places of a partition's payload; `home`: its own payload directory. */
  placesOf(topic: string, topicId: string, partition: number, home: string): PayloadPlaces {
    return this.tiers.length === 0
      ? new HomePlaces(home, this.outage)
      : new TieredPlaces(this, partitionName(topic, partition, topicId), home);
  }

  /** The files that were found at the start of a partition that is opened. */
  adopt(places: TieredPlaces): readonly TierFile[] {
    const files = this.#found.get(places.name) ?? [];
    this.#found.delete(places.name);
    for (const file of files) file.owner = places;
    return files;
  }

  /** What of such files is still there is found again by whoever opens the partition next. */
  giveBack(name: string, files: readonly TierFile[]): void {
    const left = files.filter((file) => file.at.files.has(file));
    for (const file of left) file.owner = null;
    if (left.length > 0) this.#found.set(name, left);
  }

  /**
   * A segment that is complete and in none of the tiers is in the bucket, when that could not be listed at the start; null: it was.
   */
  assumeInBucket(
    owner: TieredPlaces,
    { segmentId, ...rest }: { segmentId: number; bytes: number; modifiedMs: number },
  ): TierFile | null {
    const at = this.paths.find(({ bucket }) => bucket !== null);
    if (at?.bucket == null || at.isListed) return null;
    return this.#file({ segmentId, path: at.bucket.unlistedPath(owner.name, segmentId), at, owner, ...rest });
  }

  /** A file that was found. `at`: null for one in the directory of its partition, or of the store. */
  add(
    at: TierPath | null,
    owner: TierFileOwner,
    file: { segmentId: number; path: string; bytes: number; modifiedMs: number },
  ): TierFile {
    return this.#file({ ...file, at: at ?? this.#home, owner });
  }

  /** Removes what is there twice; `kept` is used. */
  async dropCopies(kept: TierFile, extra: readonly TierFile[]): Promise<void> {
    const { files, logger } = this.#options;
    for (const file of extra) {
      logger.info(
        { kept: kept.path, removed: file.path },
        'removing what an interrupted move left in its old place',
      );
      await files.remove(file.path).then(
        () => file.removed(),
        (error: unknown) => file.failed(error),
      );
    }
  }

  /**
   * Where a new segment goes: to the first tier, or the one to which it is pinned, or the next one that has room, for more than what comes
   * first if any has; there to the path on which the fewest segments are written. `mayLose`: false: not to where a restart of the machine loses it.
   */
  place(
    owner: TierFileOwner,
    segmentId: number,
    bytes: number,
    segmentBytes: number,
    mayLose = true,
  ): TierFile {
    const last = this.tiers.findLastIndex(({ paths }) => paths.some(({ takesNew }) => takesNew));
    const first = Math.min(owner.pin ?? 0, last);
    for (const wanted of [Math.max(bytes, segmentBytes * WORTH_A_SEGMENT), bytes]) {
      for (let tier = first; tier <= last; tier++) {
        const at = this.#choosePath(tier, wanted);
        if (at === null || (at.isVolatile && !mayLose)) continue;
        const modifiedMs = this.#options.clock.now();
        return this.#newFile(owner, segmentId, at, { bytes: 0, modifiedMs, state: 'writing' });
      }
    }
    const reason = this.outage === null ? 'are full' : `are full or out of use (${this.outage})`;
    throw Object.assign(
      new Error(`no room for payload: all tiers from the ${this.tiers[first]!.ordinal} on ${reason}`),
      {
        code: 'ENOSPC',
      },
    );
  }

  /** Room in another tier for a file that is to move there; null: there is none. */
  arrive(file: TierFile, tier: number): TierFile | null {
    const at = this.#choosePath(tier, file.bytes);
    if (at === null || file.owner === null) return null;
    const { segmentId, bytes, modifiedMs, owner } = file;
    return this.#newFile(owner, segmentId, at, { bytes, modifiedMs, state: 'arriving' });
  }

  #newFile(
    owner: TierFileOwner,
    segmentId: number,
    at: TierPath,
    rest: Pick<TierFile, 'bytes' | 'modifiedMs' | 'state'>,
  ): TierFile {
    const path = owner.pathIn(at, segmentId, rest.modifiedMs);
    const ready = owner.prepare(at, segmentId);
    ready.catch(() => undefined); // who writes there hears of it
    return this.#file({ segmentId, path, at, owner, ready, ...rest });
  }

  #choosePath(tier: number, bytes: number): TierPath | null {
    let best: TierPath | null = null;
    for (const path of this.tiers[tier]!.paths) {
      if (path.error !== null || path.roomBytes < bytes) continue;
      const less = best === null ? -1 : path.writing - best.writing || best.roomBytes - path.roomBytes;
      if (less < 0) best = path;
    }
    return best;
  }

  /** Removes the payload of a partition that is deleted, wherever it is. */
  async removePartition(topic: string, topicId: string, partition: number): Promise<void> {
    await this.#removeDirectories(partitionName(topic, partition, topicId));
  }

  async #removeDirectories(name: string): Promise<void> {
    this.#found.delete(name);
    const filesAt = (path: TierPath) =>
      [...path.files].filter((file) => file.path.startsWith(`${path.directoryOf(name)}/`));
    const all = this.paths.flatMap(filesAt);
    // Nothing begins to move any more, and no directory is made after it was removed.
    for (const { owner } of all) if (owner instanceof TieredPlaces) owner.segments = null;
    await Promise.allSettled(all.map(({ ready }) => ready));
    for (const path of this.paths) {
      const directory = path.directoryOf(name);
      path.forget(name);
      const files = filesAt(path);
      const isAway = path.error !== null;
      // The next start with a directory removes what is left there; a bucket is seen to when it is back.
      if (path.bucket === null ? isAway : !isAway && files.length === 0) continue;
      await this.#options.files.remove(directory).then(
        () => {
          for (const file of files) file.removed();
        },
        (error: unknown) => path.failed(error),
      );
    }
    for (const file of [...this.#home.files])
      if (file.owner instanceof TieredPlaces && file.owner.name === name) file.removed();
  }

  /** Removes what is left of topics that are gone, now and where it can be looked at later: a crash interrupted their deletion. */
  async removeDeleted(isKnown: (topicId: string) => boolean): Promise<void> {
    for (const path of this.paths) {
      const remove = () => this.#removeDeleted(path, isKnown);
      if (path.error === null) await remove().catch((error: unknown) => path.takeOut(error));
      if (path.error !== null && path instanceof S3Path) path.removeDeleted = remove;
    }
  }

  async #removeDeleted(path: TierPath, isKnown: (topicId: string) => boolean): Promise<void> {
    for (const name of await path.partitions()) {
      if (isKnown(topicIdOf(name))) continue;
      this.#options.logger.warn({ directory: name }, 'Removing the payload of a deleted topic');
      await this.#removeDirectories(name);
    }
  }

  /** What to move next. */
  nextMove(): Move<TierFile> | null {
    const movable: TierFile[] = [];
    const now = this.#options.clock.now();
    for (const path of [...this.paths, this.#home]) {
      if (path.error !== null) continue;
      for (const file of path.files) if (file.isMovable(now)) movable.push(file);
    }
    const views = this.views();
    const overdue = this.memory.nextMove(movable, views, now);
    if (overdue !== null || this.memory.isDraining) return overdue;
    return nextMove(views, movable, this.#options.settings().threshold);
  }

  views(): TierView[] {
    return this.tiers.map(({ paths }) => {
      const usable = paths.filter(({ error }) => error === null);
      const view = { capacityBytes: 0, usedBytes: 0, roomBytes: 0 };
      for (const path of usable) {
        view.capacityBytes += path.capacityBytes;
        view.usedBytes += path.usedBytes - path.leavingBytes;
        // What outlasts a restart of the machine never moves to where it does not.
        if (!path.isVolatile) view.roomBytes = Math.max(view.roomBytes, path.roomBytes);
      }
      return view;
    });
  }

  /** Bytes of a tier above the threshold, and of files that are pinned to another one. */
  backlogBytes(tier: number): number {
    const { threshold } = this.#options.settings();
    if (threshold < 0) return 0;
    const { usedBytes, capacityBytes } = this.views()[tier]!;
    const above = tier < this.tiers.length - 1 ? Math.max(0, usedBytes - threshold * capacityBytes) : 0;
    let misplaced = 0;
    for (const { files } of this.tiers[tier]!.paths)
      for (const file of files) {
        const pin = file.pin === null ? tier : Math.min(file.pin, this.tiers.length - 1);
        const canMove = pin !== tier && !this.tiers[pin]!.paths.every(({ isVolatile }) => isVolatile);
        if (canMove && file.state === 'complete') misplaced += file.bytes;
      }
    return Math.max(above, misplaced);
  }

  /** Looks at the space, moves what has to move and checks objects, from time to time, until `stop`. */
  start(): void {
    if (this.tiers.length === 0) return;
    this.scrubber?.start();
    this.#look();
  }

  #look(): void {
    this.migrator.look();
    this.#timer = this.#options.clock.setTimer(LOOK_MS, () => {
      void this.measure().then(() => {
        this.#completeIdle();
        if (this.#timer !== null) this.#look();
      });
    });
  }

  /** Looks how much room there is. */
  async measure(): Promise<void> {
    await Promise.all(this.paths.map((path) => path.measure()));
  }

  /** So that quiet partitions do not keep a tier for themselves, nor anything stays in memory for too long. */
  #completeIdle(): void {
    const { threshold } = this.#options.settings();
    const now = this.#options.clock.now();
    this.memory.completeDue(this.paths, now);
    if (threshold < 0) return;
    const since = now - IDLE_MS;
    for (const [tier, { capacityBytes, usedBytes }] of this.views().slice(0, -1).entries()) {
      if (usedBytes <= threshold * capacityBytes) continue;
      for (const path of this.tiers[tier]!.paths)
        for (const file of path.files) if (file.modifiedMs < since) file.complete();
    }
  }

  /** Payload files of others, and those of the tiers. */
  over(files: PayloadFiles): PayloadFiles {
    return this.bucket?.over(files) ?? files;
  }

  /** Of the last tier, if that is S3. */
  get bucket(): Bucket | null {
    return this.#options.bucket ?? null;
  }

  /** Whether payload is where a restart of the machine loses it. */
  get hasPayloadInMemory(): boolean {
    return this.paths.some(({ isVolatile, files }) => isVolatile && files.size > 0);
  }

  /** Has whoever writes in memory end that, as far as it is to leave; returns whether anything is still written there. */
  completeInMemory(): boolean {
    this.memory.completeDue(this.paths, this.#options.clock.now());
    return this.paths.some(({ isVolatile, writing }) => isVolatile && writing > 0);
  }

  /**
   * Moves all payload out of memory, before a clean stop, as far as the other tiers have room: then the machine may restart. All segments are to be
   * complete; nothing new goes into memory from then on.
   */
  async drain(): Promise<void> {
    this.memory.isDraining = true;
    this.#timer?.cancel();
    this.#timer = null;
    await this.migrator.idle();
    this.memory.reportRest(this.paths);
  }

  /** Ends what is being moved. Nothing is read from a bucket any more. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    const stopped = Promise.all([this.migrator.stop(), this.scrubber?.stop()]);
    this.bucket?.stop();
    await stopped;
  }

  /** Gives the directories back; everything in them is closed. */
  close(): void {
    for (const lock of this.#locks) lock.release();
    this.#locks = [];
    this.bucket?.close();
  }
}

/** What is used of a store, whose methods are those of an object. */
function tierFiles(files: TierFiles): TierFiles {
  return {
    lockDirectory: (path) => files.lockDirectory(path),
    remove: (path) => files.remove(path),
    keptIn: (directory) => files.keptIn?.(directory) ?? 0,
    copyRange: (from, to, position, length) => files.copyRange(from, to, position, length),
    publishCopy: (from, copy, to) => files.publishCopy(from, copy, to),
  };
}
