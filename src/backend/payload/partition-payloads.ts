import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { MemoryPiece } from '../../native/pieces.ts';
import { recycledBytesFor } from '../../native/store.ts';
import type { Logger } from '../../util/logger.ts';
import { type Extent, readExtentSummary } from './extents.ts';
import { isLackOfMemory } from './lack-of-memory.ts';
import type { OpenFiles } from './open-files.ts';
import {
  EXTENTS_SUFFIX,
  extentsPath,
  PAYLOAD_SUFFIX,
  PayloadSegment,
  type PendingExtent,
  payloadPath,
} from './segment.ts';
import { makeDirectory, removeFile } from './small-files.ts';

/** More extents than this are not put into one segment, whatever its size: their list is kept in memory. */
const MAX_EXTENTS_PER_SEGMENT = 65_536;

/** A reference that the log holds, as far as recovery needs it. */
export interface Reference extends Extent {
  segmentId: number;
  /** CRC-32C of the original batch, and of the part of its header that precedes the extent. */
  batchCrc: number;
  headerCrc: number;
}

export interface PayloadOptions {
  /** A new segment is begun when the current one would grow beyond this. */
  segmentBytes: number;
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
 * record refers to them. It lives inside the partition's directory, so deleting the partition deletes it too.
 */
export class PartitionPayloads {
  readonly #directory: string;
  readonly #open: OpenFiles;
  readonly #logger: Logger;
  readonly #segments = new Map<number, PayloadSegment>();
  /** Those whose end is not yet written down; few, among perhaps many. */
  readonly #unsealed = new Set<PayloadSegment>();
  #options: PayloadOptions;
  #active: PayloadSegment | null = null;
  #nextId = 0;
  #directoryReady: Promise<unknown> | null = null;
  /** Seals and removals, one after the other. */
  #background: Promise<void> = Promise.resolve();

  constructor(partitionDirectory: string, open: OpenFiles, options: PayloadOptions, logger: Logger) {
    this.#directory = join(partitionDirectory, 'payload');
    this.#open = open;
    this.#options = options;
    this.#logger = logger;
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
  }

