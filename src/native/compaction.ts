import { binding } from './addon.ts';
import { completion } from './completions.ts';

interface CompactionBinding {
  compactionOpen(store: number, options: BigInt64Array, producers: BigInt64Array): number;
  compactionMap(
    round: number,
    id: number,
    paths: readonly string[],
    numbers: BigInt64Array,
    startOffset: bigint,
    aborted: BigInt64Array,
  ): void;
  compactionSetAborted(round: number, aborted: BigInt64Array): void;
  compactionClean(
    round: number,
    id: number,
    paths: readonly string[],
    numbers: BigInt64Array,
    stem: string,
    target: BigInt64Array,
  ): void;
  compactionStop(round: number): void;
  compactionClose(round: number, id: number): void;
  compactionSetRate(bytesPerSecond: number): void;
}

/** The fields of a transaction index's entry. */
export interface AbortedRange {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
  /** Of its marker. */
  readonly lastOffset: bigint;
  readonly lastStableOffset: bigint;
}

/** A producer whose last batch stays, for its sequence number; `lastDataOffset` -1: its last marker, for its epoch. */
export interface LastRecord {
  readonly producerId: bigint;
  readonly lastDataOffset: bigint;
  readonly producerEpoch: number;
}

export interface CompactionOptions {
  readonly nowMs: number;
  /** How long tombstones and markers stay from when they are first compacted. */
  readonly deleteRetentionMs: number;
  /** Only records of the same window of so many milliseconds replace each other, and tombstones stay; 0: all do. */
  readonly windowMs: number;
  /** The batch that ends right before this offset stays, be it empty. */
  readonly upperBoundOffset: bigint;
  /** Entries of the map of keys, 24 bytes each, and how many of them may be used. */
  readonly mapSlots: number;
  readonly maxKeys: number;
  /** How much is read at once. */
  readonly bufferBytes: number;
  readonly producers: readonly LastRecord[];
}

/** A complete segment file. */
export interface SourceSegment {
  readonly path: string;
  /** Bytes of its batches. */
  readonly size: number;
  /** Where a batch begins to read from. */
  readonly position: number;
  /** Where the next segment begins. */
  readonly endOffset: bigint;
  /** Of the same file, if it is open: what of it is in memory is not read from the device. */
  readonly fileId: number | null;
}

export interface Mapped {
  /** What lies below is known to the map. */
  readonly endOffset: bigint;
  readonly bytesRead: number;
  readonly recordsRead: number;
}

/** What `.log.cleaned`, `.index.cleaned` and `.timeindex.cleaned` are made of. */
export interface CleanTarget {
  /** Their common path, up to the offset in their names. */
  readonly stem: string;
  readonly baseOffset: bigint;
  /** The time of change that the log file gets. */
  readonly modifiedMs: number;
  readonly indexIntervalBytes: number;
  readonly maxIndexBytes: number;
}

/** Payload to which nothing refers any more. */
export interface ReleasedExtent {
  readonly baseOffset: bigint;
  readonly segmentId: number;
  readonly position: number;
  readonly length: number;
}

export interface Cleaned {
  /** Of the new log file. */
  readonly size: number;
  readonly bytesRead: number;
  readonly recordsRead: number;
  readonly recordsKept: number;
  /** For the transaction index. */
  readonly aborted: readonly AbortedRange[];
  readonly released: readonly ReleasedExtent[];
}

const native = binding<CompactionBinding>();

/** The most bytes per second that all rounds read and write together; not above 0: no limit. */
export function limitCompaction(bytesPerSecond: number): void {
  native.compactionSetRate(bytesPerSecond);
}

/**
 * One round of compaction of one log, on a thread of its own at low priority. Failures are Errors with `code`: EBADMSG for damage,
 * ECANCELED after `stop`, ENOSPC and so on.
 */
export class CompactionRound {
  readonly #round: number;

