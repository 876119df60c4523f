import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readExtentSummary } from '../extents.ts';
import { extentsPath, segmentOfExtents, segmentOfPayload } from '../home-places.ts';
import { type LogReferences, referencesIn } from '../log-references.ts';
import type { Reference } from '../payload-recovery.ts';
import type {
  FoundPayload,
  LostPayload,
  PayloadPlace,
  PayloadPlaces,
  PlacementOptions,
  SegmentOwner,
} from '../ports.ts';
import { makeDirectory } from '../small-files.ts';
import type { TierFile, TierFileOwner } from './tier-file.ts';
import type { TierPath } from './tier-path.ts';
import type { TieredStorage } from './tiered-storage.ts';
import { VolatileMarks } from './volatile-marks.ts';

/** The places of one partition's payload: the tiers, and its own directory, where it was before there were tiers. */
export class TieredPlaces implements PayloadPlaces, TierFileOwner {
  /** Of the partition's directory in each path. */
  readonly name: string;
  segments: SegmentOwner | null = null;
  pin: number | null = null;
  #references: LogReferences | null = null;
  readonly lost = new Set<number>();
  /** The partition's own payload directory. */
  #home: string;
  readonly #storage: TieredStorage;
  readonly #marks: VolatileMarks;
  #homeMade: Promise<void> | null = null;
  /** What `find` has found in its paths, and what it has added there to be counted; null when all is taken in. */
  #found: { readonly adopted: readonly TierFile[]; readonly added: readonly TierFile[] } | null = null;

  constructor(storage: TieredStorage, name: string, home: string) {
    this.#storage = storage;
    this.name = name;
    this.#home = home;
    this.#marks = new VolatileMarks(home);
  }

  get outage(): string | null {
    return this.#storage.unseen;
  }

  attach(segments: SegmentOwner): void {
    this.segments = segments;
  }

  configure({ tier }: PlacementOptions): void {
    this.pin = tier ?? null;
  }

  opened(references: LogReferences): void {
    this.#references = references;
    this.#found = null;
  }

  abandoned(): void {
    this.segments = null;
    if (this.#found !== null) this.#storage.giveBack(this.name, this.#found.adopted);
    for (const file of this.#found?.added ?? []) file.removed();
    this.#found = null;
  }

  referencesIn(segmentId: number): Promise<Reference[] | null> {
    return referencesIn(this.#references, segmentId, this.segments?.offsetsOf(segmentId) ?? null);
  }

  hold(until: Promise<void>): Promise<void> {
    return this.#marks.hold(until);
  }

  relocated(directory: string): void {
    this.#home = directory;
    this.#homeMade = null;
    this.#marks.relocated(directory);
  }

  /** Makes the partition's own payload directory, for the lists of extents, unless it is there. */
  #makeHome(): Promise<void> {
    this.#homeMade ??= makeDirectory(this.#home);
    this.#homeMade.catch(() => {
      this.#homeMade = null;
    });
    return this.#homeMade;
  }

