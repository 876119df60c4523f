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
import type { PayloadStores } from './payload-stores.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import { readRecords } from './segment-record.ts';

/** The places of one partition's payload when stores have it; what was there before stays where it is. */
export class StorePlaces implements PayloadPlaces {
  /** Of the partition. */
  readonly name: string;
  owner: SegmentOwner | null = null;
  /** What the log refers to, in order; null before all segments are known. */
  openReferences: LogReferences | null = null;
  /** What the topic asks for. */
  replicas = 1;
  minInsync = 1;
  /** In which stores are to keep it; null: in none. */
  tier: number | null = null;
  /** By segment. */
  readonly segments = new Map<number, ReplicatedSegment>();
  /** The partition's payload directory. */
  directory: string;
  /** Of the log directory that it is in. */
  directoryId: string;
  readonly #stores: PayloadStores;
  readonly #home: PayloadPlaces;
  #made: Promise<void> | null = null;

  constructor(
    stores: PayloadStores,
    partition: { readonly name: string; readonly directory: string; readonly directoryId: string },
    home: PayloadPlaces,
  ) {
    this.#stores = stores;
    this.name = partition.name;
    this.directory = partition.directory;
    this.directoryId = partition.directoryId;
    this.#home = home;
  }

  /** Of the log, from the first segment on that is complete. */
  async *completeReferences(): AsyncGenerator<Reference> {
    const firsts = [...this.segments].flatMap(([id, { isComplete }]) =>
      isComplete ? (this.owner?.offsetsOf(id)?.first ?? []) : [],
    );
    if (this.openReferences === null || firsts.length === 0) return;
    yield* this.openReferences.from(firsts.reduce((a, b) => (b < a ? b : a)));
  }

  /** All that the log refers to in a segment; null while that cannot be said, and when it is nothing. */
  referencesIn(segment: number): Promise<Reference[] | null> {
    return referencesIn(this.openReferences, segment, this.owner?.offsetsOf(segment) ?? null);
  }

  get outage(): string | null {
    return this.#home.outage;
  }

  get lost(): ReadonlySet<number> {
    return this.#home.lost ?? new Set();
  }

  async forgetLost(payload: LostPayload): Promise<void> {
    await this.#home.forgetLost?.(payload);
  }

  attach(owner: SegmentOwner): void {
    this.owner = owner;
    this.#home.attach(owner);
  }

  configure(options: PlacementOptions): void {
    this.#home.configure(options);
    this.replicas = options.replicas ?? 1;
    this.minInsync = Math.min(options.minInsyncReplicas ?? 1, this.replicas);
    const { tier = null } = options;
    const isPinnedAnew = tier !== this.tier;
    this.tier = tier;
    if (isPinnedAnew) this.#stores.pinned(this);
    for (const segment of this.segments.values()) {
      segment.replicas = this.replicas;
      segment.minInsync = this.minInsync;
      this.#stores.changed(segment);
    }
  }

  async hold(until: Promise<void>): Promise<void> {
    const segments = Array.from(this.segments.values(), (segment) => segment.holdRecord(until));
    await Promise.all([...segments, this.#home.hold?.(until)]);
  }

  relocated(directory: string, directoryId: string): void {
    this.#home.relocated(directory, directoryId);
    this.directory = directory;
    this.directoryId = directoryId;
    this.#made = null;
    for (const segment of this.segments.values()) segment.relocatedRecord(directory, directoryId);
  }

  async find(names: readonly string[]): Promise<FoundPayload[]> {
    const found = await this.#home.find(names);
    for (const [segment, record] of await readRecords(this.directory, names)) {
      const place = this.#stores.adopt(this, segment, record);
      found.push({ segmentId: segment, place });
    }
    return found;
  }

  abandoned(): void {
    this.#home.abandoned?.();
  }

  place(segmentId: number, bytes: number, segmentBytes: number): PayloadPlace {
    if (this.#stores.areConfigured) return this.#stores.place(this, segmentId, segmentBytes);
    this.#stores.assertOneIsEnough(this.minInsync);
    return this.#home.place(segmentId, bytes, segmentBytes);
  }

  /** Makes the payload directory, for lists and records, unless it is there. */
  makeDirectory(): Promise<void> {
    this.#made ??= makeDirectory(this.directory);
    this.#made.catch(() => {
      this.#made = null;
    });
    return this.#made;
  }
}
