import { claimReferences, crc32c } from '../../native/batch.ts';
import { BatchHeader, CRC_COVERS_FROM } from '../../protocol/records/batch-header.ts';
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
const GROWTH = CLAIM_SIZE + LENGTH_GROWTH;

/**
 * Reference batches as direct listeners return them: each reference with a claim behind it, lengths and CRC to match. What is no
 * reference (a tombstone) stays as it is.
 * @param bytes whole reference batches, one behind the other
 */
export function signBatches(bytes: Uint8Array, context: SigningContext): Uint8Array {
  // One piece of memory for all: what lies outside V8's heap has it collected, as often as there is much of it.
  const out = Buffer.allocUnsafe(bytes.byteLength + referencesIn(bytes) * GROWTH);
  let to = 0;
  for (let at = 0; at < bytes.byteLength; ) {
    const size = new BatchHeader(bytes, at).sizeInBytes;
    to += signBatch(bytes, at, size, out, to, context);
    at += size;
  }
  return out.subarray(0, to);
}

/** At most. */
function referencesIn(bytes: Uint8Array): number {
  let references = 0;
  for (let at = 0; at < bytes.byteLength; ) {
    const { recordCount, sizeInBytes } = new BatchHeader(bytes, at);
    references += Math.min(recordCount, Math.ceil(sizeInBytes / PAYLOAD_REFERENCE_SIZE));
    at += sizeInBytes;
  }
  return references;
}

/** Returns the size of the batch that it writes. */
function signBatch(
  bytes: Uint8Array,
  at: number,
  size: number,
  out: Buffer,
  to: number,
  context: SigningContext,
): number {
  const batch = bytes.subarray(at, at + size);
  const first = findReference(batch);
  if (first < 0) {
    out.set(batch, to);
    return size;
  }
  const claim = claimOf(batch, batch.subarray(first, first + PAYLOAD_REFERENCE_SIZE), context);
  const signed = claimReferences(bytes, at, size, claim, out, to);
  if (signed === 0) throw new Error('a damaged reference batch');
  return signed;
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
