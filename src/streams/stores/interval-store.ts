import type { ChangeListener } from './key-value-store.ts';
import type { Held, MemoryBudget, ValueStorage } from './value-storage.ts';

const ENTRY_BYTES = 160;
const SUFFIX_BYTES = 16;

/** An entry: of a window `tag` is 0; of a record that waits to be joined it tells records of one time apart; of a session it is its end. */
export interface Interval {
  readonly start: number;
  readonly tag: number;
  readonly value: Buffer;
  readonly timestamp: number;
}

interface Entry {
  readonly start: number;
  readonly tag: number;
  readonly timestamp: number;
  readonly held: Held;
}

export interface IntervalStoreOptions {
  /** How long entries are kept, by stream time: after their start, or after their tag if they are sessions. */
  readonly retentionMs: number;
  readonly expireBy: 'start' | 'tag';
}

/** Values by key and start, in order of the start within a key; they expire by segments of time. */
export class IntervalStore {
  readonly #name: string;
  readonly #options: IntervalStoreOptions;
  readonly #values: ValueStorage;
  readonly #budget: MemoryBudget;
  readonly #changed: ChangeListener;
  readonly #byKey = new Map<string, Entry[]>();
  /** Keys that have entries that expire in a segment. */
  readonly #segments = new Map<number, Set<string>>();
  readonly #segmentMs: number;
  #firstSegment = Number.POSITIVE_INFINITY;
  #size = 0;
  #nextTag = 0;

  constructor(
    name: string,
    options: IntervalStoreOptions,
    values: ValueStorage,
    budget: MemoryBudget,
    changed: ChangeListener,
  ) {
    this.#name = name;
    this.#options = options;
    this.#values = values;
    this.#budget = budget;
    this.#changed = changed;
    this.#segmentMs = Math.max(1, Math.ceil(options.retentionMs / 4));
  }

  get size(): number {
    return this.#size;
  }

  /** A tag that no entry has yet. */
  nextTag(): number {
    return this.#nextTag++;
  }

  get(key: Buffer, start: number, tag = 0): Interval | null {
    const entries = this.#byKey.get(key.toString('latin1'));
    if (entries === undefined) return null;
    const at = position(entries, start, tag);
    const found = entries[at];
    return found !== undefined && found.start === start && found.tag === tag ? this.#read(found) : null;
  }

