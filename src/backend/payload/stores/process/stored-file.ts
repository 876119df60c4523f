import { rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { NativeMemory } from '../../../../native/arena.ts';
import { crc32cSoon } from '../../../../native/batch.ts';
import { MemoryPiece } from '../../../../native/pieces.ts';
import type { Store, StoreFile } from '../../../../native/store.ts';
import { syncDirectory } from '../../small-files.ts';
import { StoreError } from '../messages.ts';

/** Blocks of devices are no larger: memory that suits a position within one is written from where it is. */
const BLOCK_BYTES = 4096;
/** Of a file that takes appends, or did when the store ended. */
export const OPEN_SUFFIX = '.open';
export const SEALED_SUFFIX = '.payload';

export interface StoredFileState {
  /** Path without suffix. */
  readonly base: string;
  readonly sealed: boolean;
  readonly bytes: number;
  /** What it holds is known: it did not take appends when the store was killed. */
  readonly known: boolean;
}

/** Bytes to come, at an offset of the memory that is for them. */
export type Fill = (memory: NativeMemory, offset: number) => Promise<void>;

/** A store's copy of a segment. Appends are put behind each other in the order in which they were asked for. */
export class StoredFile {
  readonly #base: string;
  readonly #store: Store;
  #sealed: boolean;
  #known: boolean;
  /** What it has, with what is on its way. */
  #end: number;
  #file: Promise<StoreFile> | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #failed = false;
  #removed = false;
  #users = 0;

  constructor(state: StoredFileState, store: Store) {
    this.#base = state.base;
    this.#sealed = state.sealed;
    this.#known = state.known;
    this.#end = state.bytes;
    this.#store = store;
  }

  get path(): string {
    return `${this.#base}${this.#sealed ? SEALED_SUFFIX : OPEN_SUFFIX}`;
  }

  get bytes(): number {
    return this.#end;
  }

  get sealed(): boolean {
    return this.#sealed;
  }

  /** Somebody reads or writes it now. */
  get isBusy(): boolean {
    return this.#users > 0 || !this.#sealed;
  }

  async create(recycledBytes: number): Promise<void> {
    this.#file = this.#store.open(this.path, { create: true, recycledBytes });
    await this.#file;
  }

  /** `memory`: for the bytes, with room for less than a block before them. */
  append(
    position: number,
    length: number,
    fromMemory: boolean,
    memory: () => Promise<NativeMemory>,
    fill: Fill,
  ): Promise<void> {
    if (this.#sealed || this.#failed) throw new StoreError('EPERM', `${this.path} takes no more`);
    if (position !== this.#end)
      throw new StoreError('EILSEQ', `${this.path} ends at ${this.#end}, not at ${position}`);
    this.#end += length;
    const offset = position % BLOCK_BYTES;
    const filled = memory().then(async (block) => {
      try {
        await fill(block, offset);
        return block;
      } catch (error) {
        block.release();
        throw error;
      }
    });
    filled.catch(() => undefined);
    const before = this.#last;
    const queued = (async () => {
      await before;
      const block = await filled;
      try {
        if (this.#failed) throw new StoreError('EIO', `an append before failed: ${this.path}`);
        const file = await this.#opened();
        return file.append([new MemoryPiece(block, offset, length)], { fromMemory });
      } finally {
        block.release();
      }
    })();
    this.#last = queued.catch(() => {
      this.#failed = true;
    });
    return queued
      .then(({ done }) => done ?? undefined)
      .catch((error: unknown) => {
        this.#failed = true;
        throw error;
      });
  }

  /** How much memory an append needs. */
  static memoryFor(position: number, length: number): number {
    return (position % BLOCK_BYTES) + length;
  }

  async sync(): Promise<void> {
    await this.#last;
    if (!this.#sealed) await (await this.#opened()).sync();
  }

  async seal(bytes: number, trust: boolean): Promise<void> {
    await this.#last;
    if (this.#sealed) {
      if (this.#end !== bytes)
        throw new StoreError('EBADMSG', `${this.path} was completed with ${this.#end} bytes, not ${bytes}`);
      return;
    }
    if (!this.#known && !trust)
      throw new StoreError('EBADMSG', `the store was killed: what ${this.path} has is not known`);
    const file = await this.#opened();
    if (file.size < bytes)
      throw new StoreError('EBADMSG', `${this.path} has ${file.size} bytes, not ${bytes}`);
    await file.truncate(bytes);
    await file.sync();
    this.#file = null;
    await file.close();
    await rename(`${this.#base}${OPEN_SUFFIX}`, `${this.#base}${SEALED_SUFFIX}`);
    await syncDirectory(dirname(this.#base));
    this.#sealed = true;
    this.#known = true;
    this.#end = bytes;
  }

  /** Up to `length` bytes, with their CRC-32C; the caller releases them. */
  async read(
    position: number,
    length: number,
    seed: number,
  ): Promise<{ piece: MemoryPiece; crc32c: number }> {
    this.#users++;
    try {
      const file = await this.#opened();
      const recent = file.findAppended(position, length);
      if (recent === null) return await file.readCrc(position, length, seed);
      try {
        return { piece: recent, crc32c: await crc32cSoon(recent, seed) };
      } catch (error) {
        recent.memory.release();
        throw error;
      }
    } finally {
      this.#users--;
    }
  }

  #opened(): Promise<StoreFile> {
    if (this.#removed) return Promise.reject(new StoreError('ENOENT', `${this.path} was removed`));
    if (this.#file === null) {
      const opened = this.#store.open(this.path);
      this.#file = opened;
      opened.catch(() => {
        if (this.#file === opened) this.#file = null;
      });
    }
    return this.#file;
  }

  /** Lets go of the file; what it holds is in it then. */
  async close(): Promise<void> {
    await this.#last;
    const file = await this.#file?.catch(() => null);
    this.#file = null;
    await file?.close();
  }

  async remove(): Promise<void> {
    this.#removed = true;
    this.#failed = true;
    await this.close();
    await this.#store.remove(this.path);
  }
}
