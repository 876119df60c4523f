import type { NativeMemory } from './arena.ts';

/** An open file that can be sent; StoreFile is one. */
export interface FileSource {
  /** The native file handle's id within the process. */
  readonly fileId: number;
}

/** Where a file has the bytes of a range of memory, or will have them. */
export interface Origin {
  readonly file: FileSource;
  readonly position: number;
}

/** A range of native memory; whoever is given one owns one reference to `memory`. */
export class MemoryPiece {
  readonly memory: NativeMemory;
  readonly offset: number;
  readonly byteLength: number;
  /** Lets a reply to a slow reader give the memory back: the rest is sent from the file. */
  readonly origin: Origin | null;

  constructor(
    memory: NativeMemory,
    offset = 0,
    byteLength = memory.byteLength - offset,
    origin: Origin | null = null,
  ) {
    if (!(offset >= 0 && byteLength >= 0 && offset + byteLength <= memory.byteLength)) {
      throw new RangeError(`piece ${offset}+${byteLength} of ${memory.byteLength} bytes`);
    }
    this.memory = memory;
    this.offset = offset;
    this.byteLength = byteLength;
    this.origin = origin;
  }

  bytes(): Uint8Array {
    return this.memory.bytes().subarray(this.offset, this.offset + this.byteLength);
  }
}

/** A range of a file, sent without passing through this process's memory. */
export class FilePiece {
  readonly file: FileSource;
  readonly position: number;
  readonly byteLength: number;

  constructor(file: FileSource, position: number, byteLength: number) {
    if (!(position >= 0 && byteLength >= 0)) throw new RangeError(`file piece ${position}+${byteLength}`);
    this.file = file;
    this.position = position;
    this.byteLength = byteLength;
  }
}

/** A part of a reply or of an append. Bytes are copied when handed over, the other kinds are not. */
export type Piece = Uint8Array | MemoryPiece | FilePiece;

/** Whether the bytes of a piece are in memory. */
export function isBytes(piece: Piece): piece is Uint8Array | MemoryPiece {
  return piece instanceof MemoryPiece || piece instanceof Uint8Array;
}

/** Gives back what was held by pieces. */
export function releasePieces(pieces: readonly Piece[]): void {
  for (const piece of pieces) if (piece instanceof MemoryPiece) piece.memory.release();
}
