import { ApiError, ErrorCode } from '../protocol/errors.ts';
import type { RecordHeader } from '../protocol/records/builder.ts';
import { copyOfSameBatch, referencedValue } from '../protocol/records/payload-reference.ts';
import { SIGNED_REFERENCE_SIZE } from '../protocol/records/signed-reference.ts';
import { ProtocolError } from '../protocol/wire/errors.ts';
import { Reader } from '../protocol/wire/reader.ts';
import type { ArrivingExtent } from './arriving-data.ts';
import { METADATA_NAME } from './batch-encoder.ts';
import { copySelected, type Range } from './selection.ts';

/** Length, attributes, timestamp, offset, key, value and header count of one byte each. */
const MINIMUM_RECORD_SIZE = 7;
const NO_HEADERS: readonly RecordHeader[] = [];

/** What the records of a batch have in common. */
export interface RecordSection {
  /** The records, uncompressed: expanded when they are read first, which throws when that cannot be done. */
  readonly bytes: Buffer;
  /** As they were fetched. */
  readonly storedBytes: number;
  readonly count: number;
  readonly baseOffset: bigint;
  /** Milliseconds since the epoch. */
  readonly baseTimestamp: number;
  /** Of all records, where the log's time of appending counts; else null. */
  readonly appendTime: number | null;
  /** Whether values may be references. */
  readonly references: boolean;
  /** Which of the reference batches that were fetched together it is, from 0. */
  readonly extent: number;
  /** While its extent is about to be received: takes what is wanted of it. */
  arriving: ArrivingExtent | null;
}

/** A part of a section; a length below 0 is null. */
interface Part {
  readonly at: number;
  readonly length: number;
}

/**
 * A record that was fetched: where its parts are. Views of them are made when they are asked for, since most are not, and a view costs more than all the
 * rest.
 */
export class FetchedRecord {
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  /** Behind the first offset of the batch. */
  readonly offsetDelta: number;
  /** Of the data, where the value is a signed reference to it; null: the value is the data. */
  readonly referenced: number | null;
  readonly #valueAt: number;
  /** -1: null. */
  readonly valueLength: number;
  readonly #section: RecordSection;
  readonly #bytes: Buffer;
  readonly #keyAt: number;
  readonly #keyLength: number;
  readonly #headersAt: number;
  readonly #headers: number;
  /** -1: it has none. */
  #metadataAt = -1;
  #metadataLength = -1;

  /** Reads the next record. @throws ProtocolError, ApiError when it is none */
  constructor(reader: Reader, section: RecordSection) {
    this.#section = section;
    this.#bytes = section.bytes;
    const length = reader.varint();
    const end = reader.position + length;
    if (length < 0 || length > reader.remaining) throw invalid(`a record of ${length} bytes`);
    reader.int8(); // attributes: none is defined
    const timestampDelta = reader.varlongNumber();
    this.timestamp = section.appendTime ?? section.baseTimestamp + timestampDelta;
    this.offsetDelta = reader.varint();
    this.#keyLength = reader.varint();
    this.#keyAt = skip(reader, this.#keyLength);
    this.valueLength = reader.varint();
    this.#valueAt = skip(reader, this.valueLength);
    this.#headers = reader.varint();
    this.#headersAt = reader.position;
    this.#passHeaders(reader);
    if (reader.position !== end) throw invalid('a record differs from its length');
    this.referenced = section.references ? this.#referenced() : null;
  }

  get offset(): bigint {
    return this.#section.baseOffset + BigInt(this.offsetDelta);
  }

  get key(): Uint8Array | null {
    return this.#view(this.#keyAt, this.#keyLength);
  }

  get value(): Uint8Array | null {
    return this.#view(this.#valueAt, this.valueLength);
  }

  /** See RecordSection. */
  get arriving(): ArrivingExtent | null {
    return this.#section.arriving;
  }

