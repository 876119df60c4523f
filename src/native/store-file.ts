import type { NativeMemory } from './arena.ts';
import { completion, completionUnlessDone } from './completions.ts';
import {
  foundPieces,
  listedRanges,
  piecesOf,
  type RangeRead,
  type RangeReads,
  type ReadRange,
  rangesReadOf,
} from './listed-pieces.ts';
import { FilePiece, type FileSource, MemoryPiece, type Piece } from './pieces.ts';
import { storeBinding as native } from './store-binding.ts';

export interface AppendOptions {
  /** Leave a gap before the bytes, less than two disk blocks, such that they can be written from where they are. */
  align?: boolean;
  /** Be content when the bytes survive the death of the process: then `done` may be null. */
  fromMemory?: boolean;
}

/** An appended range, and when it is safe. */
export interface Appended {
  position: number;
  /** It can be read, and survives the death of the process (see `sync` for more) when this resolves; null: it does so now. */
  done: Promise<void> | null;
}

/**
 * An open file, made by Store.open. Operations happen in the order of the calls. When an append fails (ENOSPC, EIO), so do all
 * that are queued behind it and all later ones, until `truncate` to the last good size has succeeded; a failed `sync` has the same
 * effect, for the kernel may have dropped what it could not write.
 */
export class StoreFile implements FileSource {
  readonly path: string;
  /** Names the open file for native code. */
  readonly fileId: number;
  /** It bypasses the page cache. */
  readonly direct: boolean;
  readonly #onClose: () => void;
  #size: number;
  #closed: Promise<void> | null = null;

  constructor(opened: { path: string; fileId: number; size: number; direct: boolean }, onClose: () => void) {
    this.path = opened.path;
    this.fileId = opened.fileId;
    this.direct = opened.direct;
    this.#size = opened.size;
    this.#onClose = onClose;
  }

  /** The end of the file once everything queued is written. */
  get size(): number {
    return this.#size;
  }

  /**
   * Queues the pieces behind all earlier appends. Bytes are copied and memory is retained before this returns (the caller keeps its own
   * references). Throws ENOBUFS, and appends nothing, when too much is queued already, and ENOMEM when there is no memory for a copy.
   */
  append(pieces: readonly (Uint8Array | MemoryPiece)[], options: AppendOptions = {}): Appended {
    const parts: (Uint8Array | number)[] = [];
    let length = 0;
    for (const piece of pieces) {
      length += piece.byteLength;
      if (piece instanceof MemoryPiece) {
        parts.push(piece.memory.handle, piece.memory.blockOffset + piece.offset, piece.byteLength);
      } else parts.push(piece);
    }
    let position = 0;
    const { align = false, fromMemory = false } = options;
    const done = completionUnlessDone<void>((id) => {
      position = native.fileAppend(this.fileId, id, parts, length, align, fromMemory);
      if (position >= 0) return true;
      position = -1 - position;
      return false;
    });
    this.#size = position + length;
    return { position, done };
  }

  /** Resolves when everything appended or truncated before the call is durable. Concurrent callers share one flush. */
  async sync(): Promise<void> {
    await completion((id) => native.fileSync(this.fileId, id));
  }

  /** Reads what has been written: fewer bytes at its end. The caller releases the memory. */
  async read(position: number, length: number): Promise<NativeMemory> {
    return (await this.#readOne({ position, length, seed: null, expected: null })).piece.memory;
  }

  /** As `read`, with the CRC-32C of what was read, continuing from `seed`. */
  readCrc(position: number, length: number, seed = 0): Promise<RangeRead> {
    return this.#readOne({ position, length, seed, expected: null });
  }

  async #readOne(range: ReadRange): Promise<RangeRead> {
    const [read] = await this.readRanges([range]);
    if (read instanceof Error) throw read;
    return read!;
  }

  /**
   * Reads ranges, each in one piece; those that lie behind each other, with gaps of less than two disk blocks, together. What is as expected is found by
   * `findChecked` from now on. Returns one result for each, in their order: an Error with `code` for one that could not be read.
   */
  async readRanges(ranges: readonly ReadRange[]): Promise<(RangeRead | Error)[]> {
    const flat = listedRanges(ranges);
    const reads = await completion<RangeReads>((id) => native.fileRead(this.fileId, id, flat));
    return rangesReadOf(reads, this, ranges);
  }

  /**
   * What to send for a range, if it is there without waiting: pieces of memory, which the caller releases, or, where the page cache is
   * used, the range of the file.
   */
  find(position: number, length: number): Piece[] | null {
    if (!this.direct) return [new FilePiece(this, position, length)];
    return this.#find(position, length, false);
  }

  /** A range as it was appended, or checked when it was read, if it is still in memory, and there in one piece. The caller releases it. */
  findChecked(position: number, length: number): MemoryPiece | null {
    const pieces = this.#find(position, length, true) ?? [];
    if (pieces.length === 1) return pieces[0]!;
    for (const { memory } of pieces) memory.release();
    return null;
  }

  #find(position: number, length: number, checked: boolean): MemoryPiece[] | null {
    const found = native.fileFind(this.fileId, position, length, checked, foundPieces);
    if (typeof found !== 'number') return found && piecesOf(found, this, position);
    return piecesOf(foundPieces, this, position, found);
  }

  /** Reads what has been appended: fewer bytes at its end. The caller releases the memory. */
  async readPieces(position: number, length: number): Promise<MemoryPiece[]> {
    return piecesOf(
      await completion<Float64Array>((id) => native.fileReadPieces(this.fileId, id, position, length)),
      this,
      position,
    );
  }

  /** Cuts the file to `size` bytes (or extends it with zeros), after what was queued before; later appends go there. */
  async truncate(size: number): Promise<void> {
    const truncated = completion((id) => native.fileTruncate(this.fileId, id, size));
    this.#size = size;
    await truncated;
  }

  /** Gives back space that was allocated ahead, after what was queued before: the file then ends with what was appended. */
  async trim(): Promise<void> {
    await completion((id) => native.fileTrim(this.fileId, id));
  }

  /** Closes after what was queued before; what is being sent from the file is still sent. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = completion<void>((id) => native.fileClose(this.fileId, id)).then(() => {});
      this.#onClose();
    }
    return this.#closed;
  }
}
