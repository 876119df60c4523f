import type { NativeMemory } from '../../../../native/arena.ts';
import type { Ending } from '../../../../native/completions.ts';
import type { Store } from '../../../../native/store.ts';

/** What is known of a file when a store is started. */
export interface StoredFileState {
  /** Path without suffix. */
  readonly base: string;
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
  /** Writing, flushing or renaming it failed. */
  diskFailed(error: unknown): void;
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