  /** Entries of a key that start within the range, both ends included, in order. */
  fetch(key: Buffer, from: number, to: number): Interval[] {
    const entries = this.#byKey.get(key.toString('latin1'));
    if (entries === undefined) return [];
    const found: Interval[] = [];
    for (let at = position(entries, from, Number.NEGATIVE_INFINITY); at < entries.length; at++) {
      const entry = entries[at]!;
      if (entry.start > to) break;
      found.push(this.#read(entry));
    }
    return found;
  }

  #read({ start, tag, timestamp, held }: Entry): Interval {
    return { start, tag, timestamp, value: this.#values.read(held) };
  }

  /** Null deletes. @throws StreamsError STORE_FULL */
  put(key: Buffer, start: number, tag: number, value: Buffer | null, timestamp: number): void {
    this.#set(key.toString('latin1'), start, tag, value, timestamp);
    this.#changed(changelogKey(key, start, tag), value, timestamp);
  }

  /** What the changelog has. @throws when the key is too short to be one of this store */
  restore(written: Buffer, value: Buffer | null, timestamp: number): void {
    const split = written.length - SUFFIX_BYTES;
    if (split < 0) throw new Error(`a key of ${written.length} bytes is none of store ${this.#name}`);
    const start = Number(written.readBigInt64BE(split));
    const tag = Number(written.readBigInt64BE(split + 8));
    if (this.#options.expireBy === 'start') this.#nextTag = Math.max(this.#nextTag, tag + 1);
    this.#set(written.subarray(0, split).toString('latin1'), start, tag, value, timestamp);
  }

  #set(key: string, start: number, tag: number, value: Buffer | null, timestamp: number): void {
    let entries = this.#byKey.get(key);
    const at = entries === undefined ? 0 : position(entries, start, tag);
    const before = entries?.[at];
    const replaces = before !== undefined && before.start === start && before.tag === tag;
    if (value === null) {
      if (!replaces) return;
      entries!.splice(at, 1);
      this.#forget(key, before);
      this.#leave(this.#segmentOf(before), key, entries!);
      if (entries!.length === 0) this.#byKey.delete(key);
      return;
    }
    if (!replaces) this.#budget.take(ENTRY_BYTES + key.length, this.#name);
    const entry: Entry = { start, tag, timestamp, held: this.#values.hold(value) };
    if (replaces) {
      this.#values.release(before.held);
      entries![at] = entry;
      return;
    }
    if (entries === undefined) {
      entries = [];
      this.#byKey.set(key, entries);
    }
    entries.splice(at, 0, entry);
    this.#size++;
    const segment = this.#segmentOf(entry);
    let keys = this.#segments.get(segment);
    if (keys === undefined) {
      keys = new Set();
      this.#segments.set(segment, keys);
    }
    keys.add(key);
    this.#firstSegment = Math.min(this.#firstSegment, segment);
  }

  #expiry({ start, tag }: Entry): number {
    return (this.#options.expireBy === 'start' ? start : tag) + this.#options.retentionMs;
  }

  #segmentOf(entry: Entry): number {
    return Math.floor(this.#expiry(entry) / this.#segmentMs);
  }

  /** A segment has the keys that have entries in it, and no more: a restore meets every one that there has been, and expires nothing. */
  #leave(segment: number, key: string, entries: readonly Entry[]): void {
    if (entries.some((entry) => this.#segmentOf(entry) === segment)) return;
    const keys = this.#segments.get(segment)!;
    keys.delete(key);
    if (keys.size === 0) this.#segments.delete(segment);
  }

  #forget(key: string, { held }: Entry): void {
    this.#size--;
    this.#budget.take(-ENTRY_BYTES - key.length, this.#name);
    this.#values.release(held);
  }

  /**
   * Drops what has expired, a whole segment at a time, from the changelog too: its topic's retention would go by the wall clock, and take
   * what is still needed when old records are processed again.
   */
  expire(streamTime: number): void {
    while (this.#segments.size > 0 && (this.#firstSegment + 1) * this.#segmentMs <= streamTime) {
      const keys = this.#segments.get(this.#firstSegment);
      if (keys === undefined) {
        this.#firstSegment = Math.min(...this.#segments.keys());
        continue;
      }
      this.#segments.delete(this.#firstSegment);
      const segment = this.#firstSegment++;
      for (const key of keys) {
        const entries = this.#byKey.get(key);
        if (entries === undefined) continue;
        const stay = entries.filter((entry) => this.#segmentOf(entry) !== segment);
        for (const entry of entries) {
          if (this.#segmentOf(entry) !== segment) continue;
          this.#forget(key, entry);
          this.#changed(changelogKey(Buffer.from(key, 'latin1'), entry.start, entry.tag), null, streamTime);
        }
        if (stay.length === 0) this.#byKey.delete(key);
        else this.#byKey.set(key, stay);
      }
    }
  }

  *entries(): Generator<[Buffer, Interval]> {
    for (const [key, entries] of this.#byKey)
      for (const entry of entries) yield [Buffer.from(key, 'latin1'), this.#read(entry)];
  }

  close(): void {
    for (const [key, entries] of this.#byKey) for (const entry of entries) this.#forget(key, entry);
    this.#byKey.clear();
    this.#segments.clear();
    this.#values.close();
  }
}

function changelogKey(key: Buffer, start: number, tag: number): Buffer {
  const suffix = Buffer.allocUnsafe(SUFFIX_BYTES);
  suffix.writeBigInt64BE(BigInt(start), 0);
  suffix.writeBigInt64BE(BigInt(tag), 8);
  return Buffer.concat([key, suffix]);
}

/** Of the first entry that is not before (start, tag). */
function position(entries: readonly Entry[], start: number, tag: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle]!;
    if (entry.start < start || (entry.start === start && entry.tag < tag)) low = middle + 1;
    else high = middle;
  }
  return low;
}
