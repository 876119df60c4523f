import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { PAYLOAD_REFERENCE_SIZE } from '../../protocol/records/payload-reference.ts';
import {
  decodeSignedReference,
  type SignedReference,
  setSignature,
  signedParts,
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

  constructor(ttlMs: number, clock: Clock) {
    this.#ttlMs = ttlMs;
    this.#clock = clock;
  }

  /** When a reference that is signed now expires, and with which key; to be put into the claim. */
  begin(): { expiresMs: number; keyId: number } {
    return { expiresMs: this.#clock.now() + this.#ttlMs, keyId: this.#current().id };
  }

  /** Signs a claim of `begin` in place, for any record of the reference's batch. */
  sign(reference: Uint8Array, claim: Uint8Array, keyId: number, principal: string): void {
    const key = this.#keys.find(({ id }) => id === keyId);
    if (key === undefined) throw new Error('the key has been retired');
    setSignature(claim, hmac(key, reference, claim, principal));
  }

  /** @throws ReferenceRefused */
  verify(bytes: Uint8Array, principal: string): SignedReference {
    const signed = decodeSignedReference(bytes);
    const key = this.#keys.find(({ id }) => id === signed.claim.keyId);
    // Also when the gateway was started again: to the client it is the same.
    if (key === undefined)
      throw new ReferenceRefused('expired', 'The reference was signed with a key that is no longer valid');
    const claim = bytes.subarray(PAYLOAD_REFERENCE_SIZE);
    const expected = hmac(key, bytes, claim, principal);
    if (!timingSafeEqual(expected, signed.signature))
      throw new ReferenceRefused('forged', 'The signature of the reference is not right for this client');
    if (signed.claim.expiresMs < this.#clock.now())
      throw new ReferenceRefused('expired', 'The reference has expired (payload.reference.ttl.ms)');
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

function hmac({ secret }: Key, reference: Uint8Array, claim: Uint8Array, principal: string): Buffer {
  const mac = createHmac('sha256', secret);
  for (const part of signedParts(reference, claim)) mac.update(part);
  return mac.update(principal).digest();
}
