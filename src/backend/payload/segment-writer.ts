import type { MemoryPiece } from '../../native/pieces.ts';
import { isTransient, LogError, LogErrorCode } from '../log/errors.ts';
import type { OpenFile, OpenFiles } from './open-files.ts';
import type { Appending } from './pending-extent.ts';
import type { PayloadFile, PayloadOpenOptions, PayloadPlace } from './ports.ts';
import type { SegmentExtents } from './segment-extents.ts';

/**
 * Puts extents to the end of a segment's file, in order, and makes them durable. The file is opened in the background; extents that come before it is
 * open wait for it.
 */
export class SegmentWriter {
  readonly #open: OpenFiles;
  readonly #place: PayloadPlace;
  readonly #extents: SegmentExtents;
  /** Held while the segment takes extents or has some that are not durable. */
  #held: OpenFile | null = null;
  #file: PayloadFile | null = null;
  #opening: Promise<void> | null = null;
  /** Appends that came before the file was open. */
  #queuedBytes = 0;
  readonly #queued: ((file: PayloadFile | null, error?: unknown) => void)[] = [];
  #syncedBytes = 0;
  #failed = false;
  /** A flush has failed, on a disk of this machine. */
  #unflushed: Error | null = null;

  constructor(open: OpenFiles, place: PayloadPlace, extents: SegmentExtents) {
    this.#open = open;
    this.#place = place;
    this.#extents = extents;
  }

  /** Creates the file in the background. */
  create(options: PayloadOpenOptions): void {
    this.#opening = this.#openFile(options);
  }

  /** It has the file, and may be given more. */
  get isOpen(): boolean {
    return this.#held !== null;
  }

  /** What it appends to; null before it is open, and at the end. */
  get file(): PayloadFile | null {
    return this.#file;
  }

  /** An append was refused: it takes no more. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Logical size of the file, with what waits for it to be opened. */
  get bytes(): number {
    return this.#extents.summary.bytes + this.#queuedBytes;
  }

  /** It has put bytes there that are not known to be durable. */
  get needsSync(): boolean {
    return this.#opening !== null && this.#syncedBytes < this.bytes;
  }

  /** Resolves when the file is open, or cannot be. */
  async opened(): Promise<void> {
    await this.#opening;
  }

  async #openFile(options: PayloadOpenOptions): Promise<void> {
    try {
      await this.#place.ready;
      this.#held = this.#open.acquire(this.#place.path, { create: true, ...options });
      const file = await this.#held.file;
      this.#file = file;
      for (let start = this.#queued.shift(); start !== undefined; start = this.#queued.shift()) start(file);
    } catch (error) {
      this.#refuse(error);
      for (const start of this.#queued.splice(0)) start(null, error);
    }
  }

  #refuse(error: unknown): void {
    this.#failed = true;
    this.#place.failed(error);
  }

  /** See PayloadSegment.append; settles as `PendingExtent.written`, and gives the extent its position before that. */
  write(piece: Uint8Array | MemoryPiece, extent: Appending, fromMemory: boolean): Promise<void> | null {
    if (this.#file === null) return this.#writeLater(piece, extent, fromMemory);
    try {
      return this.#put(this.#file, piece, extent, fromMemory);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #put(
    file: PayloadFile,
    piece: Uint8Array | MemoryPiece,
    extent: Appending,
    fromMemory: boolean,
  ): Promise<void> | null {
    const refused = (error: unknown) => {
      this.#refuse(error);
      throw error;
    };
    try {
      const { position, done } = file.append([piece], { align: true, fromMemory });
      extent.position = position;
      this.#extents.resized(position + extent.length);
      this.#place.resized(this.bytes);
      return done?.catch(refused) ?? null;
    } catch (error) {
      return refused(error);
    }
  }

  /** The first appends of a segment wait for its file; what they hold must outlive the call. */
  #writeLater(piece: Uint8Array | MemoryPiece, extent: Appending, fromMemory: boolean): Promise<void> {
    const held = piece instanceof Uint8Array ? Uint8Array.from(piece) : piece;
    if (!(held instanceof Uint8Array)) held.memory.retain();
    this.#queuedBytes += held.byteLength;
    this.#place.resized(this.bytes);
    return new Promise((resolve, reject) => {
      this.#queued.push((file, error) => {
        this.#queuedBytes -= held.byteLength;
        try {
          if (file === null) reject(error);
          else Promise.resolve(this.#put(file, held, extent, fromMemory)).then(() => resolve(), reject);
        } catch (failure) {
          reject(failure);
        } finally {
          if (!(held instanceof Uint8Array)) held.memory.release();
        }
      });
    });
  }

  /** Makes everything appended before the call durable. */
  async sync(): Promise<void> {
    await this.#opening;
    const target = this.#extents.summary.bytes;
    const held = this.#held;
    const holder = held ?? this.#open.acquire(this.#place.path); // closed by an end that failed
    try {
      await this.#flush(await holder.file);
      this.#syncedBytes = Math.max(this.#syncedBytes, target);
    } catch (error) {
      this.#place.failed(error);
      throw error;
    } finally {
      if (held === null) this.#open.release(holder);
    }
  }

  /**
   * The kernel may have dropped what a flush could not write, and the next one would say nothing of it: one that fails, whatever the reason, is the
   * last one, and its disk has failed: the log's, or a tier's.
   */
  async #flush(file: PayloadFile): Promise<void> {
    if (this.#unflushed !== null) throw this.#unflushed;
    try {
      await file.sync();
    } catch (error) {
      // After an append that failed, as on a full disk, a flush fails with its error.
      const isOfAppend = this.#failed && isTransient(error);
      const { isHome, isInTier, path } = this.#place;
      if (isOfAppend || !(isHome || isInTier)) throw error;
      const message = `flushing ${path} failed: ${String(error)}`;
      this.#unflushed = isHome
        ? new LogError(LogErrorCode.KAFKA_STORAGE_ERROR, message)
        : Object.assign(new Error(message), { code: 'EIO' });
      throw this.#unflushed;
    }
  }

  /** Cuts off what no extent covers, durably, then runs `listed`; the file is given back whatever happens. */
  async end(listed: () => Promise<void>): Promise<void> {
    const holder = this.#held ?? this.#open.acquire(this.#place.path);
    try {
      await this.#cut(await holder.file, this.#extents.end);
      await listed();
    } finally {
      this.#held = null;
      this.#file = null;
      this.#open.release(holder);
    }
  }

  async #cut(file: PayloadFile, bytes: number): Promise<void> {
    this.#extents.resized(bytes);
    try {
      await file.truncate(bytes);
      await this.#flush(file);
    } catch (error) {
      this.#place.failed(error);
      throw error;
    }
    this.#syncedBytes = bytes;
  }

  /** Gives the file back as it is. */
  release(): void {
    if (this.#held !== null) this.#open.release(this.#held);
    this.#held = null;
  }
}
