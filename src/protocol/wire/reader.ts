import { ProtocolError } from './errors.ts';
import { type Uuid, ZERO_UUID } from './types.ts';

/** Kafka's limit for strings, also where the length could be longer. */
const MAX_STRING_BYTES = 32767;

/**
 * Array elements that one message may hold. An element of two bytes may become an object of a hundred: without this limit a large
 * frame could take up all memory.
 */
const MAX_ELEMENTS = 1_000_000;

/**
 * For V8 all strings of one length are the same to a map from this length on: thousands of them would be compared each with each, over all
 * their bytes, which takes seconds.
 */
const UNHASHED_TEXT_BYTES = 16_384;
/** What each of them counts for among the elements: a thousand are the most. */
const UNHASHED_TEXT_ELEMENTS = 1_000;

/** Names come again and again: texts of up to so many bytes are found among those that were read before, which takes half of what it takes to make them anew. */
const KNOWN_TEXT_BYTES = 32;
/** A power of two. */
const KNOWN_TEXTS = 1024;
const HASHED_BYTES = 4;
/** Each where its hash puts it, in the place of the one that was there. */
const knownTexts: string[] = new Array<string>(KNOWN_TEXTS).fill('');

/**
 * Reads Kafka's primitive types from bytes that somebody else sent. Every length is checked against the bytes that are left
 * before anything is allocated; every fault is a ProtocolError.
 */
export class Reader {
  position: number;
  #elementsLeft: number;
  readonly #maxElements: number;
  readonly #end: number;
  /** Most messages are read by its elements alone: what else a Uint8Array has, and other views of its memory, take longer than a whole field (decision 68). */
  readonly #bytes: Uint8Array;
  #view: DataView | null = null;
  #buffer: Buffer | null = null;

  /**
   * Reads `bytes` from `offset` to `end`; positions count from the start of `bytes`.
   * @param maxElements limit on the elements of all arrays together
   */
  constructor(bytes: Uint8Array, offset = 0, end = bytes.length, maxElements = MAX_ELEMENTS) {
    if (offset < 0 || end > bytes.length || offset > end)
      throw new ProtocolError(`bad range ${offset}-${end}`);
    this.#bytes = bytes;
    this.position = offset;
    this.#end = end;
    this.#elementsLeft = maxElements;
    this.#maxElements = maxElements;
  }

  get remaining(): number {
    return this.#end - this.position;
  }

  /** Of all arrays that were read so far. */
  get elements(): number {
    return this.#maxElements - this.#elementsLeft;
  }

  bool(): boolean {
    return this.#bytes[this.#take(1)] !== 0;
  }

  int8(): number {
    return (this.#bytes[this.#take(1)]! << 24) >> 24;
  }

  int16(): number {
    return (this.uint16() << 16) >> 16;
  }

  uint16(): number {
    const at = this.#take(2);
    return (this.#bytes[at]! << 8) | this.#bytes[at + 1]!;
  }

  int32(): number {
    return this.#int32At(this.#take(4));
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  int64(): bigint {
    return this.#asView().getBigInt64(this.#take(8));
  }

  float64(): number {
    return this.#asView().getFloat64(this.#take(8));
  }

  uuid(): Uuid {
    const at = this.#take(16);
    if ((this.#int32At(at) | this.#int32At(at + 4) | this.#int32At(at + 8) | this.#int32At(at + 12)) === 0) {
      return ZERO_UUID;
    }
    return this.#asBuffer().toString('base64url', at, at + 16);
  }

  /** An unsigned varint of at most 32 bits. */
  uvarint(): number {
    let value = 0;
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = this.#bytes[this.#take(1)]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (shift === 28 && byte > 0x0f) break;
        return value >>> 0;
      }
    }
    throw new ProtocolError('varint is longer than 32 bits');
  }

  /** A zigzag varint of at most 32 bits. */
  varint(): number {
    const value = this.#short() ?? this.uvarint();
    return (value >>> 1) ^ -(value & 1);
  }

  /** A zigzag varint of at most 64 bits. */
  varlong(): bigint {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#bytes[this.#take(1)]!;
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt((low >>> 1) ^ -(low & 1));
    }
    let value = BigInt(low);
    for (let shift = 28n; shift <= 63n; shift += 7n) {
      const byte = this.#bytes[this.#take(1)]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (shift === 63n && byte > 1) break;
        return (value >> 1n) ^ -(value & 1n);
      }
    }
    throw new ProtocolError('varint is longer than 64 bits');
  }

