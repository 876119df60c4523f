import { dirname, join } from 'node:path';
import { EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { recycledBytesFor } from '../../native/store.ts';
import type { Logger } from '../../util/logger.ts';
import { PayloadError, readChecked, readCheckedPieces } from './checked-reads.ts';
import type { Extent } from './extents.ts';
import { HomePlaces, payloadDirectory } from './home-places.ts';
import type { OpenFiles } from './open-files.ts';
import { type RecoveryInput, type Reference, recoverSegments } from './payload-recovery.ts';
import { type PayloadTarget, relocateSegments } from './payload-relocation.ts';
import type { PendingExtent } from './pending-extent.ts';
import type {
  LostPayload,
  MoveTarget,
  PayloadPlace,
  PayloadPlaces,
  PlacementOptions,
  SegmentOwner,
} from './ports.ts';
import { PayloadSegment, type SegmentOrigin } from './segment.ts';
import { namesIn, removeFile, replaceFile } from './small-files.ts';

/** More extents than this are not put into one segment, whatever its size: their list is kept in memory. */
const MAX_EXTENTS_PER_SEGMENT = 65_536;

/** Is there when a process has ended before it could give up all that it was to. */
const UNRELEASED = 'unreleased';
const NOT_RELEASED = 'Payload that nothing refers to could not be removed';

export interface PayloadOptions extends PlacementOptions {
  /** A new segment is begun when the current one would grow beyond this. */
  segmentBytes: number;
  /** Reserve all of it when it is begun. */
  preallocate?: boolean;
}

/** What retention needs to know of a segment. */
export type PayloadSegmentView = Pick<
  PayloadSegment,
  'bytes' | 'liveBytes' | 'firstOffset' | 'lastOffset' | 'isComplete'
>;

/**
 * The payload of one partition: extents in the order of their offsets, in segment files that are removed as soon as no
 * record refers to them. It lives inside the partition's directory, so deleting the partition deletes it too, unless it is given other
 * places; the lists of extents are always there.
 */
export class PartitionPayloads implements SegmentOwner {
  #directory: string;
  readonly #open: OpenFiles;
  readonly #logger: Logger;
  readonly #segments = new Map<number, PayloadSegment>();
  /** Those whose end is not yet written down; few, among perhaps many. */
  readonly #unsealed = new Set<PayloadSegment>();
  /** Those of them whose end waits for its turn in the background, or is under way. */
  readonly #ending = new Set<PayloadSegment>();
  /** What is to be given up, by segment: base offsets of extents. */
  readonly #unreleased = new Map<number, Set<bigint>>();
  #mayHoldDead = false;
  #lost: LostPayload | null = null;
  #options: PayloadOptions;
  #active: PayloadSegment | null = null;
  #nextId = 0;
  #closed = false;
  readonly #places: PayloadPlaces;
  /** Seals, removals and changes of place, one after the other. */
  #background: Promise<void> = Promise.resolve();
  readonly #moves = new Set<Promise<unknown>>();
  readonly #moving = new Set<PayloadSegment>();
  #relocating = false;

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

  /** What takes space, once for each segment however many copies there are. */
  get totalBytes(): number {
    let bytes = 0;
    for (const segment of this.#segments.values()) bytes += segment.heldBytes;
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
   * point whose payload is missing or damaged: the log was cut there (null: nothing to cut).
   * @throws PayloadUnreachable while that cannot be said: nothing was taken in then, and it may be called again
   */
  async recover(input: RecoveryInput): Promise<bigint | null> {
    const scope = {
      directory: this.#directory,
      open: this.#open,
      places: this.#places,
      logger: this.#logger,
    };
    const { segments, unsealed, nextId, cut, lost } = await recoverSegments(scope, input);
    this.#lost = lost;
    for (const segment of segments) this.#segments.set(segment.id, segment);
    for (const segment of unsealed) this.#unsealed.add(segment);
    this.#nextId = nextId;
    this.#mayHoldDead = (await namesIn(this.#directory)).includes(UNRELEASED);
    return cut;
  }

  /** Payload that a restart of the machine has taken; the records that refer to it have to go before `forgetLost`. Null: none. */
  get lost(): LostPayload | null {
    return this.#lost;
  }

  /** Nothing refers to what was lost any more, durably. */
  async forgetLost(): Promise<void> {
    if (this.#lost !== null) await this.#places.forgetLost?.(this.#lost);
    this.#lost = null;
  }

  /** What was to be given up may still be listed: `retainOnly` is to be told what the log refers to. */
  get mayHoldDead(): boolean {
    return this.#mayHoldDead;
  }

  /**
   * Gives the records section of a batch its place, and writes it in the background. Copies or retains before it returns. `fromMemory`:
   * be content when the bytes survive the death of the process, before they are in the file. `pieceCrcs`: see Extent.
   */
  append(
    piece: Uint8Array | MemoryPiece,
    fromMemory = false,
    pieceCrcs: Uint32Array | null = null,
  ): PendingExtent {
    const length = piece.byteLength;
    let active = this.#active;
    if (active !== null && this.#isFull(active, length)) {
      this.#roll(active);
      active = null;
    }
    if (active === null) {
      const { segmentBytes, preallocate } = this.#options;
      const id = this.#nextId;
      const place = this.#places.place(id, length, segmentBytes);
      this.#nextId++;
      active = PayloadSegment.create(this.#origin(id, place), {
        recycledBytes: recycledBytesFor(length, segmentBytes),
        preallocateBytes: preallocate ? segmentBytes : 0,
      });
      this.#segments.set(active.id, active);
      this.#unsealed.add(active);
      this.#active = active;
    }
    return active.append(piece, fromMemory, pieceCrcs);
  }

  #isFull(segment: PayloadSegment, length: number): boolean {
    if (segment.failed || segment.extentCount >= MAX_EXTENTS_PER_SEGMENT) return true;
    if (!segment.hasRoomFor(length)) return true;
    return segment.bytes > 0 && segment.bytes + length > this.#options.segmentBytes;
  }

  #roll(segment: PayloadSegment): void {
    if (this.#active === segment) this.#active = null;
    if (this.#ending.has(segment)) return;
    this.#ending.add(segment);
    void this.#inBackground(async () => {
      try {
        await segment.idle();
        if (this.#segments.get(segment.id) !== segment) return;
        if (segment.unused) {
          await this.#remove(segment);
          return;
        }
        await segment.seal();
        this.#unsealed.delete(segment);
      } finally {
        this.#ending.delete(segment);
      }
    }, 'A payload segment could not be completed');
  }

  /** One that cannot be removed stays known, and is tried again with what is given up next. */
  async #remove(segment: PayloadSegment): Promise<void> {
    // No flush waits for what goes.
    this.#unsealed.delete(segment);
    await segment.remove();
    this.#segments.delete(segment.id);
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
    for (const segment of this.#unsealed) {
      const takesMore = segment === this.#active && !segment.failed && segment.hasRoomFor(0);
      // What nobody can end now is tried again when somebody is there.
      if (!takesMore && segment.outage === null) this.#roll(segment);
    }
    if (this.#unreleased.size > 0) void this.#inBackground(() => this.#dropUnreleased(), NOT_RELEASED);
  }

  offsetsOf(segmentId: number): { first: bigint; last: bigint } | null {
    const segment = this.#segments.get(segmentId);
    if (segment === undefined || segment.unused) return null;
    return { first: segment.firstOffset, last: segment.lastOffset };
  }

  move(segmentId: number, target: MoveTarget): Promise<boolean> {
    const segment = this.#segments.get(segmentId);
    if (!segment?.isMovable || this.#closed || this.#relocating) return Promise.resolve(false);
    const isWanted = () => !this.#closed && this.#segments.get(segmentId) === segment;
    this.#moving.add(segment);
    const moved = target.copy(segment.path, isWanted).then((copied) =>
      this.#serially(async () => {
        if (!copied || !isWanted()) return false;
        await target.publish(segment.path);
        await segment.moveTo(target.place);
        return true;
      }),
    );
    this.#moves.add(moved);
    const ended = () => {
      this.#moves.delete(moved);
      this.#moving.delete(segment);
    };
    moved.then(ended, ended);
    return moved;
  }

  /** Ends the segment in progress, so that what no extent covers at its end is given back. */
  endSegment(): void {
    if (this.#active !== null) this.#roll(this.#active);
  }

  /** Bytes in segments in the partition's own directory that are not complete. */
  get openBytes(): number {
    let bytes = 0;
    for (const segment of this.#unsealed)
      if (dirname(segment.path) === this.#directory) bytes += segment.bytes;
    return bytes;
  }

  /** Has the payload go on in another directory, once all is complete; see `relocateSegments`. Nothing may be appended meanwhile. */
  async relocate(to: PayloadTarget, swap: () => Promise<void>): Promise<void> {
    this.#relocating = true;
    try {
      this.completeAll();
      this.endSegment();
      await Promise.allSettled(this.#moves);
      await this.#serially(async () => {
        const segments = [...this.#segments.values()];
        await relocateSegments({ segments, open: this.#unsealed, places: this.#places }, to, swap);
        this.#directory = to.directory;
      });
    } finally {
      this.#relocating = false;
    }
  }

  /** Resolves when segments that were ended are complete, or could not be. */
  settled(): Promise<void> {
    return this.#background;
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
    return readChecked(this.#segment(segmentId), position, length, headerCrc, batchCrc);
  }

  /** What parts of an extent can be checked by; null when only the whole can. */
  async pieceCrcs(segmentId: number, position: number, length: number): Promise<Uint32Array | null> {
    const crcs = (await this.#segments.get(segmentId)?.pieceCrcs(position, length)) ?? null;
    return crcs?.length === Math.ceil(length / EXTENT_PIECE_BYTES) ? crcs : null;
  }

  /**
   * Reads pieces `first` to `end` (exclusive) of an extent, by the checksums that `pieceCrcs` had for it, and checks them.
   * @returns a piece whose memory the caller releases
   * @throws PayloadError if the bytes are not there or not what was produced
   */
  async readPieces(
    extent: { segmentId: number; position: number; length: number },
    crcs: Uint32Array,
    first: number,
    end: number,
  ): Promise<MemoryPiece> {
    return readCheckedPieces(this.#segment(extent.segmentId), extent, crcs, first, end);
  }

  /** @throws PayloadError */
  #segment(id: number): PayloadSegment {
    const segment = this.#segments.get(id);
    if (segment !== undefined) return segment;
    throw new PayloadError('missing', id, this.#places.outage ?? `no segment ${id}`);
  }

  /** Removes segments to which only records below `offset` refer. The log start must be durable by now. */
  reclaimBefore(offset: bigint): Promise<void> {
    return this.#inBackground(async () => {
      if (this.#closed) return;
      const failures: unknown[] = [];
      for (const segment of [...this.#segments.values()]) {
        if (segment.unused) continue;
        if (!segment.isDeadBefore(offset)) {
          await segment.countLiveFrom(offset);
          break;
        }
        if (segment === this.#active) this.#active = null;
        // One on a disk that has failed keeps nobody from the others.
        await this.#remove(segment).catch((error: unknown) => failures.push(error));
      }
      if (failures.length > 0) throw failures[0];
    }, 'Payload could not be removed');
  }

  /**
   * Has complete segments give back the space of what no record refers to, where less than the part of what they take is live. What has died since
   * the call before stays until the next one. Returns how many segments take less, and by how many bytes; rejects with the first failure, after
   * the others were tried.
   */
  async clean(minLiveRatio: number): Promise<{ segments: number; bytes: number }> {
    const cleaned = { segments: 0, bytes: 0 };
    const failures: unknown[] = [];
    for (const segment of [...this.#segments.values()]) {
      if (minLiveRatio > 0 && segment.isSparse(minLiveRatio)) {
        const cleaning = this.#serially(async () => {
          const isWanted = !this.#closed && this.#segments.get(segment.id) === segment;
          return isWanted && segment.isMovable && !this.#moving.has(segment) ? segment.clean() : 0;
        });
        const bytes = await cleaning.catch((error: unknown) => {
          failures.push(error);
          return 0;
        });
        if (bytes > 0) cleaned.segments++;
        cleaned.bytes += bytes;
      }
      segment.settle();
    }
    if (failures.length > 0) throw failures[0];
    return cleaned;
  }

  /** Throws NOT_ENOUGH_REPLICAS while payload of batches at these offsets has fewer whole copies than its topic asks for. */
  assertEnoughCopies(firstOffset: bigint, lastOffset: bigint): void {
    for (const segment of this.#segments.values())
      if (!segment.unused && segment.firstOffset <= lastOffset && segment.lastOffset >= firstOffset)
        segment.assertEnoughCopies();
  }

  /**
   * Forgets extents to which no record refers any more, durably; segments of which none is left are removed. What cannot be done now is tried
   * again, also by the next start; the promise is rejected then, after it was logged. Nothing happens once the payload is closed.
   */
  async release(
    extents: readonly { readonly segmentId: number; readonly baseOffset: bigint }[],
  ): Promise<void> {
    for (const { segmentId, baseOffset } of extents) {
      const offsets = this.#unreleased.get(segmentId);
      if (offsets === undefined) this.#unreleased.set(segmentId, new Set([baseOffset]));
      else offsets.add(baseOffset);
    }
    try {
      await this.#serially(() => this.#dropUnreleased());
    } catch (error) {
      this.#logger.warn({ directory: this.#directory, err: error }, NOT_RELEASED);
      throw error;
    }
  }

  async #dropUnreleased(): Promise<void> {
    const failures: unknown[] = [];
    for (const [id, offsets] of [...this.#unreleased]) {
      if (this.#closed) return;
      this.#unreleased.delete(id);
      try {
        await this.#drop(id, ({ baseOffset }) => offsets.has(baseOffset));
      } catch (error) {
        failures.push(error);
        const added = this.#unreleased.get(id) ?? [];
        this.#unreleased.set(id, new Set([...offsets, ...added]));
      }
    }
    if (failures.length > 0) throw failures[0];
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
    if (this.#mayHoldDead) await removeFile(join(this.#directory, UNRELEASED));
    this.#mayHoldDead = false;
  }

  async #drop(id: number, isDead: (extent: Extent) => boolean): Promise<void> {
    const segment = this.#segments.get(id);
    if (segment === undefined) return;
    // The list is here, wherever the payload is.
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
    if (this.#unreleased.size > 0) await this.#noteUnreleased();
    for (const segment of this.#segments.values()) void this.#open.forget(segment.path);
  }

  /** For the next start, which looks into the log then. */
  async #noteUnreleased(): Promise<void> {
    try {
      await replaceFile(join(this.#directory, UNRELEASED), Buffer.alloc(0));
    } catch (error) {
      const fields = { directory: this.#directory, err: error };
      this.#logger.warn(
        fields,
        'Payload that nothing refers to stays until the log is recovered after a crash',
      );
    }
  }
}
