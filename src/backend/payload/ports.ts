import type { RangeRead, ReadRange } from '../../native/listed-pieces.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import type { LogReferences } from './log-references.ts';

/** What the payload tier uses of the native store's `StoreFile`; tests use one with faults. */
export interface PayloadFile {
  /**
   * Copies the bytes, or retains the memory, before it returns; may leave a gap before them. `done` rejects with an Error that carries
   * `code`; it is null when the bytes are safe from the death of the process, which `fromMemory` asks for.
   */
  append(
    pieces: (Uint8Array | MemoryPiece)[],
    options: { align: true; fromMemory: boolean },
  ): { position: number; done: Promise<void> | null };
  /** Resolves when everything appended before the call is durable. */
  sync(): Promise<void>;
  /**
   * Reads ranges, fewer bytes at the end of the file, and computes their CRC-32C. `expected`: where there are several copies, one for which it is so is
   * looked for. One result for each range, in their order; rejects when nothing could be read.
   */
  readRanges(ranges: readonly ReadRange[]): Promise<(RangeRead | Error)[]>;
  /** A range as it was appended, or as `readRanges` found it to be what was expected, if it is still in memory. The caller releases it. */
  findChecked(position: number, length: number): MemoryPiece | null;
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

export interface PayloadOpenOptions {
  create?: boolean;
  /** Space to reserve. */
  preallocateBytes?: number;
  /** How much space of removed files a new one may begin with. */
  recycledBytes?: number;
  /** Space that a new one has before its first append. */
  aheadBytes?: number;
}

/** Files of the native store. */
export interface PayloadFiles {
  open(path: string, options?: PayloadOpenOptions): Promise<PayloadFile>;
  /** Removes a file; it may be gone already. */
  remove(path: string): Promise<void>;
  /**
   * Gives back the space of parts of a complete file, durably; they read as zeros then, and all else stays as it is and where it is. `ranges`: position
   * and length of each, ascending. Resolves to what the file takes then; `replaced`: whoever has it open keeps the space of the one before.
   */
  punch(path: string, ranges: Float64Array): Promise<{ held: number; replaced: boolean }>;
}

/** Where the file of one payload segment is, and who counts its bytes. */
export interface PayloadPlace {
  /** Of the file. */
  readonly path: string;
  /** It is in the partition's own directory, on the log's disk. */
  readonly isHome?: true;
  /** It is in a tier of this process, on a disk other than the log's. */
  readonly isInTier?: true;
  /** Resolves when the directory is there. */
  readonly ready: Promise<unknown>;
  /** Why the file cannot be used; null while it can. */
  readonly outage: string | null;
  /** The file is where others look after it: what cannot be read now may be there later, and recovery waits for it. */
  readonly isAwaited?: true;
  /** Whether the file may grow by so much. */
  hasRoomFor(bytes: number): boolean;
  /** The file has so many bytes by now. */
  resized(bytes: number): void;
  /** The file takes no more, has its list of extents, and may be moved from now on. */
  completed(bytes: number): void;
  /** Of a complete file's bytes only so many take space: the rest was given back. */
  holds?(bytes: number): void;
  /** Somebody compares or copies it, by what the log referred to when he began. */
  readonly isBusy?: boolean;
  /** Space inside the file cannot be given back. */
  readonly isSolid?: boolean;
  /** Space that was given back may be taken all the same: by a copy that was away, or was made since. */
  readonly isPunchedInPart?: boolean;
  /** Throws NOT_ENOUGH_REPLICAS while fewer copies are whole than an extent needs; not there where there is one copy. */
  assertEnoughCopies?(): void;
  /** A write or a flush of the file failed. */
  failed(error: unknown): void;
  /** The file is gone. */
  removed(): void;
  /** The file has another path now. */
  relocated?(path: string): void;
}

/** A payload file that is there. */
export interface FoundPayload {
  readonly segmentId: number;
  readonly place: PayloadPlace;
}

/** Where a complete file is moved to, and how it is copied there. */
export interface MoveTarget {
  readonly place: PayloadPlace;
  /** Copies the file at `from`; false if `isWanted` became false meanwhile. */
  copy(from: string, isWanted: () => boolean): Promise<boolean>;
  /** Gives the copy its name, durably. */
  publish(from: string): Promise<void>;
}

/** Whoever reads and writes the segments of one partition. */
export interface SegmentOwner {
  /**
   * Moves the file of a complete segment while it is read on. False if it was not wanted any more: then, as when it rejects, the copy is
   * of no use.
   */
  move(segmentId: number, target: MoveTarget): Promise<boolean>;
  /** Ends a segment if it is the one that takes extents, so that it can be moved. */
  complete(segmentId: number): void;
  /** The offsets of the batches whose payload a complete segment has; null when it is not complete, or has none. */
  offsetsOf(segmentId: number): { readonly first: bigint; readonly last: bigint } | null;
  /** Tries again to end segments that could not be, and ends the one that takes extents if it is short of copies. */
  completeAll(): void;
}

/** What a topic asks of places. */
export interface PlacementOptions {
  /** The tier, from 0 on, in which the payload stays whatever its age; null: none. */
  readonly tier?: number | null;
  /** Copies at different stores, and how many of them an extent needs before it counts; 1 by default. */
  readonly replicas?: number;
  readonly minInsyncReplicas?: number;
}

/** The places of one partition's payload files. */
export interface PayloadPlaces {
  /** Why files may exist that `find` does not list; null: it lists all. */
  readonly outage: string | null;
  /** Called once, before anything else. */
  attach(owner: SegmentOwner): void;
  configure(options: PlacementOptions): void;
  /** What is there at the start; a file that is there twice is listed once. `names`: what the partition's payload directory holds. */
  find(names: readonly string[]): Promise<FoundPayload[]>;
  /**
   * For a new segment that begins with `bytes`, and may grow to `segmentBytes`. Throws an Error with `code` ENOSPC when there is no room
   * anywhere.
   */
  place(segmentId: number, bytes: number, segmentBytes: number): PayloadPlace;
  /** Segments that were where a restart of the machine loses them, and are lost; known once `find` has resolved. */
  readonly lost?: ReadonlySet<number>;
  /** What was found is not taken in: others are to find it again. */
  abandoned?(): void;
  /** All segments are known, and this is what the log refers to. */
  opened?(references: LogReferences): void;
  /** Notes in the partition's payload directory are not changed before the promise has settled; resolves when none is being changed. */
  hold?(until: Promise<void>): Promise<void>;
  /** The partition's payload directory is another one now, with the id of its log directory; files that were in it are there. */
  relocated(directory: string, directoryId: string): void;
  /** Nothing refers to these segments any more. */
  forgetLost?(payload: LostPayload): Promise<void>;
}

/** What was lost with a restart of the machine, of a partition. */
export interface LostPayload {
  /** The offsets of the batches whose payload it was, by segment; only of such to which the log refers. */
  readonly ranges: readonly { readonly segmentId: number; readonly first: bigint; readonly last: bigint }[];
  readonly batches: number;
  readonly bytes: number;
}
