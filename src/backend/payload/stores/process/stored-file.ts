import { rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32cSoon } from '../../../../native/batch.ts';
import { MemoryPiece } from '../../../../native/pieces.ts';
import type { StoreFile } from '../../../../native/store-file.ts';
import { syncDirectory } from '../../small-files.ts';
import { StoreError } from '../messages.ts';
import { appendMark, crcOfZeros, syncMark } from './marks.ts';
import { MarksFile } from './marks-file.ts';
import type { AppendSource, StoredFileOwner, StoredFileState } from './stored-file-parts.ts';

/** Blocks of devices are no larger: memory that suits a position within one is written from where it is. */
const BLOCK_BYTES = 4096;
/** Appends are taken, and files are read, in pieces of at most so many bytes, so that none needs more memory at a time. */
export const PIECE_BYTES = 8 << 20;
/** Of one file. */
const MAX_FILE_BYTES = 2 ** 40;
/** Of a file that takes appends, or did when the store ended. */
export const OPEN_SUFFIX = '.open';
export const SEALED_SUFFIX = '.payload';
/** Of what was acknowledged of a file that takes appends; see `readMarks`. */
export const MARKS_SUFFIX = '.marks';

/**
 * A store's copy of a segment. Appends are put behind each other in the order in which they were asked for; each is noted with its checksum
 * beside the file before it is acknowledged, so that a store that was killed knows what it has. After a failed append the file takes no more,
 * after a failed flush it holds for sure only what was flushed before.
 */
export class StoredFile {
  readonly #base: string;
  readonly #owner: StoredFileOwner;
  readonly #marks: MarksFile;
  #sealed: boolean;
  /** What it has, with what is on its way; what was acknowledged; and what was flushed. */
  #end: number;
  #good: number;
  #synced: number;
  /** What was handed to the file, whether it is written or not. */
  #queued: number;
  #file: Promise<StoreFile> | null = null;
  #closing: Promise<unknown> = Promise.resolve();
  /** Appends get memory, are handed to the file and are acknowledged in order: the last of each. */
  #allocated: Promise<unknown> = Promise.resolve();
  #handed: Promise<unknown> = Promise.resolve();
  #acknowledged: Promise<unknown> = Promise.resolve();
  /** Flushes, and what else nobody waits for who asks for something else. */
  #syncing: Promise<unknown> = Promise.resolve();
  #sealing: Promise<void> | null = null;
  /** Why it takes nothing more. */
  #failure: string | null = null;
  #flushFailed = false;
  readonly #isUnknown: boolean;
  #removed = false;
  #users = 0;
  #freedBytes: number;

  constructor(state: StoredFileState, owner: StoredFileOwner) {
    this.#base = state.base;
    this.#sealed = state.sealed;
    this.#end = state.bytes;
    this.#good = state.bytes;
    this.#queued = state.bytes;
    this.#synced = state.synced;
    this.#freedBytes = state.freedBytes ?? 0;
    this.#isUnknown = state.isUnknown ?? false;
    if (this.#isUnknown) this.#failure = 'its marks cannot be read';
    this.#owner = owner;
    this.#marks = new MarksFile(`${state.base}${MARKS_SUFFIX}`, state.markBytes, owner.store);
  }

  get path(): string {
    return `${this.#base}${this.#sealed ? SEALED_SUFFIX : OPEN_SUFFIX}`;
  }

  /** What it has; with what is on its way, unless something of that has failed. */
  get bytes(): number {
    return this.#failure === null ? this.#end : this.#good;
  }

  get sealed(): boolean {
    return this.#sealed;
  }

  /** Somebody reads or writes it now. */
  get isBusy(): boolean {
    return this.#users > 0 || this.#sealing !== null;
  }

  /** Begins it, empty, whatever an attempt before has left. */
  async create(recycledBytes: number): Promise<void> {
    await this.#marks.open();
    this.#file = this.#owner.store.open(this.path, { create: true, recycledBytes });
    const file = await this.#file;
    if (file.size > 0) await file.truncate(0);
  }

  append(position: number, length: number, source: AppendSource): Promise<void> {
    this.#grow(position, length);
    const pieces: Promise<void>[] = [];
    for (let from = 0; from < length; ) {
      const at = position + from;
      const bytes = Math.min(length - from, PIECE_BYTES - (at % BLOCK_BYTES));
      pieces.push(this.#appendPiece(at, from, bytes, source));
      from += bytes;
    }
    this.#users++;
    return this.#ended(pieces).finally(() => {
      this.#users--;
    });
  }

