import { basename, dirname, join } from 'node:path';
import type { MemoryPiece } from '../../native/pieces.ts';
import { deadRanges, overlaps } from './dead-ranges.ts';
import {
  type Extent,
  type ExtentSummary,
  findExtent,
  readExtents,
  summarize,
  writeExtents,
} from './extents.ts';
import { extentsPath } from './home-places.ts';
import type { OpenFile, OpenFiles } from './open-files.ts';
import { Appending, type PendingExtent } from './pending-extent.ts';
import type { PayloadFile, PayloadOpenOptions, PayloadPlace } from './ports.ts';
import { removeFile } from './small-files.ts';

/** Where a segment belongs. */
export interface SegmentOrigin {
  /** The payload directory of its partition. */
  readonly directory: string;
  readonly id: number;
  readonly open: OpenFiles;
  readonly place: PayloadPlace;
}

const NO_HOLES = new Float64Array(0);

function endOf(extents: readonly Extent[]): number {
  const last = extents[extents.length - 1];
  return last === undefined ? 0 : last.position + last.length;
}

/**
 * One payload segment: an append-only file of extents, and beside it, once it takes no more, the list of them.
 * Appends are given their positions at once; the bytes follow in order.
 */
export class PayloadSegment {
  readonly id: number;
  /** In the partition's directory, wherever the file is. */
  #sidecar: string;
  /** Until when nothing is read by its name; null: now. */
  #held: Promise<void> | null = null;
  readonly #open: OpenFiles;
  #place: PayloadPlace;
  /** Held while the segment takes extents or has some that are not durable. */
  #writer: OpenFile | null = null;
  #file: PayloadFile | null = null;
  /** In the order of offsets; null when they are on disk only. */
  #extents: Extent[] | null;
  #summary: ExtentSummary;
  #pending = 0;
  #idle: (() => void) | null = null;
  #syncedBytes = 0;
  #opening: Promise<void> | null = null;
  /** Appends that came before the file was open. */
  #queuedBytes = 0;
  readonly #queued: ((file: PayloadFile | null, error?: unknown) => void)[] = [];
  #failed = false;
  #deadBefore = 0n;
  #liveBytes: number;
  /** As `#deadBefore`, for what may be given back by now. */
  #settledBefore = 0n;
  /** What was live when space was given back last: there is no more to be had until less is. */
  #cleanedLiveBytes = -1;
  /** What takes space is not known for sure. */
  #isUnmeasured = false;
  /** What nobody may read any more; null: its list says that. */
  #holes: Float64Array | null = NO_HOLES;
  readonly #reads = new Set<Promise<unknown>>();

  private constructor(origin: SegmentOrigin, extents: Extent[] | null, summary: ExtentSummary) {
    this.id = origin.id;
    this.#place = origin.place;
    this.#sidecar = extentsPath(origin.directory, origin.id);
    this.#open = origin.open;
    this.#extents = extents;
    this.#summary = summary;
    this.#liveBytes = summary.extentBytes;
  }

  /** A new, empty segment; its file is opened in the background, with these options. */
  static create(origin: SegmentOrigin, options: PayloadOpenOptions): PayloadSegment {
    const segment = new PayloadSegment(origin, [], summarize([], 0));
    segment.#opening = segment.#openForAppends(options);
    return segment;
  }

  /** A segment whose sidecar was found to be good. */
  static sealed(origin: SegmentOrigin, summary: ExtentSummary): PayloadSegment {
    origin.place.completed(summary.bytes);
    origin.place.holds?.(summary.bytes - summary.freedBytes);
    const segment = new PayloadSegment(origin, null, summary);
    if (summary.freedBytes > 0) segment.#holes = null;
    return segment;
  }

  /** A segment that was found without a good sidecar, its extents learned from the log; `seal` completes it. */
  static recovered(origin: SegmentOrigin, extents: Extent[]): PayloadSegment {
    return new PayloadSegment(origin, extents, summarize(extents, endOf(extents)));
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
    return this.#summary.bytes + this.#queuedBytes;
  }

  /** What of that takes space. */
  get heldBytes(): number {
    return this.bytes - this.#summary.freedBytes;
  }

  /** Bytes that records at or after the log start refer to. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** No extent has been committed or is about to be. */
  get unused(): boolean {
    return this.#summary.count === 0 && this.#pending === 0;
  }