  /**
   * Learns what is there, removes what no record refers to, and returns the offset of the first reference beyond the recovery
   * point whose payload is missing or damaged: the log has to be cut there (null: nothing to cut). Reads payload only beyond
   * the recovery point.
   */
  async recover(input: RecoveryInput): Promise<bigint | null> {
    const ids = await this.#listFiles();
    const unknown = new Map<number, Reference[]>();
    let from = input.logStartOffset;
    for (const id of ids) {
      const summary = await readExtentSummary(extentsPath(this.#directory, id));
      if (summary === null || summary.lastOffset >= input.logEndOffset) {
        unknown.set(id, []);
        continue;
      }
      const segment = PayloadSegment.sealed(this.#directory, id, this.#open, summary);
      if (segment.isDeadBefore(input.logStartOffset)) {
        await segment.remove();
        continue;
      }
      await segment.countLiveFrom(input.logStartOffset);
      this.#segments.set(id, segment);
      if (unknown.size === 0 && summary.lastOffset >= from) from = summary.lastOffset + 1n;
    }
    const lastId = ids[ids.length - 1];
    if (lastId !== undefined) this.#nextId = lastId + 1;
    // After a clean end every segment has its sidecar, and there is nothing to learn from the log.
    if (unknown.size === 0 && input.recoveryPoint === null) return null;
    // With nothing to learn, only what may not be durable has to be checked.
    if (unknown.size === 0 && input.recoveryPoint !== null && input.recoveryPoint > from)
      from = input.recoveryPoint;
    const cut = await this.#adopt(unknown, from, input);
    this.#sortSegments();
    return cut;
  }

  async #adopt(
    unknown: Map<number, Reference[]>,
    from: bigint,
    input: RecoveryInput,
  ): Promise<bigint | null> {
    let cut: bigint | null = null;
    for await (const reference of input.references(from)) {
      const found = unknown.get(reference.segmentId);
      const checked = input.recoveryPoint !== null && reference.lastOffset >= input.recoveryPoint;
      if (
        found === undefined
          ? !this.#segments.has(reference.segmentId)
          : checked && !(await this.#isIntact(reference))
      ) {
        const fields = {
          directory: this.#directory,
          offset: reference.baseOffset,
          segment: reference.segmentId,
        };
        this.#logger.error(fields, 'A record refers to payload that is missing or damaged');
        if (!checked) continue;
        cut = reference.baseOffset;
        break;
      }
      found?.push(reference);
    }
    for (const [id, references] of unknown) {
      const segment = PayloadSegment.recovered(this.#directory, id, this.#open, references);
      if (segment.unused) {
        this.#logger.info(
          { directory: this.#directory, segment: id },
          'Removed payload that no record refers to',
        );
        await segment.remove();
        continue;
      }
      await segment.seal();
      await segment.countLiveFrom(input.logStartOffset);
      this.#segments.set(id, segment);
    }
    return cut;
  }

  async #isIntact(reference: Reference): Promise<boolean> {
    const file = this.#open.acquire(payloadPath(this.#directory, reference.segmentId));
    try {
      const { piece, crc32c } = await (await file.file).readCrc(
        reference.position,
        reference.length,
        reference.headerCrc,
      );
      const whole = piece.byteLength === reference.length && crc32c === reference.batchCrc;
      piece.memory.release();
      return whole;
    } finally {
      this.#open.release(file);
    }
  }

  async #listFiles(): Promise<number[]> {
    const names = await readdir(this.#directory).catch(() => [] as string[]);
    const ids: number[] = [];
    const payloads = new Set(names.filter((name) => name.endsWith(PAYLOAD_SUFFIX)));
    for (const name of names) {
      const id = /^(\d{20})\.(payload|extents)$/.exec(name);
      if (id?.[2] === 'payload') {
        ids.push(Number(id[1]));
      } else if (id === null && name.endsWith('.tmp')) {
        await removeFile(join(this.#directory, name));
      } else if (id !== null && !payloads.has(name.replace(EXTENTS_SUFFIX, PAYLOAD_SUFFIX))) {
        // A removal that was interrupted, or payload that somebody took away: then reads of it will say so.
        await removeFile(join(this.#directory, name));
      }
    }
    return ids.sort((a, b) => a - b);
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
      this.#directoryReady ??= makeDirectory(this.#directory);
      this.#directoryReady.catch(() => {
        this.#directoryReady = null;
      });
      const recycledBytes = recycledBytesFor(length, this.#options.segmentBytes);
      const [directory, id] = [this.#directory, this.#nextId++];
      active = PayloadSegment.create(directory, id, this.#open, this.#directoryReady, recycledBytes);
      this.#segments.set(active.id, active);
      this.#unsealed.add(active);
      this.#active = active;
    }
    return active.append(piece, fromMemory);
  }

  #isFull(segment: PayloadSegment, length: number): boolean {
    if (segment.failed || segment.extentCount >= MAX_EXTENTS_PER_SEGMENT) return true;
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
    const done = this.#background.then(action).catch((error: unknown) => {
      this.#logger.warn({ directory: this.#directory, err: error }, failure);
    });
    this.#background = done;
    return done;
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
    if (segment === undefined) throw new PayloadError('missing', segmentId, `no segment ${segmentId}`);
    const { piece, crc32c } = await segment.read(position, length, headerCrc).catch((error: unknown) => {
      if (isLackOfMemory(error)) throw error;
      throw new PayloadError('missing', segmentId, `${segment.path}: ${String(error)}`);
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

  /** Closes the files as they are: the partition is being deleted. */
  abandon(): void {
    this.#active = null;
    for (const segment of this.#segments.values()) segment.close();
    this.#segments.clear();
    this.#unsealed.clear();
  }

  /** Completes the segment in progress; nothing may be appended afterwards. */
  async close(): Promise<void> {
    this.endSegment();
    await this.#background;
    for (const segment of this.#segments.values()) void this.#open.forget(segment.path);
  }
}