  /** As varlong, exact below 2^52. */
  varlongNumber(): number {
    const short = this.#short();
    if (short !== null) return (short >>> 1) ^ -(short & 1);
    let value = 0;
    let weight = 1;
    // Of the first byte: the sum may have been rounded.
    const isNegative = (this.#bytes[this.position]! & 1) === 1;
    for (let length = 1; length <= 10; length++, weight *= 0x80) {
      const byte = this.#bytes[this.#take(1)]!;
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) {
        if (length === 10 && byte > 1) break;
        return isNegative ? -(value + 1) / 2 : value / 2;
      }
    }
    throw new ProtocolError('varint is longer than 64 bits');
  }

  string(): string {
    return this.#string(this.#notNull(this.int16()));
  }

  nullableString(): string | null {
    const length = this.int16();
    return length < 0 ? null : this.#string(length);
  }

  compactString(): string {
    return this.#string(this.#notNull(this.uvarint() - 1));
  }

  compactNullableString(): string | null {
    const length = this.uvarint() - 1;
    return length < 0 ? null : this.#string(length);
  }

  bytes(): Uint8Array {
    return this.view(this.#notNull(this.int32()));
  }

  nullableBytes(): Uint8Array | null {
    const length = this.int32();
    return length < 0 ? null : this.view(length);
  }

  compactBytes(): Uint8Array {
    return this.view(this.#notNull(this.uvarint() - 1));
  }

  compactNullableBytes(): Uint8Array | null {
    const length = this.uvarint() - 1;
    return length < 0 ? null : this.view(length);
  }

  records(): Uint8Array {
    return this.#records(this.#notNull(this.int32()));
  }

  nullableRecords(): Uint8Array | null {
    const length = this.int32();
    return length < 0 ? null : this.#records(length);
  }

  compactRecords(): Uint8Array {
    return this.#records(this.#notNull(this.uvarint() - 1));
  }

  compactNullableRecords(): Uint8Array | null {
    const length = this.uvarint() - 1;
    return length < 0 ? null : this.#records(length);
  }

  /** The number of elements of an array of which each takes at least `minimumSize` bytes. */
  arrayLength(minimumSize: number): number {
    return this.#count(this.#notNull(this.int32()), minimumSize);
  }

  /** As arrayLength, -1 if the array is null. */
  nullableArrayLength(minimumSize: number): number {
    const count = this.int32();
    return count < 0 ? -1 : this.#count(count, minimumSize);
  }

  compactArrayLength(minimumSize: number): number {
    return this.#count(this.#notNull(this.uvarint() - 1), minimumSize);
  }

  compactNullableArrayLength(minimumSize: number): number {
    const count = this.uvarint() - 1;
    return count < 0 ? -1 : this.#count(count, minimumSize);
  }

  /** The number of tagged fields that follow; each takes at least two bytes. */
  tagCount(): number {
    const count = this.uvarint();
    if (count * 2 > this.remaining) throw new ProtocolError(`${count} tags in ${this.remaining} bytes`);
    return count;
  }

  /** Reads the size of a tagged field. @returns the position at which the field ends */
  beginTag(): number {
    const size = this.uvarint();
    if (size > this.remaining)
      throw new ProtocolError(`tagged field of ${size} bytes, ${this.remaining} left`);
    return this.position + size;
  }

  /** Checks that a tagged field took exactly the size that it claimed. */
  endTag(end: number): void {
    if (this.position !== end) throw new ProtocolError('tagged field differs from its size');
  }

  /** Skips all tagged fields of a struct that knows none. */
  skipTags(): void {
    for (let tags = this.tagCount(); tags > 0; tags--) {
      this.uvarint();
      this.#take(this.uvarint());
    }
  }

  /** The next `length` bytes, not copied. */
  view(length: number): Uint8Array {
    if (length < 0) throw new ProtocolError(`length ${length}`);
    const at = this.#take(length);
    return this.#asBuffer().subarray(at, at + length);
  }

  /** Passes over the next `length` bytes. @returns where they begin */
  skip(length: number): number {
    if (length < 0) throw new ProtocolError(`length ${length}`);
    return this.#take(length);
  }

  #records(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  #int32At(at: number): number {
    const bytes = this.#bytes;
    return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
  }

  #asView(): DataView {
    this.#view ??= new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    return this.#view;
  }

