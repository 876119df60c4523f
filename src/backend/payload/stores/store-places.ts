import type { Reference } from '../partition-payloads.ts';
import type { FoundPayload, PayloadPlace, PayloadPlaces, PlacementOptions, SegmentOwner } from '../ports.ts';
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
  openReferences: (() => AsyncIterable<Reference>) | null = null;
  /** What the topic asks for. */
  replicas = 1;
  minInsync = 1;
  /** By segment. */
  readonly segments = new Map<number, ReplicatedSegment>();
  /** The partition's payload directory. */
  readonly directory: string;
  readonly #stores: PayloadStores;
  readonly #home: PayloadPlaces;
  #made: Promise<void> | null = null;

  constructor(stores: PayloadStores, name: string, directory: string, home: PayloadPlaces) {
    this.#stores = stores;
    this.name = name;
    this.directory = directory;
    this.#home = home;
  }

  async *references(): AsyncGenerator<Reference> {
    if (this.openReferences !== null) yield* this.openReferences();
  }

  get outage(): string | null {
    return this.#home.outage;
  }

  attach(owner: SegmentOwner): void {
    this.owner = owner;
    this.#home.attach(owner);
  }

  configure(options: PlacementOptions): void {
    this.#home.configure(options);
    this.replicas = options.replicas ?? 1;
    this.minInsync = Math.min(options.minInsyncReplicas ?? 1, this.replicas);
    for (const segment of this.segments.values()) {
      segment.replicas = this.replicas;
      segment.minInsync = this.minInsync;
      this.#stores.changed(segment);
    }
  }

  async find(): Promise<FoundPayload[]> {
    const found = await this.#home.find();
    for (const [segment, record] of await readRecords(this.directory)) {
      const place = this.#stores.adopt(this, segment, record);
      found.push({ segmentId: segment, place });
    }
    return found;
  }

  place(segmentId: number, bytes: number): PayloadPlace {
    if (this.#stores.areConfigured) return this.#stores.place(this, segmentId);
    this.#stores.assertOneIsEnough(this.minInsync);
    return this.#home.place(segmentId, bytes);
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
