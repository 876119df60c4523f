import { ProtocolError } from './errors.ts';
import { type Piece, type RecordsPayload, type Uuid, ZERO_UUID } from './types.ts';

const MAX_STRING_BYTES = 32767;

/** Records shorter than this are copied: another piece costs more. */
const COPY_BELOW_BYTES = 1024;

/** Up to this length a loop beats the call into the runtime. */
const SHORT_STRING_LENGTH = 24;

/** What a writer that makes one message after the other keeps. */
const KEPT_BYTES = 64 * 1024;

/**
 * Writes Kafka's primitive types. Bytes gather in one growing buffer; record payloads stay separate pieces, neither copied nor
 * looked at. A writer makes one message: after `finish` it must not be used again but for `restart`.
 */
export class Writer {
  #bytes: Buffer;
  #view: DataView;
  /** Of `#bytes`, whose own length takes a look-up (decision 68). */
  #capacity: number;
  #position = 0;
  /** Pieces that go between the buffer's bytes: each before the byte at its position. */
  #pieces: { at: number; piece: Piece }[] = [];
  #piecesLength = 0;

  constructor(capacity = 512) {
    this.#bytes = Buffer.allocUnsafe(capacity);
    this.#view = viewOf(this.#bytes);
    this.#capacity = capacity;
  }