  /** `store`: the number of the native store whose full disks are helped out with recycled space. Throws ENOMEM. */
  constructor(store: number, direct: boolean, options: CompactionOptions) {
    const { nowMs, deleteRetentionMs, windowMs, upperBoundOffset, mapSlots, maxKeys, bufferBytes } = options;
    const numbers = [nowMs, deleteRetentionMs, windowMs].map(toInt64);
    numbers.push(upperBoundOffset, ...[mapSlots, maxKeys, bufferBytes, direct ? 1 : 0].map(toInt64));
    const producers = options.producers.flatMap(({ producerId, lastDataOffset, producerEpoch }) => [
      producerId,
      lastDataOffset,
      BigInt(producerEpoch),
    ]);
    this.#round = native.compactionOpen(store, BigInt64Array.from(numbers), BigInt64Array.from(producers));
  }

  /** Takes in the keys from `startOffset` on, until the map is full. Once, and first. `aborted`: transactions with records there. */
  async map(
    segments: readonly SourceSegment[],
    startOffset: bigint,
    aborted: readonly AbortedRange[],
  ): Promise<Mapped> {
    const paths = segments.map(({ path }) => path);
    const [endOffset, bytesRead, recordsRead] = await completion<[bigint, number, number]>((id) =>
      native.compactionMap(this.#round, id, paths, placesOf(segments), startOffset, rangesOf(aborted)),
    );
    return { endOffset, bytesRead, recordsRead };
  }

  /** The aborted transactions with records in any segment that is going to be cleaned. Once, between `map` and `clean`. */
  setAborted(aborted: readonly AbortedRange[]): void {
    native.compactionSetAborted(this.#round, rangesOf(aborted));
  }

  /** Writes anew what stays of segments that follow those of the call before, durably but for the files' names. */
  async clean(segments: readonly SourceSegment[], target: CleanTarget): Promise<Cleaned> {
    const paths = segments.map(({ path }) => path);
    const { modifiedMs, indexIntervalBytes, maxIndexBytes } = target;
    const numbers = [target.baseOffset, ...[modifiedMs, indexIntervalBytes, maxIndexBytes].map(toInt64)];
    const [size, bytesRead, recordsRead, recordsKept, aborted, released] = await completion<
      [number, number, number, number, BigInt64Array, BigInt64Array]
    >((id) =>
      native.compactionClean(
        this.#round,
        id,
        paths,
        placesOf(segments),
        target.stem,
        BigInt64Array.from(numbers),
      ),
    );
    return {
      size,
      bytesRead,
      recordsRead,
      recordsKept,
      aborted: groupsOf(aborted).map(([producerId, firstOffset, lastOffset, lastStableOffset]) => ({
        producerId,
        firstOffset,
        lastOffset,
        lastStableOffset,
      })),
      released: groupsOf(released).map(([baseOffset, segmentId, position, length]) => ({
        baseOffset,
        segmentId: Number(segmentId),
        position: Number(position),
        length: Number(length),
      })),
    };
  }

  /** What runs ends soon, with ECANCELED. */
  stop(): void {
    native.compactionStop(this.#round);
  }

  /** Gives its memory back; what runs is stopped. The round is of no further use. */
  async close(): Promise<void> {
    await completion((id) => native.compactionClose(this.#round, id));
  }
}

function toInt64(value: number): bigint {
  return BigInt(Math.trunc(Math.min(value, Number.MAX_SAFE_INTEGER)));
}

function placesOf(segments: readonly SourceSegment[]): BigInt64Array {
  return BigInt64Array.from(
    segments.flatMap(({ size, position, endOffset, fileId }) => [
      BigInt(size),
      BigInt(position),
      endOffset,
      BigInt(fileId ?? -1),
    ]),
  );
}

function rangesOf(aborted: readonly AbortedRange[]): BigInt64Array {
  return BigInt64Array.from(
    aborted.flatMap(({ producerId, firstOffset, lastOffset, lastStableOffset }) => [
      producerId,
      firstOffset,
      lastOffset,
      lastStableOffset,
    ]),
  );
}

function groupsOf(numbers: BigInt64Array): [bigint, bigint, bigint, bigint][] {
  const groups: [bigint, bigint, bigint, bigint][] = [];
  for (let i = 0; i < numbers.length; i += 4)
    groups.push([numbers[i]!, numbers[i + 1]!, numbers[i + 2]!, numbers[i + 3]!]);
  return groups;
}