  /** An append was refused, or would be: the segment must be sealed and replaced. */
  get failed(): boolean {
    return this.#failed || this.#place.outage !== null;
  }

  /** Whether its place has room for so much more. */
  hasRoomFor(bytes: number): boolean {
    return this.#place.hasRoomFor(bytes);
  }

  get extentCount(): number {
    return this.#summary.count + this.#pending;
  }

  get firstOffset(): bigint {
    return this.#summary.firstOffset;
  }

  get lastOffset(): bigint {
    return this.#summary.lastOffset;
  }

  /** Whether every record that refers to this segment is below `offset`. */
  isDeadBefore(offset: bigint): boolean {
    return this.#pending === 0 && this.#summary.lastOffset < offset;
  }

  /**
   * `fromMemory`: be content when the bytes survive the death of the process, before they are in the file. `pieceCrcs`: see Extent.
   */
  append(piece: Uint8Array | MemoryPiece, fromMemory: boolean, pieceCrcs: Uint32Array | null): PendingExtent {
    this.#pending++;
    const settle = (committed: Extent | null) => this.#settle(committed);
    const extent = new Appending(this.id, piece.byteLength, pieceCrcs, settle);
    extent.written = this.#write(piece, extent, fromMemory);
    return extent;
  }

  #settle(committed: Extent | null): void {
    if (committed !== null) this.#commit(committed);
    this.#pending--;
    if (this.#pending === 0) this.#idle?.();
  }

  async #openForAppends(options: PayloadOpenOptions): Promise<void> {
    try {
      await this.#place.ready;
      this.#writer = this.#open.acquire(this.path, { create: true, ...options });
      const file = await this.#writer.file;
      this.#file = file;
      for (let start = this.#queued.shift(); start !== undefined; start = this.#queued.shift()) start(file);
    } catch (error) {
      this.#refuse(error);
      for (const start of this.#queued.splice(0)) start(null, error);
    }
  }

  #refuse(error: unknown): void {
    this.#failed = true;
    this.#place.failed(error);
  }

  #write(piece: Uint8Array | MemoryPiece, extent: Appending, fromMemory: boolean): Promise<void> | null {
    const refused = (error: unknown) => {
      this.#refuse(error);
      throw error;
    };
    if (this.#file === null) return this.#writeLater(piece, extent, fromMemory).catch(refused);
    try {
      return this.#put(this.#file, piece, extent, fromMemory)?.catch(refused) ?? null;
    } catch (error) {
      this.#refuse(error);
      return Promise.reject(error);
    }
  }

