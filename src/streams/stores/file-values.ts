import { ValueFile } from './value-file.ts';
import type { Held, ValueStorage } from './value-storage.ts';

/** Smaller files are not worth writing again. */
const MIN_GARBAGE = 16 << 20;
/** What is moved to the new file for each byte that is added to it, and in any case. */
const MOVED_PER_BYTE = 2;
const MOVED_BYTES = 64 << 10;

/**
 * Values on disk, their places in memory. The files are made anew each time: what counts is the changelog. When more than half of a file is
 * garbage, what lives moves to a new one, a little with each value that is added. Operators read values without waiting for anything, so that
 * reads and writes block; they are of the page cache, mostly, and small.
 */
export class FileValues implements ValueStorage {
  readonly #path: string;
  #current: ValueFile;
  /** What lives in it is on its way to the current one. */
  #former: ValueFile | null = null;
  #generation = 0;

  /** @param path of its files; a number is added */
  constructor(path: string) {
    this.#path = path;
    this.#current = this.#open();
  }

  #open(): ValueFile {
    return new ValueFile(`${this.#path}.${this.#generation++}`);
  }

  hold(value: Buffer): Held {
    const held: Held = { bytes: null, file: null, position: 0, length: value.length };
    this.#current.append(value, held);
    const { bytes, liveBytes } = this.#current;
    if (this.#former === null && bytes > MIN_GARBAGE && bytes > 2 * liveBytes) {
      this.#former = this.#current;
      this.#current = this.#open();
    }
    if (this.#former !== null) this.#move(this.#former, MOVED_BYTES + MOVED_PER_BYTE * value.length);
    return held;
  }

  #move(former: ValueFile, bytes: number): void {
    let left = bytes;
    for (const held of former.live) {
      if (left <= 0) return;
      left -= held.length;
      const value = former.read(held);
      former.release(held);
      this.#current.append(value, held);
    }
    former.close();
    this.#former = null;
  }

  read(held: Held): Buffer {
    return held.file!.read(held);
  }

  release(held: Held): void {
    held.file!.release(held);
  }

  close(): void {
    this.#former?.close();
    this.#current.close();
  }
}
