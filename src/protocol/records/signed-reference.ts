import { ApiError, ErrorCode } from '../errors.ts';
import type { Uuid } from '../wire/types.ts';
import {
  decodeOfSameBatch,
  decodePayloadReference,
  PAYLOAD_REFERENCE_SIZE,
  type PayloadReference,
} from './payload-reference.ts';

/** Bytes that direct listeners append to a payload reference. */
export const CLAIM_SIZE = 80;
/** Bytes of a value as direct listeners return it for a record whose data lies in the payload tier. */
export const SIGNED_REFERENCE_SIZE = PAYLOAD_REFERENCE_SIZE + CLAIM_SIZE;
const SIGNATURE_SIZE = 32;
const SIGNATURE_AT = CLAIM_SIZE - SIGNATURE_SIZE;
/** What references of one batch have in common. */
const COMMON: readonly (readonly [start: number, end: number])[] = [
  [0, 36],
  [48, 52],
  [56, 60],
  [PAYLOAD_REFERENCE_SIZE, SIGNED_REFERENCE_SIZE],
];

/**
 * What makes a reference usable outside the log: whose extent it points into, for how long, and the signature of the gateway that says so.
 * All records of a batch share one, since they point into one extent: what it lets the holder read is that extent.
 */
export interface ReferenceClaim {
  readonly topicId: Uuid;
  readonly partition: number;
  /** CRC-32C of the batch's header as it was produced, from the attributes on: the extent's own check continues it. */
  readonly headerCrc: number;
  readonly baseOffset: bigint;
  /** Milliseconds since the epoch. */
  readonly expiresMs: number;
  /** Which of the gateway's keys has signed. */
  readonly keyId: number;
}

/** The claim, without its signature: the last 32 bytes are zero. */
export function encodeClaim(claim: ReferenceClaim): Uint8Array {
  const bytes = Buffer.alloc(CLAIM_SIZE);
  bytes.set(Buffer.from(claim.topicId, 'base64url'), 0);
  bytes.writeInt32BE(claim.partition, 16);
  bytes.writeUInt32BE(claim.headerCrc, 20);
  bytes.writeBigInt64BE(claim.baseOffset, 24);
  bytes.writeBigInt64BE(BigInt(claim.expiresMs), 32);
  bytes.writeUInt32BE(claim.keyId, 40);
  return bytes;
}

export interface SignedReference {
  readonly reference: PayloadReference;
  readonly claim: ReferenceClaim;
  readonly signature: Uint8Array;
}

/** @throws ApiError KAFKA_STORAGE_ERROR if the bytes are no signed reference. The signature is not checked. */
export function decodeSignedReference(bytes: Uint8Array): SignedReference {
  if (bytes.byteLength !== SIGNED_REFERENCE_SIZE)
    throw new ApiError(
      ErrorCode.KAFKA_STORAGE_ERROR,
      `${bytes.byteLength} bytes are no signed reference: it has ${SIGNED_REFERENCE_SIZE}`,
    );
  const reference = decodePayloadReference(bytes);
  const claim = Buffer.from(bytes.buffer, bytes.byteOffset + PAYLOAD_REFERENCE_SIZE, CLAIM_SIZE);
  return {
    reference,
    claim: {
      topicId: claim.toString('base64url', 0, 16),
      partition: claim.readInt32BE(16),
      headerCrc: claim.readUInt32BE(20),
      baseOffset: claim.readBigInt64BE(24),
      expiresMs: Number(claim.readBigInt64BE(32)),
      keyId: claim.readUInt32BE(40),
    },
    signature: claim.subarray(SIGNATURE_AT),
  };
}

/** Whether two signed references are of the same batch, with the same claim. */
export function areOfOneClaim(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== SIGNED_REFERENCE_SIZE || b.byteLength !== SIGNED_REFERENCE_SIZE) return false;
  for (const [start, end] of COMMON) for (let i = start; i < end; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** As `decodeSignedReference`, for one that has its claim in common with one that was decoded; see decodeOfSameBatch. */
export function decodeWithClaim(bytes: Uint8Array, other: SignedReference): SignedReference {
  const { claim, signature } = other;
  return { reference: decodeOfSameBatch(bytes, other.reference), claim, signature };
}
