import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { MemoryPiece } from '../../native/pieces.ts';
import { recycledBytesFor } from '../../native/store.ts';
import type { Logger } from '../../util/logger.ts';
import { type Extent, readExtentSummary } from './extents.ts';
import { absentPlace, extentsPath, HomePlaces, payloadPath, segmentOfExtents } from './home-places.ts';
import { isLackOfMemory } from './lack-of-memory.ts';
import type { OpenFiles } from './open-files.ts';
import type { MoveTarget, PayloadPlace, PayloadPlaces, PlacementOptions, SegmentOwner } from './ports.ts';
import { PayloadSegment, type PendingExtent, type SegmentOrigin } from './segment.ts';
import { removeFile } from './small-files.ts';
import { StoreError } from './stores/messages.ts';

/** More extents than this are not put into one segment, whatever its size: their list is kept in memory. */
const MAX_EXTENTS_PER_SEGMENT = 65_536;

/** While payload may be where nobody can look, new segments are numbered so far behind those that are known. */
const OUTAGE_ID_GAP = 1 << 20;

/** A reference that the log holds, as far as recovery needs it. */
export interface Reference extends Extent {
  segmentId: number;
  /** CRC-32C of the original batch, and of the part of its header that precedes the extent. */
  batchCrc: number;
  headerCrc: number;
}

export interface PayloadOptions extends PlacementOptions {
  /** A new segment is begun when the current one would grow beyond this. */
  segmentBytes: number;
  /** Reserve all of it when it is begun. */
  preallocate?: boolean;
}

export interface RecoveryInput {
  logStartOffset: bigint;
  logEndOffset: bigint;
  /** Offsets from here on were not known to be durable when the process ended; null after a clean shutdown. */
  recoveryPoint: bigint | null;
  /** The references in the log from an offset on, in order. */
  references(from: bigint): AsyncIterable<Reference>;
}

/** What retention needs to know of a segment. */
export type PayloadSegmentView = Pick<
  PayloadSegment,
  'bytes' | 'liveBytes' | 'firstOffset' | 'lastOffset' | 'isComplete'
>;

/** The payload that a reference points to is not there, or is not what was produced. */
export class PayloadError extends Error {
  readonly reason: 'missing' | 'damaged';
  readonly segmentId: number;

  constructor(reason: 'missing' | 'damaged', segmentId: number, detail: string) {
    super(`Payload ${reason}: ${detail}`);
    this.reason = reason;
    this.segmentId = segmentId;
  }
}

/**
 * The payload of one partition: extents in the order of their offsets, in segment files that are removed as soon as no
 * record refers to them. It lives inside the partition's directory, so deleting the partition deletes it too, unless it is given other
 * places; the lists of extents are always there.
 */
export class PartitionPayloads implements SegmentOwner {
  readonly #directory: string;
  readonly #open: OpenFiles;
  readonly #logger: Logger;
  readonly #segments = new Map<number, PayloadSegment>();
  /** Those whose end is not yet written down; few, among perhaps many. */
  readonly #unsealed = new Set<PayloadSegment>();
  #options: PayloadOptions;
  #active: PayloadSegment | null = null;
  #nextId = 0;
  #closed = false;
  readonly #places: PayloadPlaces;
  /** Seals, removals and changes of place, one after the other. */
  #background: Promise<void> = Promise.resolve();
  readonly #moves = new Set<Promise<unknown>>();

  constructor(
    partitionDirectory: string,
    open: OpenFiles,
    options: PayloadOptions,
    logger: Logger,
    places: PayloadPlaces = new HomePlaces(payloadDirectory(partitionDirectory)),
  ) {
    this.#directory = payloadDirectory(partitionDirectory);
    this.#open = open;
    this.#options = options;
    this.#logger = logger;
    this.#places = places;
    places.attach(this);
    places.configure(options);
  }

