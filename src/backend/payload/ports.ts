import type { NativeMemory } from '../../native/arena.ts';
import type { MemoryPiece } from '../../native/pieces.ts';

/** What the payload tier uses of the native store's `StoreFile`; tests use one with faults. */
export interface PayloadFile {
  /** Copies the bytes, or retains the memory, before it returns. `done` rejects with an Error that carries `code`. */
  append(pieces: (Uint8Array | MemoryPiece)[]): { position: number; done: Promise<void> };
  /** Resolves when everything appended before the call is durable. */
  sync(): Promise<void>;
  /** Reads up to `length` bytes and computes their CRC-32C, continuing from `seed`. */
  readCrc(position: number, length: number, seed?: number): Promise<{ memory: NativeMemory; crc32c: number }>;
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens files of the native store. */
export interface PayloadFiles {
  open(path: string, options?: { create?: boolean }): Promise<PayloadFile>;
}