  /** Notes that a segment is to be where a restart of the machine loses it; resolves when that is durable. */
  async #entersMemory(segmentId: number): Promise<void> {
    await this.#makeHome();
    await this.#marks.add(segmentId);
  }

  leftMemory(segmentId: number): void {
    this.#marks.remove(segmentId);
  }

  pathIn(at: TierPath, segmentId: number, modifiedMs: number): string {
    return at.pathOf(this.name, segmentId, modifiedMs);
  }

  prepare(at: TierPath, segmentId: number): Promise<unknown> {
    const noted = at.isVolatile ? this.#entersMemory(segmentId) : this.#makeHome();
    return Promise.all([noted, at.prepare(this.name)]);
  }

  async forgetLost(payload: LostPayload): Promise<void> {
    await this.#marks.clear(this.lost);
    this.lost.clear();
    this.#storage.memory.countLost(payload);
  }

  place(segmentId: number, bytes: number, segmentBytes: number): PayloadPlace {
    return this.#storage.place(this, segmentId, bytes, segmentBytes);
  }

  async find(names: readonly string[]): Promise<FoundPayload[]> {
    const bySegment = new Map<number, TierFile[]>();
    const adopted = this.#storage.adopt(this);
    const added: TierFile[] = [];
    this.#found = { adopted, added };
    added.push(...(await this.#findAtHome(names)));
    for (const file of [...adopted, ...added]) {
      if (file.at.isVolatile) this.#marks.adopt(file.segmentId);
      const files = bySegment.get(file.segmentId);
      if (files === undefined) bySegment.set(file.segmentId, [file]);
      else files.push(file);
    }
    for (const file of await this.#assumeInBucket(names, bySegment)) {
      added.push(file);
      bySegment.set(file.segmentId, [file]);
    }
    const found: FoundPayload[] = [];
    for (const [segmentId, files] of bySegment) {
      const place = files.length === 1 ? files[0]! : await this.#chooseAmong(segmentId, files);
      found.push({ segmentId, place });
    }
    await this.#findLost(names, bySegment);
    return found;
  }

  /** While a directory cannot be looked at nobody knows whether a segment is lost or there. */
  async #findLost(names: readonly string[], found: ReadonlyMap<number, unknown>): Promise<void> {
    const marked = this.#marks.find(names);
    for (const id of marked) if (!found.has(id) && this.outage === null) this.lost.add(id);
    await this.#marks.clear(marked.filter((id) => found.has(id))); // but for those that are in memory
  }

  async #findAtHome(names: readonly string[]): Promise<TierFile[]> {
    const files: TierFile[] = [];
    for (const name of names) {
      const segmentId = segmentOfPayload(name);
      if (segmentId === null) continue;
      const path = join(this.#home, name);
      const { size, mtimeMs } = await stat(path);
      files.push(this.#storage.add(null, this, { segmentId, path, bytes: size, modifiedMs: mtimeMs }));
    }
    return files;
  }

  /** When the bucket could not be listed, complete segments that are nowhere else are there. */
  async #assumeInBucket(names: readonly string[], found: ReadonlyMap<number, unknown>): Promise<TierFile[]> {
    const assumed: TierFile[] = [];
    for (const name of names) {
      const segmentId = segmentOfExtents(name);
      if (segmentId === null || found.has(segmentId)) continue;
      const path = join(this.#home, name);
      const summary = await readExtentSummary(path);
      if (summary === null) continue;
      const { mtimeMs: modifiedMs } = await stat(path);
      const file = this.#storage.assumeInBucket(this, { segmentId, bytes: summary.bytes, modifiedMs });
      if (file !== null) assumed.push(file);
    }
    return assumed;
  }

  /** A move was interrupted between the naming of the copy and the removal of the original. */
  async #chooseAmong(segmentId: number, files: readonly TierFile[]): Promise<TierFile> {
    const summary = await readExtentSummary(extentsPath(this.#home, segmentId));
    const { kept, extra } = chooseCopy(files, summary?.bytes ?? null);
    await this.#storage.dropCopies(kept, extra);
    return kept;
  }
}

/** What `chooseCopy` has to know of a file. */
export interface Copy {
  readonly tier: number;
  readonly bytes: number;
}

/**
 * Which of several files of one segment is used. A move gives the copy its name when it is complete and durable, and only complete segments
 * move, so that they are equal: the one in the slowest tier stays, for the room in the others. When lengths differ something else has
 * happened: the one that has the length of the list stays, or the longest, and the others are left to people.
 * @param listedBytes the length that the list of extents says; null: there is no list
 */
export function chooseCopy<C extends Copy>(
  files: readonly C[],
  listedBytes: number | null,
): { kept: C; extra: readonly C[] } {
  const length = listedBytes ?? Math.max(...files.map(({ bytes }) => bytes));
  const whole = files.filter(({ bytes }) => bytes === length);
  if (whole.length === 0) return { kept: longest(files), extra: [] };
  const kept = whole.reduce((best, file) => (file.tier > best.tier ? file : best));
  return { kept, extra: whole.filter((file) => file !== kept) };
}

function longest<C extends Copy>(files: readonly C[]): C {
  return files.reduce((best, file) => (file.bytes > best.bytes ? file : best));
}