  /** Begins another message in the same memory: what the last one consisted of must have been copied. */
  restart(): this {
    if (this.#capacity > KEPT_BYTES) this.#use(Buffer.allocUnsafe(KEPT_BYTES));
    this.#position = 0;
    this.#piecesLength = 0;
    if (this.#pieces.length > 0) this.#pieces = [];
    return this;
  }

  /** Bytes written so far, pieces included. */
  get length(): number {
    return this.#position + this.#piecesLength;
  }

  /** The message as pieces, in order. */
  finish(): Piece[] {
    const result: Piece[] = [];
    let from = 0;
    for (const { at, piece } of this.#pieces) {
      if (at > from) result.push(this.#part(from, at));
      result.push(piece);
      from = at;
    }
    if (this.#position > from) result.push(this.#part(from, this.#position));
    return result;
  }

  /** The message as one array. @throws ProtocolError if it holds a piece whose bytes are not known here */
  finishBytes(): Uint8Array {
    if (this.#pieces.length === 0) return this.#bytes.subarray(0, this.#position);
    return Buffer.concat(
      this.finish().map((piece) => {
        if (piece instanceof Uint8Array) return piece;
        throw new ProtocolError('a message with opaque pieces has no bytes');
      }),
    );
  }

  bool(value: boolean): void {
    this.#byte(value ? 1 : 0);
  }

  int8(value: number): void {
    const at = this.#grow(1);
    this.#view.setInt8(at, value);
  }

  int16(value: number): void {
    const at = this.#grow(2);
    this.#view.setInt16(at, value);
  }

  uint16(value: number): void {
    const at = this.#grow(2);
    this.#view.setUint16(at, value);
  }

  int32(value: number): void {
    const at = this.#grow(4);
    this.#view.setInt32(at, value);
  }

  /** Overwrites an int32 that was written at `at`, before any piece. */
  int32At(at: number, value: number): void {
    this.#view.setInt32(at, value);
  }

  uint32(value: number): void {
    const at = this.#grow(4);
    this.#view.setUint32(at, value);
  }

  int64(value: bigint): void {
    const at = this.#grow(8);
    this.#view.setBigInt64(at, value);
  }

  float64(value: number): void {
    const at = this.#grow(8);
    this.#view.setFloat64(at, value);
  }

  uuid(value: Uuid): void {
    const at = this.#grow(16);
    if (value === ZERO_UUID) {
      this.#bytes.fill(0, at, at + 16);
    } else if (value.length !== 22 || this.#bytes.write(value, at, 16, 'base64url') !== 16) {
      throw new ProtocolError(`not a uuid: ${value}`);
    }
  }

  /** An unsigned varint of at most 32 bits. */
  uvarint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.#byte(rest);
  }

  /** A zigzag varint of at most 32 bits. */
  varint(value: number): void {
    this.uvarint(((value << 1) ^ (value >> 31)) >>> 0);
  }

  /** A zigzag varint of at most 64 bits. */
  varlong(value: bigint): void {
    if (value >= -0x80000000n && value <= 0x7fffffffn) {
      this.varint(Number(value));
      return;
    }
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    while (rest > 0x7fn) {
      this.#byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.#byte(Number(rest));
  }

  string(value: string | null): void {
    const text = notNull(value);
    const at = this.#grow(2);
    const length = this.#text(text);
    this.#view.setInt16(at, length);
  }

  nullableString(value: string | null): void {
    if (value === null) this.int16(-1);
    else this.string(value);
  }

  compactString(value: string | null): void {
    const text = notNull(value);
    if (text.length <= SHORT_STRING_LENGTH) {
      // A short text's length takes one byte, whatever its characters (at most three bytes each).
      const at = this.#grow(1);
      const length = this.#text(text);
      this.#bytes[at] = length + 1;
      return;
    }
    this.uvarint(checkLength(Buffer.byteLength(text)) + 1);
    this.#text(text);
  }

  compactNullableString(value: string | null): void {
    if (value === null) this.uvarint(0);
    else this.compactString(value);
  }

  bytes(value: Uint8Array | null): void {
    const bytes = notNull(value);
    this.int32(bytes.byteLength);
    this.raw(bytes);
  }

  nullableBytes(value: Uint8Array | null): void {
    if (value === null) this.int32(-1);
    else this.bytes(value);
  }

  compactBytes(value: Uint8Array | null): void {
    const bytes = notNull(value);
    this.uvarint(bytes.byteLength + 1);
    this.raw(bytes);
  }

  compactNullableBytes(value: Uint8Array | null): void {
    if (value === null) this.uvarint(0);
    else this.compactBytes(value);
  }

  records(value: RecordsPayload): void {
    const payload = notNull(value);
    this.int32(payloadLength(payload));
    this.#payload(payload);
  }

  nullableRecords(value: RecordsPayload): void {
    if (value === null) this.int32(-1);
    else this.records(value);
  }

  compactRecords(value: RecordsPayload): void {
    const payload = notNull(value);
    this.uvarint(payloadLength(payload) + 1);
    this.#payload(payload);
  }

  compactNullableRecords(value: RecordsPayload): void {
    if (value === null) this.uvarint(0);
    else this.compactRecords(value);
  }

  arrayLength(items: readonly unknown[] | null): void {
    this.int32(notNull(items).length);
  }

  nullableArrayLength(items: readonly unknown[] | null): void {
    this.int32(items === null ? -1 : items.length);
  }

  compactArrayLength(items: readonly unknown[] | null): void {
    this.uvarint(notNull(items).length + 1);
  }

  compactNullableArrayLength(items: readonly unknown[] | null): void {
    this.uvarint(items === null ? 0 : items.length + 1);
  }

  /** Starts a tagged field. @returns what `endTag` needs */
  beginTag(tag: number): number {
    this.uvarint(tag);
    return this.#position;
  }

  /** Puts the size of the tagged field, known only now, in front of it. */
  endTag(start: number): void {
    const size = this.#position - start;
    let width = 1;
    for (let rest = size; rest > 0x7f; rest >>>= 7) width++;
    this.#grow(width);
    this.#bytes.copyWithin(start + width, start, start + size);
    this.#position = start;
    this.uvarint(size);
    this.#position = start + width + size;
  }

  /** Copies bytes as they are. */
  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.byteLength);
    this.#bytes.set(bytes, at);
  }

  #payload(payload: Uint8Array | readonly Piece[]): void {
    if (payload instanceof Uint8Array) this.#piece(payload);
    else for (const piece of payload) this.#piece(piece);
  }

  #piece(piece: Piece): void {
    if (piece instanceof Uint8Array && piece.byteLength < COPY_BELOW_BYTES) {
      this.raw(piece);
      return;
    }
    this.#pieces.push({ at: this.#position, piece });
    this.#piecesLength += piece.byteLength;
  }

  /** Writes the text as UTF-8. @returns its length in bytes */
  #text(text: string): number {
    const length = checkLength(text.length);
    // The loop may find a character that is not ASCII at the end: leave room for the longest encoding.
    const at = this.#position;
    this.#reserve(length * 3);
    const bytes = this.#bytes;
    if (length <= SHORT_STRING_LENGTH) {
      let i = 0;
      for (; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code > 0x7f) break;
        bytes[at + i] = code;
      }
      if (i === length) {
        this.#position = at + length;
        return length;
      }
    }
    const written = checkLength(bytes.write(text, at));
    this.#position = at + written;
    return written;
  }

  #byte(value: number): void {
    const at = this.#grow(1);
    this.#bytes[at] = value;
  }

  /** Makes room for `length` bytes. @returns their position */
  #grow(length: number): number {
    const at = this.#position;
    const end = at + length;
    if (end > this.#capacity) this.#reserve(length);
    this.#position = end;
    return at;
  }

  #reserve(length: number): void {
    const end = this.#position + length;
    if (end <= this.#capacity) return;
    const larger = Buffer.allocUnsafe(Math.max(end, this.#capacity * 2));
    this.#bytes.copy(larger, 0, 0, this.#position);
    this.#use(larger);
  }

  #use(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#capacity = bytes.byteLength;
  }

  #part(from: number, to: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + from, to - from);
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function notNull<T>(value: T | null): T {
  if (value === null) throw new ProtocolError('null where none is allowed');
  return value;
}

function checkLength(length: number): number {
  if (length > MAX_STRING_BYTES) throw new ProtocolError(`string of ${length} bytes`);
  return length;
}

function payloadLength(payload: Uint8Array | readonly Piece[]): number {
  if (payload instanceof Uint8Array) return payload.byteLength;
  let length = 0;
  for (const piece of payload) length += piece.byteLength;
  return length;
}