  /** Makes room for what is put to the end; throws when the file takes nothing there. */
  #grow(position: number, length: number): void {
    if (this.#sealed || this.#sealing !== null || this.#failure !== null)
      throw new StoreError('EPERM', `${this.path} takes no more${this.#failure ? `: ${this.#failure}` : ''}`);
    if (position !== this.#end)
      throw new StoreError('EILSEQ', `${this.path} ends at ${this.#end}, not at ${position}`);
    if (position + length > MAX_FILE_BYTES || this.#marks.isFull)
      throw new StoreError('EFBIG', `${this.path} is too large for more`);
    this.#resize(position + length);
  }

  /** Puts zeros to the end that take no space, nor time to write. Acknowledged as what is appended. */
  skip(position: number, length: number): Promise<void> {
    this.#grow(position, length);
    const end = position + length;
    const skipped = this.#handed.then(async () => {
      this.#assertTakes();
      await this.#marks.open();
      const file = await this.#atEnd(position);
      await this.#onDisk(file.truncate(end));
      await this.#onDisk(this.#marks.add(appendMark({ end, crc: crcOfZeros(length) }), false));
      this.#queued = end;
    });
    this.#handed = skipped.catch((error: Error) => this.#fail(error));
    return this.#acknowledge(skipped, end);
  }

  /** Resolves when all have, and rejects with the first failure, but not before nothing touches the memory of any. */
  async #ended(pieces: readonly Promise<void>[]): Promise<void> {
    const first = Promise.all(pieces);
    await first.catch(() => undefined);
    await Promise.allSettled(pieces);
    await first;
  }

  #appendPiece(at: number, from: number, length: number, source: AppendSource): Promise<void> {
    const offset = at % BLOCK_BYTES;
    const memoryBytes = offset + length;
    // Memory goes to the first that lacks it: one behind it could not be written before.
    const memory = this.#allocated.then(() => {
      this.#assertTakes();
      return source.allocate(memoryBytes);
    });
    this.#allocated = memory.catch(() => undefined);
    const filled = memory.then(async (block) => {
      try {
        const crc = await source.fill(block, offset, from, length);
        return { piece: new MemoryPiece(block, offset, length), crc };
      } catch (error) {
        block.release();
        source.freed(memoryBytes);
        throw error;
      }
    });
    filled.catch(() => undefined);
    const handed = this.#handed.then(() => this.#hand(at, from, filled, source, memoryBytes));
    this.#handed = handed.catch((error: Error) => this.#fail(error));
    return this.#acknowledge(
      handed.then(({ done }) => done),
      at + length,
    );
  }

  /** What is put up to `end` is there when `done` is. */
  #acknowledge(done: Promise<unknown>, end: number): Promise<void> {
    const acknowledged = done.then(
      () => {
        this.#good = Math.max(this.#good, end);
      },
      (error: Error) => {
        this.#fail(error);
        throw error;
      },
    );
    const before = this.#acknowledged;
    this.#acknowledged = acknowledged.catch(() => undefined).then(() => before);
    return acknowledged;
  }

  /** Hands a piece, and the mark for it, to the files, behind all before. */
  async #hand(
    at: number,
    from: number,
    filled: Promise<{ piece: MemoryPiece; crc: number }>,
    source: AppendSource,
    memoryBytes: number,
  ): Promise<{ done: Promise<unknown> }> {
    const { piece, crc } = await filled;
    const { fromMemory } = source;
    let done: Promise<unknown> = Promise.resolve();
    let passed: Promise<void> | undefined;
    try {
      this.#assertTakes();
      await this.#marks.open();
      const file = await this.#atEnd(at);
      const end = at + piece.byteLength;
      passed = source.pass?.(piece.memory, piece.offset, from, piece.byteLength);
      const written = file.append([piece], { fromMemory }).done ?? Promise.resolve();
      done = written;
      const marked = this.#marks.add(appendMark({ end, crc }), fromMemory);
      this.#queued = end;
      done = this.#onDisk(Promise.all([written, marked]));
      return { done };
    } finally {
      piece.memory.release();
      void Promise.allSettled([done, passed]).then(() => source.freed(memoryBytes));
    }
  }

  /** The file, without what is behind its known end: space that was allocated ahead when the store was killed. */
  async #atEnd(position: number): Promise<StoreFile> {
    const file = await this.#opened();
    if (file.size < position) throw new StoreError('EIO', `${this.path} has been cut by somebody else`);
    if (file.size > position) await this.#onDisk(file.truncate(position));
    return file;
  }

  #assertTakes(): void {
    if (this.#failure !== null)
      throw new StoreError('EIO', `an append before failed: ${this.path}: ${this.#failure}`);
  }

  #fail(error: Error): void {
    this.#failure ??= error.message;
  }

  #resize(end: number): void {
    const difference = end - this.#end;
    this.#end = end;
    this.#owner.resized(difference);
  }

  /** What was appended before is durable. */
  async sync(): Promise<void> {
    this.#assertKnown();
    do {
      await this.#sealing?.catch(() => undefined);
      await this.#handed;
    } while (this.#sealing !== null);
    this.#assertFlushed();
    if (this.#sealed) return;
    const synced = this.#sync();
    this.#syncing = Promise.allSettled([this.#syncing, synced]);
    await synced;
  }

  async #sync(): Promise<void> {
    this.#users++;
    try {
      const end = this.#queued;
      const file = await this.#opened();
      await this.#marks.open();
      await this.#flush([file.sync(), this.#marks.sync()]);
      if (end <= this.#synced) return;
      this.#synced = end;
      this.#noteSync(end);
    } finally {
      this.#users--;
    }
  }

  /** Not waited for: without it more is read after a crash, that is all; but marks that follow a failed one would be lost. */
  #noteSync(end: number): void {
    try {
      this.#marks.add(syncMark(end), true)?.catch((error: Error) => this.#fail(error));
    } catch {
      // Too much is queued.
    }
  }

  /** A failed flush is never tried again: the kernel may have dropped what it could not write. */
  async #flush(flushes: readonly Promise<void>[]): Promise<void> {
    for (const result of await Promise.allSettled(flushes)) {
      if (result.status === 'fulfilled') continue;
      const error = result.reason as Error;
      this.#owner.diskFailed(error);
      // After an append that failed a flush is refused, which says nothing of what was flushed.
      await this.#acknowledged;
      if (this.#failure === null || error.message.startsWith('cannot flush')) this.#flushFailed = true;
      this.#fail(error);
      throw error;
    }
  }

  /** What cannot be said now is no answer. */
  #assertKnown(): void {
    if (this.#isUnknown) throw new StoreError('EIO', `${this.path}: ${this.#failure}`);
  }

  #assertFlushed(): void {
    if (this.#flushFailed)
      throw new StoreError('EIO', `a flush before failed: ${this.path}: ${this.#failure}`);
  }

  /**
   * Cuts it to `bytes`, durably; it takes no more. Rejects with EBADMSG when it has less for sure; with `trust`, when it has less even if
   * space that was only allocated counts. What a failure has left out is never counted.
   */
  seal(bytes: number, trust: boolean): Promise<void> {
    const before = this.#sealing ?? Promise.resolve();
    const sealing = before.catch(() => undefined).then(() => this.#seal(bytes, trust));
    const ended = sealing.finally(() => {
      if (this.#sealing === ended) this.#sealing = null;
    });
    this.#sealing = ended;
    return ended;
  }

  async #seal(bytes: number, trust: boolean): Promise<void> {
    this.#assertKnown();
    await this.#idle();
    if (this.#sealed) this.#assertFlushed();
    if (this.#sealed && this.#end === bytes) return;
    const file = await this.#opened();
    const known = this.#flushFailed ? Math.min(this.#synced, this.#good) : this.#good;
    const has = trust && !this.#sealed && this.#failure === null ? file.size : known;
    if (has < bytes) throw new StoreError('EBADMSG', `${this.path} has ${has} bytes, not ${bytes}`);
    try {
      await file.truncate(bytes);
      await file.sync();
      this.#good = bytes;
      this.#synced = bytes;
      this.#queued = bytes;
      if (!this.#sealed) await this.#complete();
    } catch (error) {
      this.#owner.diskFailed(error);
      this.#flushFailed = true;
      this.#fail(error as Error);
      throw error;
    }
    this.#flushFailed = false;
    this.#resize(bytes);
  }

  /** Gives it the name of what is complete; whoever reads it goes on. */
  async #complete(): Promise<void> {
    await rename(`${this.#base}${OPEN_SUFFIX}`, `${this.#base}${SEALED_SUFFIX}`);
    this.#sealed = true;
    await syncDirectory(dirname(this.#base));
    // Marks that stay go when the store is started again.
    await this.#marks.remove().catch(() => undefined);
  }

  /** Gives back the space of ranges of a complete file, positions and lengths by turns, ascending. Resolves to what it takes then. */
  async punch(ranges: readonly number[]): Promise<number> {
    this.#assertKnown();
    if (!this.#sealed || this.#sealing !== null || this.#removed)
      throw new StoreError('EPERM', `${this.path} is not complete`);
    if (ranges.length % 2 !== 0) throw new StoreError('EINVAL', 'a position without a length');
    this.#users++;
    try {
      const punched = this.#owner.store.punch(this.path, Float64Array.from(ranges));
      this.#syncing = Promise.allSettled([this.#syncing, punched]);
      const { held, replaced } = await punched;
      this.#holds(held);
      // What is read from the one before ends well; only its space goes later then.
      if (replaced && this.#users === 1) await this.release();
      return held;
    } catch (error) {
      this.#owner.diskFailed(error);
      throw this.#removed ? this.#isGone() : error;
    } finally {
      this.#users--;
    }
  }

  #holds(bytes: number): void {
    const freedBytes = this.#removed ? 0 : Math.max(0, this.#end - bytes);
    this.#owner.resized(this.#freedBytes - freedBytes);
    this.#freedBytes = freedBytes;
  }

  /** All of a range, if that was appended, or checked when it was read, and is still in memory; the caller releases it. */
  async recent(position: number, length: number): Promise<MemoryPiece | null> {
    if (this.#isUnknown || position + length > this.bytes) return null;
    this.#users++;
    try {
      return (await this.#opened()).findChecked(position, length);
    } finally {
      this.#users--;
    }
  }

  /** Up to `length` bytes, with their CRC-32C; the caller releases them. Null when it ends before `position`. */
  async read(
    position: number,
    length: number,
    seed: number,
  ): Promise<{ piece: MemoryPiece; crc32c: number } | null> {
    this.#assertKnown();
    // Behind its end there may be space that was allocated ahead.
    const bytes = Math.min(length, this.bytes - position);
    if (bytes <= 0) return null;
    this.#users++;
    try {
      const file = await this.#opened();
      const recent = file.findChecked(position, bytes);
      if (recent === null) return await file.readCrc(position, bytes, seed);
      try {
        return { piece: recent, crc32c: await crc32cSoon(recent, seed) };
      } catch (error) {
        recent.memory.release();
        throw error;
      }
    } catch (error) {
      throw this.#removed ? this.#isGone() : error;
    } finally {
      this.#users--;
    }
  }

  #isGone(): StoreError {
    return new StoreError('ENOENT', `${this.path} was removed`);
  }

  #opened(): Promise<StoreFile> {
    if (this.#removed) return Promise.reject(this.#isGone());
    if (this.#file === null) {
      const opened = this.#closing.then(() => this.#owner.store.open(this.path));
      this.#file = opened;
      opened.catch(() => {
        if (this.#file === opened) this.#file = null;
      });
    }
    return this.#file;
  }

  /** What failed on its way to the disk is told to whoever watches over that. */
  #onDisk<T>(operation: Promise<T> | null): Promise<T | undefined> {
    const told = (operation ?? Promise.resolve(undefined)).catch((error: unknown) => {
      this.#owner.diskFailed(error);
      throw error;
    });
    told.catch(() => undefined);
    return told;
  }

  /** What was asked for before has ended. */
  async #idle(): Promise<void> {
    await this.#handed;
    await this.#acknowledged;
    await this.#syncing;
  }

  /** Gives its descriptors back; it is opened again when it is needed. Not while it is busy. */
  release(): Promise<unknown> {
    const file = this.#file;
    this.#file = null;
    const before = this.#closing;
    const close = async () => (await file?.catch(() => null))?.close();
    this.#closing = Promise.allSettled([before, close(), this.#marks.release()]);
    return this.#closing;
  }

  /** For the end of the store: what was asked for ends, what was appended is flushed, so that nothing need be read at the next start. */
  async close(): Promise<void> {
    await this.#sealing?.catch(() => undefined);
    await this.#idle();
    const isChanged = !this.#sealed && this.#queued > this.#synced;
    if (isChanged && this.#failure === null && !this.#removed) await this.sync().catch(() => undefined);
    await this.release();
  }

  async remove(): Promise<void> {
    this.#removed = true;
    this.#failure ??= 'it was removed';
    await this.#sealing?.catch(() => undefined);
    await this.#idle();
    await this.release();
    this.#holds(this.#end);
    this.#resize(0);
    await this.#owner.store.remove(this.path);
    if (!this.#sealed) await this.#marks.remove();
  }
}
