import { dirname } from 'node:path';
import type { MemoryPiece } from '../../native/pieces.ts';
import { aheadBytesFor, recycledBytesFor } from '../../native/store.ts';
import type { OpenFiles } from './open-files.ts';
import type { PartitionSegments } from './partition-segments.ts';
import type { PendingExtent } from './pending-extent.ts';
import type { PayloadPlaces, PlacementOptions } from './ports.ts';
import { PayloadSegment } from './segment.ts';

/** More extents than this are not put into one segment, whatever its size: their list is kept in memory. */
const MAX_EXTENTS_PER_SEGMENT = 65_536;

export interface PayloadOptions extends PlacementOptions {
  /** A new segment is begun when the current one would grow beyond this. */
  segmentBytes: number;
  /** Reserve all of it when it is begun. */
  preallocate?: boolean;
}

/** Puts extents to the newest segment of a partition, begins the next when that is full, and completes those that take no more. */
export class SegmentAppends {
  options: PayloadOptions;
  /** Of the next segment. */
  nextId = 0;
  readonly #segments: PartitionSegments;
  readonly #open: OpenFiles;
  readonly #places: PayloadPlaces;
  #active: PayloadSegment | null = null;
  /** Those whose end waits for its turn in the background, or is under way. Null: none did yet. */
  #ending: Set<PayloadSegment> | null = null;

  constructor(segments: PartitionSegments, open: OpenFiles, places: PayloadPlaces, options: PayloadOptions) {
    this.#segments = segments;
    this.#open = open;
    this.#places = places;
    this.options = options;
  }

  /** See PartitionPayloads.append. */
  append(piece: Uint8Array | MemoryPiece, fromMemory: boolean, pieceCrcs: Uint32Array | null): PendingExtent {
    const length = piece.byteLength;
    const previousBytes = this.#active?.bytes ?? 0;
    if (this.#active !== null && this.#isFull(this.#active, length)) this.#end(this.#active);
    this.#active ??= this.#begin(length, previousBytes);
    return this.#active.append(piece, fromMemory, pieceCrcs);
  }

  #begin(length: number, previousBytes: number): PayloadSegment {
    const { segmentBytes, preallocate } = this.options;
    const id = this.nextId;
    const place = this.#places.place(id, length, segmentBytes);
    this.nextId++;
    const origin = { directory: this.#segments.directory, id, open: this.#open, place };
    const segment = PayloadSegment.create(origin, {
      recycledBytes: recycledBytesFor(length, segmentBytes),
      aheadBytes: aheadBytesFor(previousBytes, segmentBytes),
      preallocateBytes: preallocate ? segmentBytes : 0,
    });
    this.#segments.add(segment);
    this.#segments.unsealed.add(segment);
    return segment;
  }

  #isFull(segment: PayloadSegment, length: number): boolean {
    if (segment.failed || segment.extentCount >= MAX_EXTENTS_PER_SEGMENT) return true;
    if (!segment.hasRoomFor(length)) return true;
    return segment.bytes > 0 && segment.bytes + length > this.options.segmentBytes;
  }

  #end(segment: PayloadSegment): void {
    this.leave(segment);
    this.#ending ??= new Set();
    if (this.#ending.has(segment)) return;
    this.#ending.add(segment);
    void this.#segments.inBackground(async () => {
      try {
        await segment.idle();
        if (!this.#segments.has(segment)) return;
        if (segment.unused) {
          await this.#segments.remove(segment);
          return;
        }
        await segment.seal();
        this.#segments.unsealed.delete(segment);
      } finally {
        this.#ending?.delete(segment);
      }
    }, 'A payload segment could not be completed');
  }

  /** It takes the next extent. */
  isActive(segment: PayloadSegment): boolean {
    return this.#active === segment;
  }

  /** Nothing more is put there. */
  leave(segment: PayloadSegment | null = this.#active): void {
    if (this.#active === segment) this.#active = null;
  }

  /** Ends the segment in progress, so that what no extent covers at its end is given back; or only if it has this number. */
  endActive(id: number | null = this.#active?.id ?? null): void {
    if (this.#active !== null && this.#active.id === id) this.#end(this.#active);
  }

  /** Tries again to end segments that could not be, and ends the one that takes extents if it cannot. */
  endAll(): void {
    for (const segment of this.#segments.unsealed) {
      const takesMore = segment === this.#active && !segment.failed && segment.hasRoomFor(0);
      // What nobody can end now is tried again when somebody is there.
      if (!takesMore && segment.outage === null) this.#end(segment);
    }
  }

  /** Bytes in segments in the partition's own directory that are not complete. */
  get openBytes(): number {
    let bytes = 0;
    for (const segment of this.#segments.unsealed)
      if (dirname(segment.path) === this.#segments.directory) bytes += segment.bytes;
    return bytes;
  }

  get needsFlush(): boolean {
    for (const segment of this.#segments.unsealed) if (segment.needsSync) return true;
    return false;
  }

  /** Makes everything appended before the call durable. */
  async flush(): Promise<void> {
    const unsynced = [];
    for (const segment of this.#segments.unsealed) if (segment.needsSync) unsynced.push(segment.sync());
    if (unsynced.length > 0) await Promise.all(unsynced);
  }
}