  /** Where in the extent the data lies that the reference stands for. */
  get referencedOffset(): number {
    return referencedValue(this.#bytes, this.#valueAt).offset;
  }

  /** What its batch is known by: references of one have their claim in common. */
  get batch(): object {
    return this.#section;
  }

  /** CRC-32C of the data that the reference stands for. */
  get referencedCrc(): number {
    return referencedValue(this.#bytes, this.#valueAt).crc;
  }

  /** See copyOfSameBatch; of the reference. */
  copyOfSameBatch(to: Uint8Array, at: number): void {
    copyOfSameBatch(this.#bytes, this.#valueAt, to, at);
  }

  /** Copies parts of the value, which have to be inside. */
  copySelected(ranges: readonly Required<Range>[], target: Uint8Array): void {
    copySelected(this.#bytes, this.#valueAt, ranges, target);
  }

  /** Of the event, as its topic's serializer has written it; null for records of plain producers. */
  get metadata(): Uint8Array | null {
    return this.#view(this.#metadataAt, this.#metadataLength);
  }

  /** Its text, where it is one: a view of it would take longer. */
  get metadataText(): string | null {
    const at = this.#metadataAt;
    return this.#metadataLength < 0 ? null : this.#bytes.toString('utf8', at, at + this.#metadataLength);
  }

  /** All but the metadata. */
  get headers(): readonly RecordHeader[] {
    if (this.#headers === (this.#metadataAt < 0 ? 0 : 1)) return NO_HEADERS;
    const headers: RecordHeader[] = [];
    const reader = new Reader(this.#bytes, this.#headersAt);
    for (let i = 0; i < this.#headers; i++) {
      const { at, length } = part(reader);
      const value = part(reader);
      if (this.#isMetadata(at, length)) continue;
      const key = this.#bytes.toString('utf8', at, at + length);
      headers.push({ key, value: this.#view(value.at, value.length) });
    }
    return headers;
  }

  #view(at: number, length: number): Uint8Array | null {
    return length < 0 ? null : this.#bytes.subarray(at, at + length);
  }

  /** Checks the headers, and notes where the metadata is. */
  #passHeaders(reader: Reader): void {
    if (this.#headers < 0 || this.#headers * 2 > reader.remaining)
      throw invalid(`${this.#headers} record headers`);
    for (let i = 0; i < this.#headers; i++) {
      const keyLength = reader.varint();
      if (keyLength < 0) throw invalid('a record header without a key');
      const keyAt = reader.skip(keyLength);
      const length = reader.varint();
      const at = skip(reader, length);
      if (this.#metadataAt < 0 && this.#isMetadata(keyAt, keyLength)) {
        this.#metadataAt = at;
        this.#metadataLength = length;
      }
    }
  }

  #isMetadata(at: number, length: number): boolean {
    if (length !== METADATA_NAME.byteLength) return false;
    const bytes = this.#bytes;
    for (let i = 0; i < length; i++) if (bytes[at + i] !== METADATA_NAME[i]) return false;
    return true;
  }

  #referenced(): number | null {
    // Without a view of it: most are looked at for nothing else.
    if (this.valueLength !== SIGNED_REFERENCE_SIZE) return null;
    return referencedValue(this.#bytes, this.#valueAt).length;
  }
}

/** Reads the records of a section one by one, from an offset on: what nobody has got to yet is not made. */
export class SectionReader {
  readonly #section: RecordSection;
  readonly #reader: Reader;
  readonly #from: number;
  #left: number;

  /** @throws ApiError INVALID_RECORD if there can be no such section */
  constructor(section: RecordSection, offset: bigint) {
    const { bytes, count, baseOffset } = section;
    if (count < 0 || count * MINIMUM_RECORD_SIZE > bytes.byteLength)
      throw invalid(`${count} records in ${bytes.byteLength} bytes`);
    this.#section = section;
    this.#reader = new Reader(bytes);
    this.#from = Number(offset - baseOffset);
    this.#left = count;
  }

  /** The next record; null behind the last. @throws ApiError INVALID_RECORD if they do not fill the section exactly */
  next(): FetchedRecord | null {
    try {
      while (this.#left > 0) {
        const record = new FetchedRecord(this.#reader, this.#section);
        this.#left--;
        if (record.offsetDelta >= this.#from) return record;
      }
    } catch (error) {
      if (error instanceof ProtocolError) throw invalid(error.message);
      throw error;
    }
    if (this.#reader.remaining > 0) throw invalid(`${this.#reader.remaining} bytes after the last record`);
    return null;
  }
}

function part(reader: Reader): Part {
  const length = reader.varint();
  return { at: skip(reader, length), length };
}

function skip(reader: Reader, length: number): number {
  return length < 0 ? reader.position : reader.skip(length);
}

function invalid(what: string): ApiError {
  return new ApiError(ErrorCode.INVALID_RECORD, `Invalid record: ${what}`);
}
