import { basename, dirname, join } from 'node:path';
import type { RangeRead, ReadRange } from '../../native/listed-pieces.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { deadRanges } from './dead-ranges.ts';
import type { Extent, ExtentSummary } from './extents.ts';
import { extentsPath } from './home-places.ts';
import type { OpenFiles } from './open-files.ts';
import { Appending, type PendingExtent } from './pending-extent.ts';
import type { PayloadOpenOptions, PayloadPlace } from './ports.ts';
import { SegmentExtents } from './segment-extents.ts';
import { SegmentReads } from './segment-reads.ts';
import { SegmentWriter } from './segment-writer.ts';

/** Where a segment belongs. */
export interface SegmentOrigin {
  /** The payload directory of its partition. */
  readonly directory: string;
  readonly id: number;
  readonly open: OpenFiles;
  readonly place: PayloadPlace;
}

/**
 * One payload segment: an append-only file of extents, and beside it, once it takes no more, the list of them.
 * Appends are given their positions at once; the bytes follow in order.
 */
export class PayloadSegment {
  readonly id: number;
  readonly #open: OpenFiles;
  readonly #extents: SegmentExtents;
  readonly #writer: SegmentWriter;
  readonly #reads: SegmentReads;
  #place: PayloadPlace;
  #pending = 0;
  #idle: (() => void) | null = null;
  /** What is dead before may be given back by now. */
  #settledBefore = 0n;
  /** What was live when space was given back last: there is no more to be had until less is. */
  #cleanedLiveBytes = -1;
  /** What takes space is not known for sure. */
  #isUnmeasured = false;

  private constructor(origin: SegmentOrigin, extents: SegmentExtents) {
    this.id = origin.id;
    this.#place = origin.place;
    this.#open = origin.open;
    this.#extents = extents;
    this.#writer = new SegmentWriter(origin.open, origin.place, extents);
    this.#reads = new SegmentReads(origin.open, extents);
  }

  /** A new, empty segment; its file is opened in the background, with these options. */
  static create(origin: SegmentOrigin, options: PayloadOpenOptions): PayloadSegment {
    const segment = PayloadSegment.recovered(origin, []);
    segment.#writer.create(options);
    return segment;
  }

  /** A segment whose sidecar was found to be good. */
  static sealed(origin: SegmentOrigin, summary: ExtentSummary): PayloadSegment {
    const { directory, id, open, place } = origin;
    place.completed(summary.bytes);
    place.holds?.(summary.bytes - summary.freedBytes);
    return new PayloadSegment(origin, SegmentExtents.listed(extentsPath(directory, id), open.lists, summary));
  }

  /** A segment that was found without a good sidecar, its extents learned from the log; `seal` completes it. */
  static recovered(origin: SegmentOrigin, extents: Extent[]): PayloadSegment {
    const { directory, id, open } = origin;
    return new PayloadSegment(origin, SegmentExtents.known(extentsPath(directory, id), open.lists, extents));
  }

  /** Of the payload file. */
  get path(): string {
    return this.#place.path;
  }

  /** Why the file cannot be used; null while it can. */
  get outage(): string | null {
    return this.#place.outage;
  }

  /** Logical size of the file, with what waits for it to be opened. */
  get bytes(): number {
    return this.#writer.bytes;
  }

  /** What of that takes space. */
  get heldBytes(): number {
    return this.bytes - this.#extents.summary.freedBytes;
  }

  /** Bytes that records at or after the log start refer to. */
  get liveBytes(): number {
    return this.#extents.liveBytes;
  }

  /** No extent has been committed or is about to be. */
  get unused(): boolean {
    return this.extentCount === 0;
  }

  /** An append was refused, or would be: the segment must be sealed and replaced. */
  get failed(): boolean {
    return this.#writer.failed || this.#place.outage !== null;
  }

  /** Whether its place has room for so much more. */
  hasRoomFor(bytes: number): boolean {
    return this.#place.hasRoomFor(bytes);
  }

  get extentCount(): number {
    return this.#extents.summary.count + this.#pending;
  }

  get firstOffset(): bigint {
    return this.#extents.summary.firstOffset;
  }

  get lastOffset(): bigint {
    return this.#extents.summary.lastOffset;
  }

  /** Whether every record that refers to this segment is below `offset`. */
  isDeadBefore(offset: bigint): boolean {
    return this.#pending === 0 && this.lastOffset < offset;
  }

  /**
   * `fromMemory`: be content when the bytes survive the death of the process, before they are in the file. `pieceCrcs`: see Extent.
   */
  append(piece: Uint8Array | MemoryPiece, fromMemory: boolean, pieceCrcs: Uint32Array | null): PendingExtent {
    this.#pending++;
    const settle = (committed: Extent | null) => this.#settle(committed);
    const extent = new Appending(this.id, piece.byteLength, pieceCrcs, settle);
    extent.written = this.#writer.write(piece, extent, fromMemory);
    return extent;
  }

  #settle(committed: Extent | null): void {
    if (committed !== null) this.#extents.add(committed);
    this.#pending--;
    if (this.#pending === 0) this.#idle?.();
  }

  /** Throws NOT_ENOUGH_REPLICAS while fewer copies are whole than an extent needs. */
  assertEnoughCopies(): void {
    this.#place.assertEnoughCopies?.();
  }

  /** It takes no more extents. */
  get isComplete(): boolean {
    return !this.#writer.isOpen;
  }

