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
 * Reads Kafka's primitive types from bytes that somebody else sent. Every length is checked against the bytes that are left
 * before anything is allocated; every fault is a ProtocolError.
 */
export class Reader {
  position: number;
  #elementsLeft: number;
  readonly #end: number;
  readonly #bytes: Buffer;
  readonly #view: DataView;

  /**
   * Reads `bytes` from `offset` to `end`; positions count from the start of `bytes`.
   * @param maxElements limit on the elements of all arrays together
   */
  constructor(bytes: Uint8Array, offset = 0, end = bytes.byteLength, maxElements = MAX_ELEMENTS) {
    if (offset < 0 || end > bytes.byteLength || offset > end)
      throw new ProtocolError(`bad range ${offset}-${end}`);
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = offset;
    this.#end = end;
    this.#elementsLeft = maxElements;
  }

  get remaining(): number {
    return this.#end - this.position;
  }

  bool(): boolean {
    return this.#bytes[this.#take(1)] !== 0;
  }

  int8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  int16(): number {
    return this.#view.getInt16(this.#take(2));
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4));
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.#take(8));
  }

  float64(): number {
    return this.#view.getFloat64(this.#take(8));
  }

  uuid(): Uuid {
    const at = this.#take(16);
    const view = this.#view;
    if ((view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8) | view.getInt32(at + 12)) === 0) {
      return ZERO_UUID;
    }
    return this.#bytes.toString('base64url', at, at + 16);
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
    return this.bytes();
  }

  nullableRecords(): Uint8Array | null {
    return this.nullableBytes();
  }

  compactRecords(): Uint8Array {
    return this.compactBytes();
  }

  compactNullableRecords(): Uint8Array | null {
    return this.compactNullableBytes();
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
    return this.#bytes.subarray(at, at + length);
  }

  /** Passes over the next `length` bytes. @returns where they begin */
  skip(length: number): number {
    if (length < 0) throw new ProtocolError(`length ${length}`);
    return this.#take(length);
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
    return length === 0 ? '' : this.#bytes.toString('utf8', at, at + length);
  }
}