  get totalBytes(): number {
    let bytes = 0;
    for (const segment of this.#segments.values()) bytes += segment.bytes;
    return bytes;
  }

  get liveBytes(): number {
    let bytes = 0;
    for (const segment of this.#segments.values()) bytes += segment.liveBytes;
    return bytes;
  }

  get isEmpty(): boolean {
    return this.#segments.size === 0;
  }

  /** Oldest first. */
  get segments(): Iterable<PayloadSegmentView> {
    return this.#segments.values();
  }

  configure(options: PayloadOptions): void {
    this.#options = options;
    this.#places.configure(options);
  }

  #origin(id: number, place: PayloadPlace): SegmentOrigin {
    return { directory: this.#directory, id, open: this.#open, place };
  }

  /**
   * Learns what is there, removes what no record refers to, and returns the offset of the first reference beyond the recovery
   * point whose payload is missing or damaged: the log has to be cut there (null: nothing to cut). Reads payload only beyond
   * the recovery point.
   */
  async recover(input: RecoveryInput): Promise<bigint | null> {
    const places = await this.#findPlaces();
    const unknown = new Map<number, Reference[]>();
    const { outage } = this.#places;
    let from = input.logStartOffset;
    for (const [id, place] of places) {
      this.#nextId = id + 1;
      const summary = await readExtentSummary(extentsPath(this.#directory, id));
      if (summary === null || summary.lastOffset >= input.logEndOffset) {
        unknown.set(id, []);
        continue;
      }
      const segment = PayloadSegment.sealed(this.#origin(id, place), summary);
      if (segment.isDeadBefore(input.logStartOffset)) {
        await segment.remove();
        continue;
      }
      await segment.countLiveFrom(input.logStartOffset);
      this.#segments.set(id, segment);
      if (unknown.size === 0 && summary.lastOffset >= from) from = summary.lastOffset + 1n;
    }
    // After a clean end every segment has its sidecar, and there is nothing to learn from the log.
    if (unknown.size === 0 && input.recoveryPoint === null && outage === null) return null;
    // With nothing to learn, only what may not be durable has to be checked.
    if (unknown.size === 0 && input.recoveryPoint !== null && input.recoveryPoint > from && outage === null)
      from = input.recoveryPoint;
    const cut = await this.#match(unknown, places, from, input);
    await this.#adopt(unknown, places, input.logStartOffset);
    this.#sortSegments();
    if (outage !== null) this.#nextId += OUTAGE_ID_GAP;
    return cut;
  }

  /** Finds the extents of segments in the log. Returns where the log has to be cut. */
  async #match(
    unknown: Map<number, Reference[]>,
    places: ReadonlyMap<number, PayloadPlace>,
    from: bigint,
    input: RecoveryInput,
  ): Promise<bigint | null> {
    for await (const reference of input.references(from)) {
      const { segmentId: segment, baseOffset } = reference;
      this.#nextId = Math.max(this.#nextId, segment + 1);
      const found = unknown.get(segment);
      const outage = places.has(segment) ? places.get(segment)!.outage : this.#places.outage;
      const checked =
        outage === null && input.recoveryPoint !== null && reference.lastOffset >= input.recoveryPoint;
      if (
        found === undefined
          ? !this.#segments.has(segment)
          : checked && !(await this.#isIntact(reference, places.get(segment)!))
      ) {
        const fields = { directory: this.#directory, offset: baseOffset, segment, outage };
        this.#logger.error(fields, 'A record refers to payload that is missing or damaged');
        if (checked) return baseOffset;
        continue;
      }
      found?.push(reference);
    }
    return null;
  }

  /** Completes the segments whose extents were found in the log, and removes those of nobody. */
  async #adopt(
    unknown: ReadonlyMap<number, Reference[]>,
    places: ReadonlyMap<number, PayloadPlace>,
    logStartOffset: bigint,
  ): Promise<void> {
    for (const [id, references] of unknown) {
      const segment = PayloadSegment.recovered(this.#origin(id, places.get(id)!), references);
      if (segment.unused) {
        this.#logger.info(
          { directory: this.#directory, segment: id },
          'Removed payload that no record refers to',
        );
        await segment.remove();
        continue;
      }
      await this.#sealFound(segment);
      await segment.countLiveFrom(logStartOffset);
      this.#segments.set(id, segment);
    }
  }

  /** A segment whose stores are away, or cannot end it now, is ended when they are back. */
  async #sealFound(segment: PayloadSegment): Promise<void> {
    if (segment.outage === null) {
      try {
        await segment.seal();
        return;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        this.#logger.warn({ segment: segment.path, err: error }, 'A payload segment could not be completed');
      }
    }
    this.#unsealed.add(segment);
  }

  /** What stores cannot tell now is taken for intact: reads of it will say so. */
  async #isIntact(reference: Reference, place: PayloadPlace): Promise<boolean> {
    const { position, length, headerCrc, batchCrc } = reference;
    const file = this.#open.acquire(place.path);
    try {
      const { piece, crc32c } = await (await file.file).readCrc(position, length, headerCrc, batchCrc);
      const whole = piece.byteLength === length && crc32c === batchCrc;
      piece.memory.release();
      return whole;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#logger.warn({ segment: place.path, err: error }, 'Payload could not be checked');
      return true;
    } finally {
      this.#open.release(file);
    }
  }

  /** Where the payload file of each segment is, in the order of the segments. */
  async #findPlaces(): Promise<ReadonlyMap<number, PayloadPlace>> {
    const places = new Map<number, PayloadPlace>();
    for (const { segmentId, place } of await this.#places.find()) places.set(segmentId, place);
    const { outage } = this.#places;
    for (const name of await readdir(this.#directory).catch(() => [] as string[])) {
      const id = segmentOfExtents(name);
      const lost = id !== null && !places.has(id);
      if (lost && outage !== null) places.set(id, absentPlace(payloadPath(this.#directory, id), outage));
      // A removal that was interrupted, or payload that somebody took away: then reads of it will say so.
      else if (lost || name.endsWith('.tmp')) await removeFile(join(this.#directory, name));
    }
    return new Map([...places].sort(([a], [b]) => a - b));
  }

  #sortSegments(): void {
    const sorted = [...this.#segments].sort(([a], [b]) => a - b);
    this.#segments.clear();
    for (const [id, segment] of sorted) this.#segments.set(id, segment);
  }

  /**
   * Gives the records section of a batch its place, and writes it in the background. Copies or retains before it returns. `fromMemory`:
   * be content when the bytes survive the death of the process, before they are in the file.
   */
  append(piece: Uint8Array | MemoryPiece, fromMemory = false): PendingExtent {
    const length = piece.byteLength;
    let active = this.#active;
    if (active !== null && this.#isFull(active, length)) {
      this.#roll(active);
      active = null;
    }
    if (active === null) {
      const { segmentBytes, preallocate } = this.#options;
      const id = this.#nextId;
      const place = this.#places.place(id, length);
      this.#nextId++;
      active = PayloadSegment.create(this.#origin(id, place), {
        recycledBytes: recycledBytesFor(length, segmentBytes),
        preallocateBytes: preallocate ? segmentBytes : 0,
      });
      this.#segments.set(active.id, active);
      this.#unsealed.add(active);
      this.#active = active;
    }
    return active.append(piece, fromMemory);
  }

  #isFull(segment: PayloadSegment, length: number): boolean {
    if (segment.failed || segment.extentCount >= MAX_EXTENTS_PER_SEGMENT) return true;
    if (!segment.hasRoomFor(length)) return true;
    return segment.bytes > 0 && segment.bytes + length > this.#options.segmentBytes;
  }

  #roll(segment: PayloadSegment): void {
    if (this.#active === segment) this.#active = null;
    void this.#inBackground(async () => {
      await segment.seal();
      this.#unsealed.delete(segment);
      if (segment.unused) await this.#remove(segment);
    }, 'A payload segment could not be completed');
  }

  async #remove(segment: PayloadSegment): Promise<void> {
    this.#segments.delete(segment.id);
    this.#unsealed.delete(segment);
    await segment.remove();
  }

  #inBackground(action: () => Promise<void>, failure: string): Promise<void> {
    return this.#serially(action).catch((error: unknown) => {
      this.#logger.warn({ directory: this.#directory, err: error }, failure);
    });
  }

  #serially<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#background.then(action);
    this.#background = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  complete(segmentId: number): void {
    if (this.#active?.id === segmentId) this.endSegment();
  }

  completeAll(): void {
    for (const segment of [...this.#unsealed])
      if (segment !== this.#active || segment.failed || !segment.hasRoomFor(0)) this.#roll(segment);
  }

  move(segmentId: number, target: MoveTarget): Promise<boolean> {
    const segment = this.#segments.get(segmentId);
    if (!segment?.isMovable || this.#closed) return Promise.resolve(false);
    const isWanted = () => !this.#closed && this.#segments.get(segmentId) === segment;
    const moved = target.copy(segment.path, isWanted).then((copied) =>
      this.#serially(async () => {
        if (!copied || !isWanted()) return false;
        await target.publish(segment.path);
        await segment.moveTo(target.place);
        return true;
      }),
    );
    this.#moves.add(moved);
    const ended = () => this.#moves.delete(moved);
    moved.then(ended, ended);
    return moved;
  }

  /** Ends the segment in progress, so that what no extent covers at its end is given back. */
  endSegment(): void {
    if (this.#active !== null) this.#roll(this.#active);
  }

  get needsFlush(): boolean {
    for (const segment of this.#unsealed) if (segment.needsSync) return true;
    return false;
  }

  /** Makes everything appended before the call durable. */
  async flush(): Promise<void> {
    const unsynced = [];
    for (const segment of this.#unsealed) if (segment.needsSync) unsynced.push(segment.sync());
    if (unsynced.length > 0) await Promise.all(unsynced);
  }

  /** An extent as it was produced, if it is still in memory; then it was checked when it came. The caller releases it. */
  find(segmentId: number, position: number, length: number): MemoryPiece | null {
    return this.#segments.get(segmentId)?.find(position, length) ?? null;
  }

  /**
   * Reads an extent and checks it together with the header of its batch.
   * @param headerCrc CRC-32C of the original header from the attributes on
   * @param batchCrc the original batch's CRC
   * @returns a piece whose memory the caller releases
   * @throws PayloadError if the bytes are not there or not what was produced
   */
  async read(
    segmentId: number,
    position: number,
    length: number,
    headerCrc: number,
    batchCrc: number,
  ): Promise<MemoryPiece> {
    const segment = this.#segments.get(segmentId);
    if (segment === undefined)
      throw new PayloadError('missing', segmentId, this.#places.outage ?? `no segment ${segmentId}`);
    const { piece, crc32c } = await segment
      .read(position, length, headerCrc, batchCrc)
      .catch((error: unknown) => {
        if (isLackOfMemory(error)) throw error;
        throw new PayloadError('missing', segmentId, segment.outage ?? `${segment.path}: ${String(error)}`);
      });
    if (piece.byteLength === length && crc32c === batchCrc) return piece;
    const short = piece.byteLength < length;
    piece.memory.release();
    const where = `${segment.path} at ${position}, ${length} bytes`;
    throw new PayloadError(short ? 'missing' : 'damaged', segmentId, where);
  }

  /** Removes segments to which only records below `offset` refer. The log start must be durable by now. */
  reclaimBefore(offset: bigint): Promise<void> {
    return this.#inBackground(async () => {
      if (this.#closed) return;
      for (const segment of [...this.#segments.values()]) {
        if (segment.unused) continue;
        if (!segment.isDeadBefore(offset)) {
          await segment.countLiveFrom(offset);
          break;
        }
        if (segment === this.#active) this.#active = null;
        await this.#remove(segment);
      }
    }, 'Payload could not be removed');
  }

  /**
   * Forgets extents to which no record refers any more, durably; segments of which none is left are removed. Rejects, after it was logged,
   * when that could not be written down; then it can be called again. Nothing happens once the payload is closed.
   */
  async release(
    extents: readonly { readonly segmentId: number; readonly baseOffset: bigint }[],
  ): Promise<void> {
    const dead = new Map<number, Set<bigint>>();
    for (const { segmentId, baseOffset } of extents) {
      const offsets = dead.get(segmentId);
      if (offsets === undefined) dead.set(segmentId, new Set([baseOffset]));
      else offsets.add(baseOffset);
    }
    try {
      await this.#serially(async () => {
        for (const [id, offsets] of dead)
          if (!this.#closed) await this.#drop(id, ({ baseOffset }) => offsets.has(baseOffset));
      });
    } catch (error) {
      const fields = { directory: this.#directory, err: error };
      this.#logger.warn(fields, 'Payload that nothing refers to could not be removed');
      throw error;
    }
  }

  /**
   * Forgets everything but what the log refers to, after a crash that may have come between compaction of the log and `release`. Nothing may
   * be appended meanwhile.
   * @param references all of the log's, in order
   */
  async retainOnly(references: AsyncIterable<Reference>): Promise<void> {
    const unseen = new Set(this.#segments.keys());
    const settle = async (id: number, live: ReadonlySet<bigint>) => {
      unseen.delete(id);
      await this.#drop(id, ({ baseOffset }) => !live.has(baseOffset));
    };
    // Segments follow each other as offsets do: only one's references are held.
    let id = -1;
    let live = new Set<bigint>();
    for await (const { segmentId, baseOffset } of references) {
      if (id !== segmentId) {
        await settle(id, live);
        id = segmentId;
        live = new Set();
      }
      live.add(baseOffset);
    }
    await settle(id, live);
    for (const id of unseen) await this.#drop(id, () => true);
  }

  async #drop(id: number, isDead: (extent: Extent) => boolean): Promise<void> {
    const segment = this.#segments.get(id);
    if (segment === undefined || segment.outage !== null) return;
    await segment.drop(isDead);
    if (segment !== this.#active && segment.isComplete && segment.unused) await this.#remove(segment);
  }

  /** Closes the files as they are: the partition is being deleted. */
  abandon(): void {
    this.#active = null;
    this.#closed = true;
    for (const segment of this.#segments.values()) segment.close();
    this.#segments.clear();
    this.#unsealed.clear();
  }

  /** Completes the segment in progress; nothing may be appended afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.endSegment();
    await Promise.allSettled(this.#moves);
    await this.#background;
    for (const segment of this.#segments.values()) void this.#open.forget(segment.path);
  }
}

/** Where the lists of extents of a partition are, and its payload unless that is in other places. */
export function payloadDirectory(partitionDirectory: string): string {
  return join(partitionDirectory, 'payload');
}
