import type { NativeMemory } from '../../../../native/arena.ts';
import { crc32cSoon } from '../../../../native/batch.ts';
import type { Ending } from '../../../../native/completions.ts';
import type { MemoryPiece } from '../../../../native/pieces.ts';
import type { Store } from '../../../../native/store.ts';
import type { StoreFile } from '../../../../native/store-file.ts';
import type { PayloadPlace } from '../../ports.ts';

/** Appends are taken, and files are read, in pieces of at most so many bytes, so that none needs more memory at a time. */
export const PIECE_BYTES = 8 << 20;
/** Of one file. */
export const MAX_FILE_BYTES = 2 ** 40;
/** Blocks of devices are no larger: memory that suits a position within one is written from where it is. */
const BLOCK_BYTES = 4096;
/** Of a file that takes appends, or did when the store ended. */
export const OPEN_SUFFIX = '.open';
export const SEALED_SUFFIX = '.payload';
/** Of what was acknowledged of a file that takes appends; see `readMarks`. */
export const MARKS_SUFFIX = '.marks';

/** What is known of a file when a store is started. */
export interface StoredFileState {
  /** Where it is, or is to be once it is complete. */
  readonly place: PayloadPlace;
  readonly sealed: boolean;
  /** What it holds for sure, and what of it was flushed. */
  readonly bytes: number;
  readonly synced: number;
  /** Bytes of its marks that hold. */
  readonly markBytes: number;
  /** Bytes of a complete file that take no space. */
  readonly freedBytes?: number;
  /** Its marks cannot be read: nothing is said of what it holds. */
  readonly isUnknown?: boolean;
}

/** Whoever has the file. */
export interface StoredFileOwner {
  readonly store: Store;
  /** It has become so much larger, or smaller. */
  resized(bytes: number): void;
  /** Writing, flushing or renaming it failed, where it is. */
  diskFailed(error: unknown, place: PayloadPlace): void;
  /** It is to be ended, if that can be: there is no room for more where it is. */
  isFull(place: PayloadPlace): void;
}

/** Where appended bytes come from. */
export interface AppendSource {
  /** Be content when they survive the death of the process. */
  readonly fromMemory: boolean;
  /** Memory for a piece of them, at once where there is some. */
  allocate(bytes: number): NativeMemory | Promise<NativeMemory>;
  /** So much of what `allocate` gave is not needed any more. */
  freed(bytes: number): void;
  /** Puts `length` of the bytes, from `from` on, at an offset of the memory; `filled` gets their CRC-32C. */
  fill(memory: NativeMemory, offset: number, from: number, length: number, filled: Ending<number>): void;
  /** Told of each piece that is put to the file, in order; resolves when it needs the memory no more, and is never rejected. */
  pass?(memory: NativeMemory, offset: number, from: number, length: number): Promise<void>;
}

/** A part of an append: where it goes in the file, at which offset of its memory it is put, and where it is in what is appended. */
export interface AppendPiece {
  readonly at: number;
  readonly offset: number;
  readonly from: number;
  readonly length: number;
}

export function piecesOf(position: number, length: number): AppendPiece[] {
  const pieces: AppendPiece[] = [];
  for (let from = 0; from < length; from += pieces.at(-1)!.length) {
    const at = position + from;
    const offset = at % BLOCK_BYTES;
    pieces.push({ at, offset, from, length: Math.min(length - from, PIECE_BYTES - offset) });
  }
  return pieces;
}

/** Bytes with their CRC-32C, of memory if they were appended a moment ago; the caller releases them. */
export async function readPiece(
  file: StoreFile,
  position: number,
  bytes: number,
  seed: number,
): Promise<{ piece: MemoryPiece; crc32c: number }> {
  const recent = file.findChecked(position, bytes);
  if (recent === null) return file.readCrc(position, bytes, seed);
  try {
    return { piece: recent, crc32c: await crc32cSoon(recent, seed) };
  } catch (error) {
    recent.memory.release();
    throw error;
  }
}
