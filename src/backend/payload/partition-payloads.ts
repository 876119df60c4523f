import { EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import type { Logger } from '../../util/logger.ts';
import { LogError, LogErrorCode } from '../log/errors.ts';
import {
  allOrNone,
  type CheckedRange,
  type ExtentReference,
  PayloadError,
  rangeOfExtent,
  rangeOfPieces,
  readChecked,
  type Stretch,
} from './checked-reads.ts';
import { HomePlaces, payloadDirectory } from './home-places.ts';
import type { OpenFiles } from './open-files.ts';
import { PartitionSegments } from './partition-segments.ts';
import { type RecoveryInput, type Reference, recoverSegments } from './payload-recovery.ts';
import { PayloadRelease } from './payload-release.ts';
import { type PayloadTarget, relocateSegments } from './payload-relocation.ts';
import type { PendingExtent } from './pending-extent.ts';
import type { LostPayload, MoveTarget, PayloadPlaces, SegmentOwner } from './ports.ts';
import type { PayloadSegment } from './segment.ts';
import { type PayloadOptions, SegmentAppends } from './segment-appends.ts';

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
  readonly #open: OpenFiles;
  readonly #places: PayloadPlaces;
  readonly #segments: PartitionSegments;
  readonly #appends: SegmentAppends;
  readonly #release: PayloadRelease;
  /** Under way. Null: none was yet. */
  #moves: Map<Promise<unknown>, PayloadSegment> | null = null;
  #relocating = false;
  #lost: LostPayload | null = null;

  constructor(
    partitionDirectory: string,
    open: OpenFiles,
    options: PayloadOptions,
    logger: Logger,
    places: PayloadPlaces = new HomePlaces(payloadDirectory(partitionDirectory)),
  ) {
    this.#open = open;
    this.#places = places;
    this.#segments = new PartitionSegments(payloadDirectory(partitionDirectory), logger);
    this.#appends = new SegmentAppends(this.#segments, open, places, options);
    this.#release = new PayloadRelease(this.#segments, (segment) => this.#appends.isActive(segment));
    places.attach(this);
    places.configure(options);
  }

  /** What takes space, once for each segment however many copies there are. */
  get totalBytes(): number {
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.heldBytes;
    return bytes;
  }

  get liveBytes(): number {
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.liveBytes;
    return bytes;
  }

  get isEmpty(): boolean {
    return this.#segments.count === 0;
  }

  /** Oldest first. */
  get segments(): Iterable<PayloadSegmentView> {
    return this.#segments;
  }

  configure(options: PayloadOptions): void {
    this.#appends.options = options;
    this.#places.configure(options);
  }

  /**
   * Learns what is there, removes what no record refers to, and returns the offset of the first reference beyond the recovery
   * point whose payload is missing or damaged: the log was cut there (null: nothing to cut).
   * @throws PayloadUnreachable while that cannot be said: nothing was taken in then, and it may be called again
   */
  async recover(input: RecoveryInput): Promise<bigint | null> {
    const { directory, logger } = this.#segments;
    const scope = { directory, open: this.#open, places: this.#places, logger };
    const { segments, unsealed, nextId, cut, lost, mayHoldDead } = await recoverSegments(scope, input);
    this.#lost = lost;
    for (const segment of segments) this.#segments.add(segment);
    for (const segment of unsealed) this.#segments.unsealed.add(segment);
    this.#appends.nextId = nextId;
    this.#release.mayHoldDead = mayHoldDead;
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
    return this.#release.mayHoldDead;
  }

  /**
   * Gives the records section of a batch its place, and writes it in the background. Copies or retains before it returns. `fromMemory`:
   * be content when the bytes survive the death of the process, before they are in the file. `pieceCrcs`: see Extent.
   * @throws LogError KAFKA_STORAGE_ERROR once it is closed: what was begun then would come back to where a deleted partition was
   */
  append(
    piece: Uint8Array | MemoryPiece,
    fromMemory = false,
    pieceCrcs: Uint32Array | null = null,
  ): PendingExtent {
    const { closed, directory } = this.#segments;
    if (closed) throw new LogError(LogErrorCode.KAFKA_STORAGE_ERROR, `${directory} is closed`);
    return this.#appends.append(piece, fromMemory, pieceCrcs);
  }

  complete(segmentId: number): void {
    this.#appends.endActive(segmentId);
  }

  completeAll(): void {
    this.#appends.endAll();
    this.#release.retry();
  }

  offsetsOf(segmentId: number): { first: bigint; last: bigint } | null {
    const segment = this.#segments.get(segmentId);
    if (segment === undefined || segment.unused) return null;
    return { first: segment.firstOffset, last: segment.lastOffset };
  }

  move(segmentId: number, target: MoveTarget): Promise<boolean> {
    const segment = this.#segments.get(segmentId);
    if (!segment?.isMovable || this.#segments.closed || this.#relocating) return Promise.resolve(false);
    const isWanted = () => !this.#segments.closed && this.#segments.has(segment);
    const moved = target.copy(segment.path, isWanted).then((copied) =>
      this.#segments.serially(async () => {
        if (!copied || !isWanted()) return false;
        await target.publish(segment.path);
        await segment.moveTo(target.place);
        return true;
      }),
    );
    this.#moves ??= new Map();
    const moves = this.#moves.set(moved, segment);
    const ended = () => moves.delete(moved);
    moved.then(ended, ended);
    return moved;
  }

  #isMoving(segment: PayloadSegment): boolean {
    return Array.from(this.#moves?.values() ?? []).includes(segment);
  }

  /** Ends the segment in progress, so that what no extent covers at its end is given back. */
  endSegment(): void {
    this.#appends.endActive();
  }

  /** Bytes in segments in the partition's own directory that are not complete. */
  get openBytes(): number {
    return this.#appends.openBytes;
  }

  /** Has the payload go on in another directory, once all is complete; see `relocateSegments`. Nothing may be appended meanwhile. */
  async relocate(to: PayloadTarget, swap: () => Promise<void>): Promise<void> {
    this.#relocating = true;
    try {
      this.completeAll();
      this.endSegment();
      await Promise.allSettled(this.#moves?.keys() ?? []);
      await this.#segments.serially(async () => {
        const { unsealed: open } = this.#segments;
        await relocateSegments({ segments: [...this.#segments], open, places: this.#places }, to, swap);
        this.#segments.directory = to.directory;
      });
    } finally {
      this.#relocating = false;
    }
  }

  /** Resolves when segments that were ended are complete, or could not be. */
  settled(): Promise<void> {
    return this.#segments.settled();
  }

  get needsFlush(): boolean {
    return this.#appends.needsFlush;
  }

  /** Makes everything appended before the call durable. */
  flush(): Promise<void> {
    return this.#appends.flush();
  }

  /** An extent as it was produced, if it is still in memory; then it was checked when it came or was read. The caller releases it. */
  find(segmentId: number, position: number, length: number): MemoryPiece | null {
    return this.#segments.get(segmentId)?.find(position, length) ?? null;
  }

  /**
   * Reads extents and checks each together with the header of its batch; neighbours are read together.
   * @returns for each, in their order, a piece whose memory the caller releases, or a PayloadError if the bytes are not there or not what was produced,
   *     or an error of which `isLackOfMemory` is true
   */
  async readAll(references: readonly ExtentReference[]): Promise<(MemoryPiece | Error)[]> {
    const reads: Promise<(MemoryPiece | Error)[]>[] = [];
    for (let from = 0, to = 0; from < references.length; from = to) {
      const { segmentId } = references[from]!;
      while (references[to]?.segmentId === segmentId) to++;
      reads.push(this.#readChecked(segmentId, references.slice(from, to).map(rangeOfExtent)));
    }
    return reads.length === 1 ? reads[0]! : (await Promise.all(reads)).flat();
  }

  /** As `readAll`, one extent; throws what that returns in its place. */
  async read(reference: ExtentReference): Promise<MemoryPiece> {
    return allOrNone(await this.readAll([reference]))[0]!;
  }

  /** What parts of an extent can be checked by; null when only the whole can. */
  async pieceCrcs(segmentId: number, position: number, length: number): Promise<Uint32Array | null> {
    const crcs = (await this.#segments.get(segmentId)?.pieceCrcs(position, length)) ?? null;
    return crcs?.length === Math.ceil(length / EXTENT_PIECE_BYTES) ? crcs : null;
  }

  /**
   * Reads stretches of an extent, and checks them by the checksums that `pieceCrcs` had for it.
   * @returns a piece for each, whose memory the caller releases
   * @throws PayloadError if some of the bytes are not there or not what was produced
   */
  async readPieces(
    extent: { segmentId: number; position: number; length: number },
    crcs: Uint32Array,
    stretches: readonly Stretch[],
  ): Promise<MemoryPiece[]> {
    const ranges = stretches.map((stretch) => rangeOfPieces(extent, crcs, stretch));
    return allOrNone(await this.#readChecked(extent.segmentId, ranges));
  }

  async #readChecked(id: number, ranges: readonly CheckedRange[]): Promise<(MemoryPiece | Error)[]> {
    const segment = this.#segments.get(id);
    if (segment !== undefined) return readChecked(segment, ranges);
    return ranges.map(() => new PayloadError('missing', id, this.#places.outage ?? `no segment ${id}`));
  }

  /** Removes segments to which only records below `offset` refer. The log start must be durable by now. */
  reclaimBefore(offset: bigint): Promise<void> {
    return this.#segments.inBackground(async () => {
      if (this.#segments.closed) return;
      const failures: unknown[] = [];
      for (const segment of [...this.#segments]) {
        if (segment.unused) continue;
        if (!segment.isDeadBefore(offset)) {
          await segment.countLiveFrom(offset);
          break;
        }
        this.#appends.leave(segment);
        // One on a disk that has failed keeps nobody from the others.
        await this.#segments.remove(segment).catch((error: unknown) => failures.push(error));
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
    for (const segment of [...this.#segments]) {
      if (minLiveRatio > 0 && segment.isSparse(minLiveRatio)) {
        const cleaning = this.#segments.serially(async () => {
          const isWanted = !this.#segments.closed && this.#segments.has(segment);
          return isWanted && segment.isMovable && !this.#isMoving(segment) ? segment.clean() : 0;
        });
        const bytes = await cleaning.catch((error: NodeJS.ErrnoException) => {
          // What somebody is still being sent of it stays until the next time.
          if (error.code !== 'EBUSY') failures.push(error);
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
    for (const segment of this.#segments)
      if (!segment.unused && segment.firstOffset <= lastOffset && segment.lastOffset >= firstOffset)
        segment.assertEnoughCopies();
  }

  /**
   * Forgets extents to which no record refers any more, durably; segments of which none is left are removed. What cannot be done now is tried
   * again, also by the next start; the promise is rejected then, after it was logged. Nothing happens once the payload is closed.
   */
  release(extents: readonly { readonly segmentId: number; readonly baseOffset: bigint }[]): Promise<void> {
    return this.#release.release(extents);
  }

  /**
   * Forgets everything but what the log refers to, after a crash that may have come between compaction of the log and `release`. Nothing may
   * be appended meanwhile.
   * @param references all of the log's, in order
   */
  retainOnly(references: AsyncIterable<Reference>): Promise<void> {
    return this.#release.retainOnly(references);
  }

  /** Closes the files as they are: the partition is being deleted. */
  abandon(): void {
    this.#appends.leave();
    this.#segments.abandon();
  }

  /** Completes the segment in progress; nothing may be appended afterwards. */
  async close(): Promise<void> {
    this.#segments.closed = true;
    this.endSegment();
    await Promise.allSettled(this.#moves?.keys() ?? []);
    await this.#segments.settled();
    await this.#release.noteLeft();
    for (const segment of this.#segments) void this.#open.forget(segment.path);
  }
}
