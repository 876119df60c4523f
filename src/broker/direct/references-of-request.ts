import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { OF_SAME_BATCH_SIZE } from '../../protocol/records/payload-reference.ts';
import { decodeWithClaim, type SignedReference } from '../../protocol/records/signed-reference.ts';
import type { ReferenceKeys } from './reference-keys.ts';

/**
 * The references of one request, in their order. One of the batch of that before it may be no more than what the two differ in (`copyOfSameBatch`): the claim
 * was checked then, and gives access to the whole extent.
 */
export class ReferencesOfRequest {
  readonly #keys: ReferenceKeys;
  readonly #principal: string;
  /** The last whole one, or why it was refused. */
  #whole: SignedReference | null = null;
  #refusal: unknown = null;

  constructor(keys: ReferenceKeys, principal: string) {
    this.#keys = keys;
    this.#principal = principal;
  }

  /** Those of one batch, one after the other, have one object as their claim. @throws ReferenceRefused, or ApiError when it is none */
  next(bytes: Uint8Array): SignedReference {
    if (bytes.byteLength !== OF_SAME_BATCH_SIZE) return this.#verify(bytes);
    if (this.#whole === null) throw this.#refusal ?? noneBefore();
    return decodeWithClaim(bytes, this.#whole);
  }

  #verify(bytes: Uint8Array): SignedReference {
    this.#whole = null;
    try {
      this.#whole = this.#keys.verify(bytes, this.#principal);
      return this.#whole;
    } catch (error) {
      this.#refusal = error;
      throw error;
    }
  }
}

function noneBefore(): ApiError {
  return new ApiError(ErrorCode.INVALID_REQUEST, 'The first reference of a request must be whole');
}