  #put(
    file: PayloadFile,
    piece: Uint8Array | MemoryPiece,
    extent: Appending,
    fromMemory: boolean,
  ): Promise<void> | null {
    const { position, done } = file.append([piece], { align: true, fromMemory });
    extent.position = position;
    this.#summary.bytes = position + extent.length;
    this.#place.resized(this.bytes);
    return done;
  }

  /** The first appends of a segment wait for its file; what they hold must outlive the call. */
  #writeLater(piece: Uint8Array | MemoryPiece, extent: Appending, fromMemory: boolean): Promise<void> {
    const held = piece instanceof Uint8Array ? Uint8Array.from(piece) : piece;
    if (!(held instanceof Uint8Array)) held.memory.retain();
    this.#queuedBytes += held.byteLength;
    this.#place.resized(this.bytes);
    return new Promise((resolve, reject) => {
      this.#queued.push((file, error) => {
        this.#queuedBytes -= held.byteLength;
        try {
          if (file === null) reject(error);
          else Promise.resolve(this.#put(file, held, extent, fromMemory)).then(() => resolve(), reject);
        } catch (failure) {
          reject(failure);
        } finally {
          if (!(held instanceof Uint8Array)) held.memory.release();
        }
      });
    });
  }

  #commit(extent: Extent): void {
    const summary = this.#summary;
    if (summary.count === 0) summary.firstOffset = extent.baseOffset;
    summary.count++;
    summary.lastOffset = extent.lastOffset;
    summary.extentBytes += extent.length;
    this.#liveBytes += extent.length;
    this.#extents!.push(extent);
  }

  /** Throws NOT_ENOUGH_REPLICAS while fewer copies are whole than an extent needs. */
  assertEnoughCopies(): void {
    this.#place.assertEnoughCopies?.();
  }

  /** It takes no more extents. */
  get isComplete(): boolean {
    return this.#writer === null;
  }

  /**
   * Bytes were appended that are not known to be durable. Not where that cannot be had any more: whoever waits for it has begun to before
   * the last extent was committed.
   */
  get needsSync(): boolean {
    if (this.#opening === null || this.#extents === null || this.#syncedBytes >= this.bytes) return false;
    return this.#place.outage === null || this.#pending > 0;
  }

  /** Makes everything appended before the call durable. */
  async sync(): Promise<void> {
    await this.#opening;
    const target = this.#summary.bytes;
    const writer = this.#writer;
    const holder = writer ?? this.#open.acquire(this.path); // closed by a seal that failed
    try {
      await (await holder.file).sync();
      this.#syncedBytes = Math.max(this.#syncedBytes, target);
    } catch (error) {
      this.#place.failed(error);
      throw error;
    } finally {
      if (writer === null) this.#open.release(holder);
    }
  }

  /** Resolves when no extent is pending. */
  async idle(): Promise<void> {
    if (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    await this.#opening;
  }

  /**
   * Ends the segment: waits for pending extents, cuts off what no extent covers, and writes the sidecar. Without it (full
   * disk) the segment stays readable and the next start learns its extents from the log.
   */
  async seal(): Promise<void> {
    await this.idle();
    const extents = this.#extents;
    if (extents === null) return;
    const writer = this.#writer ?? this.#open.acquire(this.path);
    try {
      await this.#cutAndSync(await writer.file, endOf(extents));
      await this.#writeList(extents);
      this.#extents = null;
      this.#place.completed(this.#summary.bytes);
    } finally {
      this.#writer = null;
      this.#file = null;
      this.#open.release(writer);
    }
  }

  async #cutAndSync(file: PayloadFile, bytes: number): Promise<void> {
    this.#summary.bytes = bytes;
    try {
      await file.truncate(bytes);
      await file.sync();
    } catch (error) {
      this.#place.failed(error);
      throw error;
    }
    this.#syncedBytes = bytes;
  }

  /** An extent as it was appended, if it is still in memory. */
  find(position: number, length: number): MemoryPiece | null {
    return (this.#file ?? this.#open.peek(this.path))?.findAppended(position, length) ?? null;
  }

  /** Reads an extent and its CRC-32C, which continues from `seed` and is to be `expected`. */
  async read(
    position: number,
    length: number,
    seed: number,
    expected: number,
  ): Promise<{ piece: MemoryPiece; crc32c: number }> {
    if (this.#held !== null) await this.#held;
    if (this.#holes === null) {
      const listed = await readExtents(this.#sidecar);
      this.#holes ??= listed === null ? NO_HOLES : deadRanges(listed, this.#summary.bytes);
    }
    if (overlaps(this.#holes, position, length)) throw new Error('no record refers to it any more');
    const reader = this.#open.acquire(this.path);
    const read = reader.file.then((file) => file.readCrc(position, length, seed, expected));
    this.#reads.add(read);
    try {
      return await read;
    } finally {
      this.#reads.delete(read);
      this.#open.release(reader);
    }
  }

  /** See Extent; null when they are not known. */
  async pieceCrcs(position: number, length: number): Promise<Uint32Array | null> {
    if (this.#held !== null) await this.#held;
    const extent =
      this.#extents === null
        ? (await this.#open.lists.get(this.#sidecar))?.find(position)
        : findExtent(this.#extents, position);
    return extent?.length === length ? (extent.pieceCrcs ?? null) : null;
  }

  /** Counts the bytes that records at or after `offset` refer to; earlier ones are gone. */
  async countLiveFrom(offset: bigint): Promise<void> {
    if (offset <= this.#deadBefore || offset <= this.#summary.firstOffset) return;
    this.#deadBefore = offset;
    const extents = this.#extents ?? (await readExtents(this.#sidecar));
    if (extents === null) return;
    this.#liveBytes = extents.reduce(
      (sum, extent) => (extent.lastOffset >= offset ? sum + extent.length : sum),
      0,
    );
  }

  /** Forgets extents to which nothing refers any more, also in the list on disk. Not while the segment is being completed. */
  async drop(isDead: (extent: Extent) => boolean): Promise<void> {
    const extents = this.#extents ?? (await readExtents(this.#sidecar));
    if (extents === null) return;
    const live = extents.filter((extent) => !isDead(extent));
    if (live.length === extents.length) return;
    if (this.#extents === null) {
      // Without any the segment goes as a whole.
      if (live.length > 0) await this.#writeList(live);
    } else this.#extents = live;
    this.#listed(live);
  }

  async #writeList(extents: readonly Extent[]): Promise<void> {
    const { bytes, freedBytes } = this.#summary;
    await writeExtents(this.#sidecar, extents, bytes, freedBytes);
    this.#open.lists.forget(this.#sidecar);
  }

  #listed(extents: readonly Extent[]): void {
    const { bytes, freedBytes } = this.#summary;
    this.#summary = summarize(extents, bytes, freedBytes);
    this.#liveBytes = extents.reduce(
      (sum, extent) => (extent.lastOffset >= this.#deadBefore ? sum + extent.length : sum),
      0,
    );
  }

  /** It is complete, and less than this part of the space that it takes is for what is live. */
  isSparse(minLiveRatio: number): boolean {
    if (!this.isMovable || this.#place.isBusy === true || this.#place.isSolid === true) return false;
    if (this.#isUnmeasured || (this.#summary.freedBytes > 0 && this.#place.isPunchedInPart === true))
      return true;
    return this.#liveBytes !== this.#cleanedLiveBytes && this.#liveBytes < minLiveRatio * this.heldBytes;
  }

  /** What is dead by now may be given back from the next time on: whoever has found it in the log will have read it. */
  settle(): void {
    this.#settledBefore = this.#deadBefore;
  }

  /**
   * Gives back the space of what no record refers to, in whole blocks; the rest stays where it is. Returns how many bytes less it takes. Not while
   * the segment is completed or moved.
   */
  async clean(): Promise<number> {
    const extents = await readExtents(this.#sidecar);
    if (extents === null) return 0;
    const live = extents.filter(({ lastOffset }) => lastOffset >= this.#settledBefore);
    const { bytes, freedBytes } = this.#summary;
    const ranges = deadRanges(live, bytes);
    const liveBytes = live.reduce((sum, { length }) => sum + length, 0);
    if (live.length === 0 || ranges.length === 0) {
      this.#cleanedLiveBytes = liveBytes;
      this.#isUnmeasured = false;
      return 0;
    }
    // Nobody is to read zeros: nobody begins to read there any more, and who has begun ends first.
    this.#holes = ranges;
    await Promise.allSettled(this.#reads);
    const held = await this.#open.punch(this.path, ranges);
    this.#cleanedLiveBytes = liveBytes;
    this.#isUnmeasured = false;
    this.#summary.freedBytes = Math.max(0, bytes - held);
    this.#place.holds?.(held);
    await this.#writeList(live);
    this.#listed(live);
    return this.#summary.freedBytes - freedBytes;
  }

  /** Closes the file once what is under way has ended; nothing may be appended any more. */
  close(): void {
    this.#releaseWriter();
    void this.#open.forget(this.path);
  }

  /** Removes the files; reads under way end well. */
  async remove(): Promise<void> {
    this.#releaseWriter();
    await this.#removeFrom(this.#place);
    this.#open.lists.forget(this.#sidecar);
    await removeFile(this.#sidecar);
  }

  /** The file may be moved: it takes no more, and its list is durable. */
  get isMovable(): boolean {
    return this.#extents === null && this.#place.outage === null;
  }

  /** Reads from the copy at `place` from now on, and removes the file where it was. */
  async moveTo(place: PayloadPlace): Promise<void> {
    const before = this.#place;
    this.#place = place;
    place.completed(this.#summary.bytes);
    place.holds?.(this.heldBytes);
    this.#isUnmeasured = this.#summary.freedBytes > 0;
    await this.#removeFrom(before);
  }

  /** Nothing is read by its name before the promise, which is never rejected, has settled; resolves when nothing is. */
  async hold(until: Promise<void>): Promise<void> {
    this.#held = until.then(() => {
      this.#held = null;
    });
    await Promise.allSettled(this.#reads);
  }

  /** The payload directory of its partition is another one now, and the file too if it is there. */
  relocated(directory: string): void {
    const isHome = dirname(this.path) === dirname(this.#sidecar);
    this.#open.lists.forget(this.#sidecar);
    this.#sidecar = extentsPath(directory, this.id);
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

  #releaseWriter(): void {
    if (this.#writer !== null) this.#open.release(this.#writer);
    this.#writer = null;
  }
}
