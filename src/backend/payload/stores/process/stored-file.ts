import { rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { MemoryPiece } from '../../../../native/pieces.ts';
import type { StoreFile } from '../../../../native/store-file.ts';
import type { MoveTarget, PayloadPlace } from '../../ports.ts';
import { syncDirectory } from '../../small-files.ts';
import { StoreError } from '../messages.ts';
import { FileMoves } from './file-moves.ts';
import { LazyFile } from './lazy-file.ts';
import { appendMark, crcOfZeros, syncMark } from './marks.ts';
import { MarksFile } from './marks-file.ts';
import { MemoryTurns } from './memory-turns.ts';
import { PendingAppend, PendingPiece, type PieceTaker } from './pending-append.ts';
import {
  type AppendSource,
  MARKS_SUFFIX,
  MAX_FILE_BYTES,
  OPEN_SUFFIX,
  piecesOf,
  readPiece,
  SEALED_SUFFIX,
  type StoredFileOwner,
  type StoredFileState,
} from './stored-file-parts.ts';
import { Turns } from './turns.ts';

/**
 * A store's copy of a segment. Appends are put behind each other in the order in which they were asked for; each is noted with its checksum
 * beside the file before it is acknowledged, so that a store that was killed knows what it has. After a failed append the file takes no more,
 * after a failed flush it holds for sure only what was flushed before.
 */
export class StoredFile implements PieceTaker {
  /** Where it is. */
  place: PayloadPlace;
  readonly #moves = new FileMoves();
  readonly #owner: StoredFileOwner;
  readonly #marks: MarksFile;
  #sealed: boolean;
  /** What it has, with what is on its way; what was acknowledged; and what was flushed. */
  #end: number;
  #good: number;
  #synced: number;
  /** What was handed to the file, whether it is written or not. */
  #queued: number;
  readonly #file = new LazyFile(() => this.#open());
  readonly #memory = new MemoryTurns();
  /** What is put to the end is handed to the file in order. */
  readonly #turns = new Turns();
  /** What was handed and has to wait until the file has it. */
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
    this.place = state.place;
    this.#sealed = state.sealed;
    this.#end = state.bytes;
    this.#good = state.bytes;
    this.#queued = state.bytes;
    this.#synced = state.synced;
    this.#freedBytes = state.freedBytes ?? 0;
    this.#isUnknown = state.isUnknown ?? false;
    if (this.#isUnknown) this.#failure = 'its marks cannot be read';
    this.#owner = owner;
    this.#marks = new MarksFile(`${this.#base}${MARKS_SUFFIX}`, state.markBytes, owner.store);
    if (!state.sealed) return;
    this.place.completed(state.bytes);
    this.place.holds?.(state.bytes - this.#freedBytes);
  }

  /** Its path, without suffix. */
  get #base(): string {
    return this.place.path.slice(0, -SEALED_SUFFIX.length);
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
  create(recycledBytes: number): Promise<void> {
    const created = this.#create(recycledBytes);
    // Who removes it waits.
    this.waits(created.catch(() => undefined));
    return created;
  }

  async #create(recycledBytes: number): Promise<void> {
    await this.place.ready;
    await this.#marks.open();
    const open = () => this.#owner.store.open(this.path, { create: true, recycledBytes });
    const file = await this.#file.openBy(open);
    if (file.size > 0) await file.truncate(0);
  }

  /** Resolves when it has all, and rejects with the first failure, but not before nothing touches the memory of any piece. */
  append(position: number, length: number, source: AppendSource): Promise<void> {
    this.#grow(position, length);
    return this.#used(
      () =>
        new Promise((resolve, reject) => {
          const ranges = piecesOf(position, length);
          const whole = new PendingAppend(ranges.length, (error) =>
            error === null ? resolve() : reject(error),
          );
          for (const range of ranges) this.#begin(new PendingPiece(range, source, this, whole));
        }),
    );
  }

  #begin(piece: PendingPiece): void {
    this.#turns.add(piece);
    this.#memory.begin(piece);
  }

  async #used<T>(action: () => Promise<T>): Promise<T> {
    this.#users++;
    try {
      return await action();
    } finally {
      this.#users--;
    }
  }

  /** Makes room for what is put to the end; throws when the file takes nothing there. */
  #grow(position: number, length: number): void {
    if (this.#sealed || this.#sealing !== null || this.#failure !== null)
      throw new StoreError('EPERM', `${this.path} takes no more${this.#failure ? `: ${this.#failure}` : ''}`);
    if (position !== this.#end)
      throw new StoreError('EILSEQ', `${this.path} ends at ${this.#end}, not at ${position}`);
    if (position + length > MAX_FILE_BYTES || this.#marks.isFull)
      throw new StoreError('EFBIG', `${this.path} is too large for more`);
    if (!this.place.hasRoomFor(length)) this.#owner.isFull(this.place);
    this.#resize(position + length);
  }

  /** Puts zeros to the end that take no space, nor time to write. Acknowledged as what is appended. */
  skip(position: number, length: number): Promise<void> {
    this.#grow(position, length);
    return this.#used(
      () =>
        new Promise((resolve, reject) => {
          const failed = (error: Error) => {
            this.failed(error);
            reject(error);
          };
          this.#turns.add({ isReady: true, take: () => this.#skip(position, length).then(resolve, failed) });
        }),
    );
  }

  async #skip(position: number, length: number): Promise<void> {
    this.assertTakes();
    await this.prepare(position);
    const end = position + length;
    await this.#onDisk(this.#file.opened!.truncate(end));
    await this.#onDisk(this.#marks.add(appendMark({ end, crc: crcOfZeros(length) }), false));
    this.#queued = end;
    this.has(end);
  }

  // As the taker of pieces

  /** Without what is behind its known end: space that was allocated ahead when the store was killed. */
  prepare(position: number): Promise<void> | null {
    return this.#marks.isOpen && this.#file.opened?.size === position ? null : this.#openAt(position);
  }

  async #openAt(position: number): Promise<void> {
    await this.#marks.open();
    const file = await this.#opened();
    if (file.size < position) throw new StoreError('EIO', `${this.path} has been cut by somebody else`);
    if (file.size > position) await this.#onDisk(file.truncate(position));
  }

  put(position: number, piece: MemoryPiece, crc: number, fromMemory: boolean): Promise<unknown> | null {
    const end = position + piece.byteLength;
    const written = this.#file.opened!.append([piece], { fromMemory }).done;
    let marked: Promise<void> | null;
    try {
      marked = this.#marks.add(appendMark({ end, crc }), fromMemory);
      this.#queued = end;
    } catch (error) {
      // At once: nothing may be noted behind what was not.
      this.failed(error as Error);
      marked = (written ?? Promise.resolve()).then(() => Promise.reject(error));
    }
    if (written === null && marked === null) return null;
    return this.#onDisk(Promise.all([written, marked]));
  }

  has(end: number): void {
    this.#good = Math.max(this.#good, end);
  }

  advance(): void {
    this.#turns.advance();
  }

  waits(ended: Promise<void>): void {
    this.#acknowledged = Promise.all([this.#acknowledged, ended]);
  }

  assertTakes(): void {
    if (this.#failure !== null)
      throw new StoreError('EIO', `an append before failed: ${this.path}: ${this.#failure}`);
  }

  failed(error: Error): void {
    this.#failure ??= error.message;
  }

  #resize(end: number): void {
    const difference = end - this.#end;
    this.#end = end;
    this.#owner.resized(difference);
    this.place.resized(end);
  }

  /** What was appended before is durable. */
  async sync(): Promise<void> {
    this.#assertKnown();
    do {
      await this.#sealing?.catch(() => undefined);
      await this.#turns.passed();
    } while (this.#sealing !== null);
    this.#assertFlushed();
    if (this.#sealed) return;
    const synced = this.#used(() => this.#sync());
    this.#syncing = Promise.allSettled([this.#syncing, synced]);
    await synced;
  }

  async #sync(): Promise<void> {
    const end = this.#queued;
    const file = await this.#opened();
    await this.#marks.open();
    await this.#flush([file.sync(), this.#marks.sync()]);
    if (end <= this.#synced) return;
    this.#synced = end;
    this.#noteSync(end);
  }

  /** Not waited for: without it more is read after a crash, that is all; but marks that follow a failed one would be lost. */
  #noteSync(end: number): void {
    try {
      this.#marks.add(syncMark(end), true)?.catch((error: Error) => this.failed(error));
    } catch {
      // Too much is queued.
    }
  }

  /** A failed flush is never tried again: the kernel may have dropped what it could not write. */
  async #flush(flushes: readonly Promise<void>[]): Promise<void> {
    for (const result of await Promise.allSettled(flushes)) {
      if (result.status === 'fulfilled') continue;
      const error = result.reason as Error;
      this.#diskFailed(error);
      // After an append that failed a flush is refused, which says nothing of what was flushed.
      await this.#acknowledged;
      if (this.#failure === null || error.message.startsWith('cannot flush')) this.#flushFailed = true;
      this.failed(error);
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
    const sealing = before
      .catch(() => undefined)
      .then(() => this.#moves.stay(() => this.#seal(bytes, trust)));
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
      this.#diskFailed(error);
      this.#flushFailed = true;
      this.failed(error as Error);
      throw error;
    }
    this.#flushFailed = false;
    this.#resize(bytes);
    this.place.completed(bytes);
    this.place.holds?.(bytes - this.#freedBytes);
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
    return this.#moves.stay(() => this.#used(() => this.#punch(ranges)));
  }

  async #punch(ranges: readonly number[]): Promise<number> {
    try {
      const punched = this.#owner.store.punch(this.path, Float64Array.from(ranges));
      this.#syncing = Promise.allSettled([this.#syncing, punched]);
      const { held, replaced } = await punched;
      this.#holds(held);
      // What is read from the one before ends well; only its space goes later then.
      if (replaced && this.#users === 1) await this.release();
      return held;
    } catch (error) {
      this.#diskFailed(error);
      throw this.#removed ? this.#isGone() : error;
    }
  }

  #holds(bytes: number): void {
    const freedBytes = this.#removed ? 0 : Math.max(0, this.#end - bytes);
    this.#owner.resized(this.#freedBytes - freedBytes);
    this.#freedBytes = freedBytes;
    this.place.holds?.(bytes);
  }

  /** To another tier, while it is read on. False when that is not wanted any more, or the file not complete. */
  async move(target: MoveTarget): Promise<boolean> {
    if (!this.#sealed || this.#sealing !== null || this.#removed || !this.#moves.areWanted) return false;
    return this.#moves.run(this.path, target, () => this.#arrived(target.place));
  }

  async #arrived(place: PayloadPlace): Promise<void> {
    const { path } = this;
    const before = this.place;
    this.place = place;
    place.completed(this.#end);
    place.holds?.(this.#end - this.#freedBytes);
    try {
      // What is read from there ends well.
      await this.release();
      await this.#owner.store.remove(path);
    } catch (error) {
      this.#owner.diskFailed(error, before);
      throw error;
    }
    before.removed();
  }

  /** All of a range, if that was appended, or checked when it was read, and is still in memory; the caller releases it. */
  async recent(position: number, length: number): Promise<MemoryPiece | null> {
    if (this.#isUnknown || position + length > this.bytes) return null;
    return this.#used(async () => (await this.#opened()).findChecked(position, length));
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
    try {
      return await this.#used(async () => readPiece(await this.#opened(), position, bytes, seed));
    } catch (error) {
      throw this.#removed ? this.#isGone() : error;
    }
  }

  #isGone(): StoreError {
    return new StoreError('ENOENT', `${this.path} was removed`);
  }

  #opened(): Promise<StoreFile> {
    return this.#removed ? Promise.reject(this.#isGone()) : this.#file.get();
  }

  #open(): Promise<StoreFile> {
    return this.#owner.store.open(this.path).catch((error: Error) => {
      // Nobody is to take for lost what is on a disk that is not there.
      throw this.place.outage === null ? error : new StoreError('EIO', this.place.outage);
    });
  }

  #diskFailed(error: unknown): void {
    this.#owner.diskFailed(error, this.place);
  }

  /** What failed on its way to the disk is told to whoever watches over that. */
  #onDisk<T>(operation: Promise<T> | null): Promise<T | undefined> {
    const told = (operation ?? Promise.resolve(undefined)).catch((error: unknown) => {
      this.#diskFailed(error);
      throw error;
    });
    told.catch(() => undefined);
    return told;
  }

  /** What was asked for before has ended. */
  async #idle(): Promise<void> {
    await this.#turns.passed();
    await this.#acknowledged;
    await this.#syncing;
  }

  /** Gives its descriptors back; it is opened again when it is needed. Not while it is busy. */
  release(): Promise<unknown> {
    return Promise.all([this.#file.release(), this.#marks.release()]);
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
    await this.#moves.stay(() => this.#remove());
  }

  async #remove(): Promise<void> {
    await this.release();
    this.#holds(this.#end);
    this.#resize(0);
    await this.#owner.store.remove(this.path);
    if (!this.#sealed) await this.#marks.remove();
    this.place.removed();
  }
}