  #asBuffer(): Buffer {
    this.#buffer ??= Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    return this.#buffer;
  }

  /** A varint of one byte, as most are; null where it is none. */
  #short(): number | null {
    if (this.position >= this.#end) return null;
    const byte = this.#bytes[this.position]!;
    if (byte >= 0x80) return null;
    this.position++;
    return byte;
  }

  #take(length: number): number {
    const at = this.position;
    if (length > this.#end - at) {
      throw new ProtocolError(`${length} bytes expected at ${at}, ${this.#end - at} left`);
    }
    this.position = at + length;
    return at;
  }

  #notNull(length: number): number {
    if (length < 0) throw new ProtocolError(`null (length ${length}) where none is allowed`);
    return length;
  }

  #count(count: number, minimumSize: number): number {
    if (count * minimumSize > this.remaining) {
      throw new ProtocolError(`${count} elements do not fit into ${this.remaining} bytes`);
    }
    this.#elementsLeft -= count;
    if (this.#elementsLeft < 0) throw new ProtocolError('too many array elements');
    return count;
  }

  #string(length: number): string {
    if (length > MAX_STRING_BYTES) throw new ProtocolError(`string of ${length} bytes`);
    const at = this.#take(length);
    if (length === 0) return '';
    const end = at + length;
    if (length > KNOWN_TEXT_BYTES) return this.#longText(at, end);
    const place = placeOf(this.#bytes, at, end);
    if (!isText(knownTexts[place]!, this.#bytes, at, end))
      knownTexts[place] = this.#asBuffer().toString('utf8', at, end);
    return knownTexts[place]!;
  }

  /** Answers repeat names: what is no UTF-8 grows when it is written again, each byte to the three of U+FFFD, and has to fit. */
  #longText(at: number, end: number): string {
    if (end - at >= UNHASHED_TEXT_BYTES) this.#elementsLeft -= UNHASHED_TEXT_ELEMENTS;
    if (this.#elementsLeft < 0) throw new ProtocolError('too many strings of 16 KiB and more');
    const text = this.#asBuffer().toString('utf8', at, end);
    if ((end - at) * 3 > MAX_STRING_BYTES && Buffer.byteLength(text) > MAX_STRING_BYTES)
      throw new ProtocolError(`string of ${end - at} bytes that are no UTF-8`);
    return text;
  }
}

/** By length, the first bytes and the last ones: names that differ mostly differ there. */
function placeOf(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  let hash = length;
  for (let i = length < HASHED_BYTES ? length : HASHED_BYTES; i > 0; i--)
    hash = (Math.imul(hash, 31) + bytes[end - i]! + Math.imul(bytes[start + i - 1]!, 7)) | 0;
  return (hash ^ (hash >>> 16)) & (KNOWN_TEXTS - 1);
}

/** Whether bytes are the text, which has to be ASCII. */
function isText(text: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte > 0x7f || text.charCodeAt(at - start) !== byte) return false;
  }
  return true;
}