  /**
   * Bytes were appended that are not known to be durable. Not where that cannot be had any more: whoever waits for it has begun to before
   * the last extent was committed.
   */
  get needsSync(): boolean {
    if (this.#extents.isListed || !this.#writer.needsSync) return false;
    return this.#place.outage === null || this.#pending > 0;
  }

  /** Makes everything appended before the call durable. */
  sync(): Promise<void> {
    return this.#writer.sync();
  }

  /** Resolves when no extent is pending. */
  async idle(): Promise<void> {
    if (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    await this.#writer.opened();
  }

  /**
   * Ends the segment: waits for pending extents, cuts off what no extent covers, and writes the sidecar. Without it (full
   * disk) the segment stays readable and the next start learns its extents from the log.
   */
  async seal(): Promise<void> {
    await this.idle();
    if (this.#extents.isListed) return;
    await this.#writer.end(async () => {
      await this.#extents.complete();
      this.#place.completed(this.bytes);
    });
  }

  /** An extent as it was appended, or checked when it was read, if it is still in memory. */
  find(position: number, length: number): MemoryPiece | null {
    return (this.#writer.file ?? this.#open.peek(this.path))?.findChecked(position, length) ?? null;
  }

  /** Reads ranges and their CRC-32C; one result for each, in their order. */
  read(ranges: readonly ReadRange[]): Promise<(RangeRead | Error)[]> {
    return this.#reads.read(() => this.path, ranges);
  }

  /** See Extent; null when they are not known. */
  async pieceCrcs(position: number, length: number): Promise<Uint32Array | null> {
    await this.#reads.mayBegin();
    return this.#extents.pieceCrcs(position, length);
  }

  /** Counts the bytes that records at or after `offset` refer to; earlier ones are gone. */
  countLiveFrom(offset: bigint): Promise<void> {
    return this.#extents.countLiveFrom(offset);
  }

  /** Forgets extents to which nothing refers any more, also in the list on disk. Not while the segment is being completed. */
  drop(isDead: (extent: Extent) => boolean): Promise<void> {
    return this.#extents.drop(isDead);
  }

  /** It is complete, and less than this part of the space that it takes is for what is live. */
  isSparse(minLiveRatio: number): boolean {
    if (!this.isMovable || this.#place.isBusy === true || this.#place.isSolid === true) return false;
    const isFreed = this.#extents.summary.freedBytes > 0;
    if (this.#isUnmeasured || (isFreed && this.#place.isPunchedInPart === true)) return true;
    return this.liveBytes !== this.#cleanedLiveBytes && this.liveBytes < minLiveRatio * this.heldBytes;
  }

  /** What is dead by now may be given back from the next time on: whoever has found it in the log will have read it. */
  settle(): void {
    this.#settledBefore = this.#extents.deadBefore;
  }

  /**
   * Gives back the space of what no record refers to, in whole blocks; the rest stays where it is. Returns how many bytes less it takes. Not while
   * the segment is completed or moved.
   */
  async clean(): Promise<number> {
    const extents = await this.#extents.all();
    if (extents === null) return 0;
    const live = extents.filter(({ lastOffset }) => lastOffset >= this.#settledBefore);
    const { bytes, freedBytes } = this.#extents.summary;
    const ranges = deadRanges(live, bytes);
    const liveBytes = live.reduce((sum, { length }) => sum + length, 0);
    const cleaned = () => {
      this.#cleanedLiveBytes = liveBytes;
      this.#isUnmeasured = false;
    };
    if (live.length === 0 || ranges.length === 0) {
      cleaned();
      return 0;
    }
    // Nobody is to read zeros.
    await this.#reads.leave(ranges);
    const held = await this.#open.punch(this.path, ranges);
    cleaned();
    this.#extents.freed(Math.max(0, bytes - held));
    this.#place.holds?.(held);
    await this.#extents.keep(live);
    return this.#extents.summary.freedBytes - freedBytes;
  }

  /** Closes the file once what is under way has ended; nothing may be appended any more. */
  close(): void {
    this.#writer.release();
    void this.#open.forget(this.path);
  }

  /** Removes the files; reads under way end well. */
  async remove(): Promise<void> {
    this.#writer.release();
    await this.#removeFrom(this.#place);
    await this.#extents.remove();
  }

  /** The file may be moved: it takes no more, and its list is durable. */
  get isMovable(): boolean {
    return this.#extents.isListed && this.#place.outage === null;
  }

  /** Reads from the copy at `place` from now on, and removes the file where it was. */
  async moveTo(place: PayloadPlace): Promise<void> {
    const before = this.#place;
    this.#place = place;
    place.completed(this.bytes);
    place.holds?.(this.heldBytes);
    this.#isUnmeasured = this.#extents.summary.freedBytes > 0;
    await this.#removeFrom(before);
  }

  /** Nothing is read by its name before the promise, which is never rejected, has settled; resolves when nothing is. */
  hold(until: Promise<void>): Promise<void> {
    return this.#reads.hold(until);
  }

  /** The payload directory of its partition is another one now, and the file too if it is there. */
  relocated(directory: string): void {
    const isHome = dirname(this.path) === dirname(this.#extents.path);
    this.#extents.relocated(extentsPath(directory, this.id));
    if (isHome) void this.#open.forget(this.path);
    if (isHome) this.#place.relocated?.(join(directory, basename(this.path)));
  }

  async #removeFrom(place: PayloadPlace): Promise<void> {
    try {
      await this.#open.remove(place.path);
    } catch (error) {
      place.failed(error);
      throw error;
    }
    place.removed();
  }
}
