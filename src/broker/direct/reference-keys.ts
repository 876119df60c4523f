import { randomBytes } from 'node:crypto';
import { isClaimRight } from '../../native/batch.ts';
import {
  areOfOneClaim,
  decodeSignedReference,
  decodeWithClaim,
  type SignedReference,
} from '../../protocol/records/signed-reference.ts';
import type { Clock } from '../../util/clock.ts';

const KEY_BYTES = 32;

interface Key {
  readonly id: number;
  readonly secret: Buffer;
  /** Signs until then. */
  readonly retiresMs: number;
}

/** A reference that must not be used; `reason` says why. */
export class ReferenceRefused extends Error {
  readonly reason: 'forged' | 'expired';

  constructor(reason: 'forged' | 'expired', message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Signs references and checks them: HMAC-SHA-256 over the reference, the topic, the expiry and the principal that fetched it. A key
 * signs for as long as a reference lives, and is kept for as long again, so that nothing becomes invalid by the change. Keys live in memory:
 * references of an earlier process are refused, and the client fetches the record again.
 */
export class ReferenceKeys {
  readonly #ttlMs: number;
  readonly #clock: Clock;
  #keys: Key[] = [];
  #nextId = randomBytes(4).readUInt32BE();
  /** The last that was right: the next is mostly of the same batch. */
  #last: { readonly bytes: Uint8Array; readonly principal: string; readonly signed: SignedReference } | null =
    null;

  constructor(ttlMs: number, clock: Clock) {
    this.#ttlMs = ttlMs;
    this.#clock = clock;
  }

  /** When a reference that is signed now expires, and the key that signs it. */
  begin(): { expiresMs: number; keyId: number; secret: Uint8Array } {
    const { id, secret } = this.#current();
    return { expiresMs: this.#clock.now() + this.#ttlMs, keyId: id, secret };
  }

  /** References of one batch, one after the other, have one object as their claim. @throws ReferenceRefused */
  verify(bytes: Uint8Array, principal: string): SignedReference {
    const last = this.#last;
    const isSame = last !== null && last.principal === principal && areOfOneClaim(bytes, last.bytes);
    const signed = isSame ? decodeWithClaim(bytes, last.signed) : this.#verifyClaim(bytes, principal);
    if (!this.#keys.some(({ id }) => id === signed.claim.keyId)) throw keyIsGone();
    if (signed.claim.expiresMs < this.#clock.now())
      throw new ReferenceRefused('expired', 'The reference has expired (payload.reference.ttl.ms)');
    return signed;
  }

  #verifyClaim(bytes: Uint8Array, principal: string): SignedReference {
    // What is kept must not lie in the memory of a request. A buffer from the pool brings V8 no memory of its own to collect.
    const own = Buffer.from(bytes);
    const signed = decodeSignedReference(own);
    const key = this.#keys.find(({ id }) => id === signed.claim.keyId);
    if (key === undefined) throw keyIsGone();
    if (!isClaimRight(own, { secret: key.secret, principal: Buffer.from(principal) }))
      throw new ReferenceRefused('forged', 'The signature of the reference is not right for this client');
    this.#last = { bytes: own, principal, signed };
    return signed;
  }

  #current(): Key {
    const now = this.#clock.now();
    const newest = this.#keys[this.#keys.length - 1];
    if (newest !== undefined && newest.retiresMs > now) return newest;
    this.#keys = this.#keys.filter(({ retiresMs }) => retiresMs + this.#ttlMs >= now);
    const key = { id: this.#nextId, secret: randomBytes(KEY_BYTES), retiresMs: now + this.#ttlMs };
    this.#nextId = (this.#nextId + 1) >>> 0;
    this.#keys.push(key);
    return key;
  }
}

/** Also when the gateway was started again: to the client it is the same. */
function keyIsGone(): ReferenceRefused {
  return new ReferenceRefused('expired', 'The reference was signed with a key that is no longer valid');
}
