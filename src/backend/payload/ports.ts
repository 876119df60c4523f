import type { MemoryPiece } from '../../native/pieces.ts';

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
  /** Reads up to `length` bytes and computes their CRC-32C, continuing from `seed`. */
  readCrc(position: number, length: number, seed?: number): Promise<{ piece: MemoryPiece; crc32c: number }>;
  /** A range as it was appended, if it is still in memory. The caller releases it. */
  findAppended(position: number, length: number): MemoryPiece | null;
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

export interface PayloadOpenOptions {
  create?: boolean;
  /** How much space of removed files a new one may begin with. */
  recycledBytes?: number;
}

/** Files of the native store. */
export interface PayloadFiles {
  open(path: string, options?: PayloadOpenOptions): Promise<PayloadFile>;
  /** Removes a file; it may be gone already. */
  remove(path: string): Promise<void>;
}
