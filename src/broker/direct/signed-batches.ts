import { signReferences } from '../../native/batch.ts';
import { encodeClaim } from '../../protocol/records/signed-reference.ts';
import type { Uuid } from '../../protocol/wire/types.ts';
import type { ReferenceKeys } from './reference-keys.ts';

/** For whom references are signed, and what they point into. */
export interface SigningContext {
  readonly keys: ReferenceKeys;
  readonly principal: string;
  readonly topicId: Uuid;
  readonly partition: number;
}

/**
 * Reference batches as direct listeners return them: each reference with a claim behind it, lengths and CRC to match. What is no
 * reference (a tombstone) stays as it is.
 * @param bytes whole reference batches, one behind the other
 */
export function signBatches(
  bytes: Uint8Array,
  { keys, principal, topicId, partition }: SigningContext,
): Uint8Array {
  const { expiresMs, keyId, secret } = keys.begin();
  // What differs between batches is filled in where they are signed.
  const claim = encodeClaim({ topicId, partition, headerCrc: 0, baseOffset: 0n, expiresMs, keyId });
  return signReferences(bytes, claim, { secret, principal: Buffer.from(principal) });
}
