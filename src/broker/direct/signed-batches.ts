import { crc32c } from '../../native/batch.ts';
import {
  BATCH_HEADER_SIZE,
  BatchHeader,
  CRC_COVERS_FROM,
  LOG_OVERHEAD,
} from '../../protocol/records/batch-header.ts';
import {
  decodePayloadReference,
  PAYLOAD_REFERENCE_SIZE,
  restoreBatchHeader,
} from '../../protocol/records/payload-reference.ts';
import { CLAIM_SIZE, encodeClaim } from '../../protocol/records/signed-reference.ts';
import type { Uuid } from '../../protocol/wire/types.ts';
import { findReference } from '../partitions/diverted-batch.ts';
import type { ReferenceKeys } from './reference-keys.ts';

/** For whom references are signed, and what they point into. */
export interface SigningContext {
  readonly keys: ReferenceKeys;
  readonly principal: string;
  readonly topicId: Uuid;
  readonly partition: number;
}

/** A record's length field may become longer by so much. */
const LENGTH_GROWTH = 2;

/**
 * Reference batches as direct listeners return them: each reference with a claim behind it, lengths and CRC to match. What is no
 * reference (a tombstone) stays as it is.
 * @param bytes whole reference batches, one behind the other
 */
export function signBatches(bytes: Uint8Array, context: SigningContext): Uint8Array {
  const signed: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const size = new BatchHeader(bytes, at).sizeInBytes;
    signed.push(signBatch(bytes.subarray(at, at + size), context));
    at += size;
  }
  return signed.length === 1 ? signed[0]! : Buffer.concat(signed);
}

function signBatch(batch: Uint8Array, context: SigningContext): Uint8Array {
  const first = findReference(batch);
  if (first < 0) return batch;
  const claim = claimOf(batch, batch.subarray(first, first + PAYLOAD_REFERENCE_SIZE), context);
  const header = new BatchHeader(batch);
  const out = Buffer.allocUnsafe(batch.byteLength + header.recordCount * (CLAIM_SIZE + LENGTH_GROWTH));
  out.set(batch.subarray(0, BATCH_HEADER_SIZE));
  const size = new RecordSigner(batch, out, claim).run();
  const bytes = out.subarray(0, size);
  const outHeader = new BatchHeader(bytes);
  outHeader.batchLength = size - LOG_OVERHEAD;
  outHeader.crc = crc32c(bytes.subarray(CRC_COVERS_FROM));
  return bytes;
}

function claimOf(batch: Uint8Array, reference: Uint8Array, context: SigningContext): Uint8Array {
  const { keys, principal, topicId, partition } = context;
  const original = restoreBatchHeader(batch, decodePayloadReference(reference));
  const { expiresMs, keyId } = keys.begin();
  const claim = encodeClaim({
    topicId,
    partition,
    headerCrc: crc32c(original.subarray(CRC_COVERS_FROM)),
    baseOffset: new BatchHeader(batch).baseOffset,
    expiresMs,
    keyId,
  });
  keys.sign(reference, claim, keyId, principal);
  return claim;
}

/** Copies the records of a batch, and puts the claim behind each reference. */
class RecordSigner {
  readonly #from: Uint8Array;
  readonly #to: Buffer;
  readonly #claim: Uint8Array;
  #at = BATCH_HEADER_SIZE;
  #out = BATCH_HEADER_SIZE;

  constructor(from: Uint8Array, to: Buffer, claim: Uint8Array) {
    this.#from = from;
    this.#to = to;
    this.#claim = claim;
  }

  /** Returns the size of the result. */
  run(): number {
    while (this.#at < this.#from.byteLength) this.#record();
    return this.#out;
  }

  #record(): void {
    const from = this.#from;
    const size = this.#varint();
    const body = this.#at;
    const end = body + size;
    if (size <= 0 || end > from.byteLength) throw new Error('a damaged reference batch');
    this.#at++; // attributes
    this.#varint(); // timestamp delta
    this.#varint(); // offset delta
    const keyLength = this.#varint();
    this.#at += Math.max(0, keyLength);
    const lengthAt = this.#at;
    const valueLength = this.#varint();
    const valueEnd = this.#at + PAYLOAD_REFERENCE_SIZE;
    if (valueLength !== PAYLOAD_REFERENCE_SIZE) {
      this.#put(size);
      this.#copy(body, end);
    } else {
      // Both lengths take two bytes.
      this.#put(size + CLAIM_SIZE);
      this.#copy(body, lengthAt);
      this.#put(PAYLOAD_REFERENCE_SIZE + CLAIM_SIZE);
      this.#copy(this.#at, valueEnd);
      this.#to.set(this.#claim, this.#out);
      this.#out += CLAIM_SIZE;
      this.#copy(valueEnd, end);
    }
    this.#at = end;
  }

  #copy(start: number, end: number): void {
    this.#to.set(this.#from.subarray(start, end), this.#out);
    this.#out += end - start;
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#from[this.#at++] ?? 0;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) break;
    }
    return (value >>> 1) ^ -(value & 1);
  }

  /** A varint of a number that is not negative. */
  #put(value: number): void {
    let rest = value * 2;
    while (rest > 0x7f) {
      this.#to[this.#out++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#to[this.#out++] = rest;
  }
}
