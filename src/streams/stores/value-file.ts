import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import type { Held } from './value-storage.ts';

const TAIL_BYTES = 1 << 20;

/** A file of values, which is written in pieces of a mebibyte. It is removed when it is closed. */
export class ValueFile {
  /** The values in it that are not released. */
  readonly live = new Set<Held>();
  readonly #path: string;
  readonly #file: number;
  #written = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #liveBytes = 0;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'w+');
  }

  get bytes(): number {
    return this.#written + this.#tailBytes;
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Takes a value, which stays the caller's, and is `held`'s from now on. */
  append(value: Buffer, held: Held): void {
    held.file = this;
    held.position = this.bytes;
    this.live.add(held);
    this.#liveBytes += held.length;
    this.#tail.push(Buffer.from(value));
    this.#tailBytes += value.length;
    if (this.#tailBytes >= TAIL_BYTES) this.#flush();
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#tail);
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#file, bytes, done, bytes.length - done, this.#written + done);
    this.#written += bytes.length;
    this.#tail = [];
    this.#tailBytes = 0;
  }

  read({ position, length }: Held): Buffer {
    if (position + length > this.#written) this.#flush();
    const value = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const got = readSync(this.#file, value, done, length - done, position + done);
      if (got === 0) throw new Error('a file of state has been cut short by somebody else');
      done += got;
    }
    return value;
  }

  release(held: Held): void {
    if (this.live.delete(held)) this.#liveBytes -= held.length;
  }

  close(): void {
    closeSync(this.#file);
    rmSync(this.#path, { force: true });
    this.live.clear();
  }
}
