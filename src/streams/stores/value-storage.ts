import { closeSync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { StreamsError } from '../errors.ts';

const TAIL_BYTES = 1 << 20;
const MIN_GARBAGE = 16 << 20;

/** What a store keeps of a value: the value itself, or its place in a file. */
export interface Held {
  readonly bytes: Buffer | null;
  position: number;
  readonly length: number;
}

/** Where values of a store lie. */
export interface ValueStorage {
  hold(value: Buffer): Held;
  /** The value's bytes, which must not be written to. */
  read(held: Held): Buffer;
  release(held: Held): void;
  close(): void;
}

/** What the state of an application may take in memory, over all its stores. */
export class MemoryBudget {
  readonly #limit: number;
  #used = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  get used(): number {
    return this.#used;
  }

  /** Adds bytes, or gives them back if negative. @throws StreamsError STORE_FULL */
  take(bytes: number, store: string): void {
    if (bytes > 0 && this.#used + bytes > this.#limit)
      throw new StreamsError(
        'STORE_FULL',
        `store ${store} would take the application's state above ${this.#limit} bytes of memory; raise ` +
          'stateMaxBytes, give stateDir so that values lie on disk, or run more instances',
      );
    this.#used += bytes;
  }
}

/** Values in memory. */
export class MemoryValues implements ValueStorage {
  readonly #budget: MemoryBudget;
  readonly #store: string;

  constructor(budget: MemoryBudget, store: string) {
    this.#budget = budget;
    this.#store = store;
  }

  hold(value: Buffer): Held {
    this.#budget.take(value.length, this.#store);
    // A copy: the value may be a small part of a large response, which it would keep in memory.
    return { bytes: Buffer.from(value), position: 0, length: value.length };
  }

  read(held: Held): Buffer {
    return held.bytes!;
  }

  release(held: Held): void {
    this.#budget.take(-held.length, this.#store);
  }

  close(): void {}
}

/**
 * Values in a file of one store, their places in memory. The file is made anew each time: what counts is the changelog. When more
 * than half of it is garbage, what lives is copied to a new one. Reads and writes are of the page cache, mostly; they block.
 */
export class FileValues implements ValueStorage {
  readonly #path: string;
  #file: number;
  #generation = 0;
  #flushed = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #live = new Set<Held>();
  #liveBytes = 0;

  constructor(path: string) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true });
    this.#file = openSync(this.#name(), 'w+');
  }

  #name(): string {
    return `${this.#path}.${this.#generation}`;
  }

  hold(value: Buffer): Held {
    const held: Held = { bytes: null, position: this.#append(value), length: value.length };
    this.#live.add(held);
    this.#liveBytes += value.length;
    if (this.#flushed > MIN_GARBAGE && this.#flushed > 2 * this.#liveBytes) this.#rewrite();
    return held;
  }

  #append(value: Buffer): number {
    const position = this.#flushed + this.#tailBytes;
    this.#tail.push(Buffer.from(value));
    this.#tailBytes += value.length;
    if (this.#tailBytes >= TAIL_BYTES) this.#flush();
    return position;
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#tail);
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#file, bytes, done, bytes.length - done, this.#flushed + done);
    this.#flushed += bytes.length;
    this.#tail = [];
    this.#tailBytes = 0;
  }

  read({ position, length }: Held): Buffer {
    if (position + length > this.#flushed) this.#flush();
    return readWhole(this.#file, position, length);
  }

  release(held: Held): void {
    if (this.#live.delete(held)) this.#liveBytes -= held.length;
  }

  #rewrite(): void {
    const old = { file: this.#file, name: this.#name() };
    const values = new Map([...this.#live].map((held) => [held, held.position] as const));
    this.#flush();
    this.#generation++;
    this.#file = openSync(this.#name(), 'w+');
    this.#flushed = 0;
    for (const [held, position] of values)
      held.position = this.#append(readWhole(old.file, position, held.length));
    closeSync(old.file);
    rmSync(old.name, { force: true });
  }

  close(): void {
    closeSync(this.#file);
    rmSync(this.#name(), { force: true });
    this.#live.clear();
  }
}

function readWhole(file: number, position: number, length: number): Buffer {
  const value = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const got = readSync(file, value, done, length - done, position + done);
    if (got === 0) throw new Error('a file of state has been cut short by somebody else');
    done += got;
  }
  return value;
}
