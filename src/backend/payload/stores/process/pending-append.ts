import type { NativeMemory } from '../../../../native/arena.ts';
import type { Ending } from '../../../../native/completions.ts';
import { MemoryPiece } from '../../../../native/pieces.ts';
import type { AppendPiece, AppendSource } from './stored-file-parts.ts';
import type { Step } from './turns.ts';

/** What a file does for the pieces that are put to its end. */
export interface PieceTaker {
  /** @throws StoreError when it takes nothing more */
  assertTakes(): void;
  /** Makes it able to `put` something at a position; null: it is. May throw. */
  prepare(position: number): Promise<void> | null;
  /** Puts a piece there, and notes it. Null: it has it already. May throw. */
  put(position: number, piece: MemoryPiece, crc: number, fromMemory: boolean): Promise<unknown> | null;
  /** It has all up to there for sure. */
  has(end: number): void;
  failed(error: Error): void;
  /** Pieces that have become ready may have their turn. */
  advance(): void;
  /** Something waits until the file has it; never rejected. */
  waits(ended: Promise<void>): void;
}

/** An append whose pieces are on their way: told once all have ended, of the first that failed if one did. */
export class PendingAppend {
  #left: number;
  #error: Error | null = null;
  readonly #ended: (error: Error | null) => void;

  constructor(pieces: number, ended: (error: Error | null) => void) {
    this.#left = pieces;
    this.#ended = ended;
    if (pieces === 0) ended(null);
  }

  pieceEnded(error: Error | null): void {
    this.#error ??= error;
    if (--this.#left === 0) this.#ended(this.#error);
  }
}

/** A piece of an append: gets memory, is filled, has its turn, and ends when the file has it. */
export class PendingPiece implements Step, Ending<number> {
  isReady = false;
  readonly #at: number;
  readonly #from: number;
  readonly #length: number;
  readonly #offset: number;
  readonly #source: AppendSource;
  readonly #file: PieceTaker;
  readonly #append: PendingAppend;
  #memory: NativeMemory | null = null;
  #crc = 0;
  #error: Error | null = null;

  constructor(range: AppendPiece, source: AppendSource, file: PieceTaker, append: PendingAppend) {
    this.#at = range.at;
    this.#from = range.from;
    this.#length = range.length;
    this.#offset = range.offset;
    this.#source = source;
    this.#file = file;
    this.#append = append;
  }

  get #memoryBytes(): number {
    return this.#offset + this.#length;
  }

  allocate(): NativeMemory | Promise<NativeMemory> {
    this.#file.assertTakes();
    return this.#source.allocate(this.#memoryBytes);
  }

  /** Its memory, which it has from now on. */
  fill(memory: NativeMemory): void {
    this.#memory = memory;
    try {
      this.#source.fill(memory, this.#offset, this.#from, this.#length, this);
    } catch (error) {
      this.reject(error as Error);
    }
  }

  /** It is filled. */
  resolve(crc: number): void {
    this.#crc = crc;
    this.isReady = true;
    this.#file.advance();
  }

  /** It has no memory, or could not be filled. */
  reject(error: Error): void {
    this.#error = error;
    if (this.#memory !== null) {
      this.#memory.release();
      this.#memory = null;
      this.#source.freed(this.#memoryBytes);
    }
    this.isReady = true;
    this.#file.advance();
  }

  take(): Promise<void> | null {
    if (this.#memory === null) {
      this.#failed(this.#error!);
      return null;
    }
    try {
      this.#file.assertTakes();
      const preparing = this.#file.prepare(this.#at);
      if (preparing !== null)
        return preparing.then(
          () => this.#hand(),
          (error: Error) => this.#drop(error),
        );
    } catch (error) {
      this.#drop(error as Error);
      return null;
    }
    this.#hand();
    return null;
  }

  #drop(error: Error): void {
    this.#memory!.release();
    this.#source.freed(this.#memoryBytes);
    this.#failed(error);
  }

  #hand(): void {
    const memory = this.#memory!;
    let passed: Promise<void> | undefined;
    let putting: Promise<unknown> | null = null;
    let error: Error | null = null;
    try {
      passed = this.#source.pass?.(memory, this.#offset, this.#from, this.#length);
      const piece = new MemoryPiece(memory, this.#offset, this.#length);
      putting = this.#file.put(this.#at, piece, this.#crc, this.#source.fromMemory);
    } catch (thrown) {
      error = thrown as Error;
    }
    memory.release();
    if (putting === null && passed === undefined) this.#source.freed(this.#memoryBytes);
    else void Promise.allSettled([putting, passed]).then(() => this.#source.freed(this.#memoryBytes));
    if (putting !== null)
      this.#file.waits(
        putting.then(
          () => this.#done(),
          (thrown: Error) => this.#failed(thrown),
        ),
      );
    else if (error !== null) this.#failed(error);
    else this.#done();
  }

  #done(): void {
    this.#file.has(this.#at + this.#length);
    this.#append.pieceEnded(null);
  }

  #failed(error: Error): void {
    this.#file.failed(error);
    this.#append.pieceEnded(error);
  }
}
