import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { PAYLOAD_REFERENCE_SIZE } from '../../protocol/records/payload-reference.ts';
import {
  areOfOneClaim,
  decodeSignedReference,
  decodeWithClaim,
  type SignedReference,
  setSignature,
  signedParts,
} from '../../protocol/records/signed-reference.ts';
import type { Clock } from '../../util/clock.ts';

const KEY_BYTES = 32;
/** So many signatures are remembered: references of one batch share theirs, and many clients fetch the same batches. */
const REMEMBERED_MAX = 1024;
/** References of one such part of their life expire together, so that what is signed is the same. */
const EXPIRIES_PER_LIFE = 16;

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
  /** What each signature was right for, by the signature. */
  readonly #right = new Map<string, { readonly parts: Buffer; readonly principal: string }>();
  /** The last that was right: the next is mostly of the same batch. */
  #last: { readonly bytes: Uint8Array; readonly principal: string; readonly signed: SignedReference } | null =
    null;
  /** Signatures by what was signed. */
  readonly #made = new Map<string, Buffer>();

  constructor(ttlMs: number, clock: Clock) {
    this.#ttlMs = ttlMs;
    this.#clock = clock;
  }

  /** When a reference that is signed now expires, and with which key; to be put into the claim. */
  begin(): { expiresMs: number; keyId: number } {
    const step = Math.ceil(this.#ttlMs / EXPIRIES_PER_LIFE);
    const expiresMs = Math.floor((this.#clock.now() + this.#ttlMs) / step) * step;
    return { expiresMs, keyId: this.#current().id };
  }

  /** Signs a claim of `begin` in place, for any record of the reference's batch. */
  sign(reference: Uint8Array, claim: Uint8Array, keyId: number, principal: string): void {
    const key = this.#keys.find(({ id }) => id === keyId);
    if (key === undefined) throw new Error('the key has been retired');
    const parts = Buffer.concat(signedParts(reference, claim));
    const name = `${parts.toString('latin1')}${principal}`;
    let signature = this.#made.get(name);
    if (signature === undefined) {
      signature = hmac(key, parts, principal);
      remember(this.#made, name, signature);
      // Whoever fetches it will mostly use it soon.
      remember(this.#right, signature.toString('latin1'), { parts, principal });
    }
    setSignature(claim, signature);
  }

  /** References of one batch, one after the other, have one object as their claim. @throws ReferenceRefused */
  verify(bytes: Uint8Array, principal: string): SignedReference {
    const last = this.#last;
    const isKnown = last !== null && last.principal === principal && areOfOneClaim(bytes, last.bytes);
    // What is kept must not lie in the memory of a request.
    const own = isKnown ? last.bytes : Uint8Array.from(bytes);
    const signed = isKnown ? decodeWithClaim(bytes, last.signed) : decodeSignedReference(own);
    const key = this.#keys.find(({ id }) => id === signed.claim.keyId);
    // Also when the gateway was started again: to the client it is the same.
    if (key === undefined)
      throw new ReferenceRefused('expired', 'The reference was signed with a key that is no longer valid');
    if (!isKnown) {
      if (!this.#isRight(key, bytes, signed.signature, principal))
        throw new ReferenceRefused('forged', 'The signature of the reference is not right for this client');
      this.#last = { bytes: own, principal, signed };
    }
    if (signed.claim.expiresMs < this.#clock.now())
      throw new ReferenceRefused('expired', 'The reference has expired (payload.reference.ttl.ms)');
    return signed;
  }

  #isRight(key: Key, bytes: Uint8Array, signature: Uint8Array, principal: string): boolean {
    const parts = Buffer.concat(signedParts(bytes, bytes.subarray(PAYLOAD_REFERENCE_SIZE)));
    const name = Buffer.from(signature.buffer, signature.byteOffset, signature.byteLength).toString('latin1');
    const known = this.#right.get(name);
    if (known !== undefined && known.principal === principal && known.parts.equals(parts)) return true;
    if (!timingSafeEqual(hmac(key, parts, principal), signature)) return false;
    remember(this.#right, name, { parts, principal });
    return true;
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

/** The oldest is forgotten. */
function remember<T>(known: Map<string, T>, name: string, value: T): void {
  if (known.has(name)) return;
  if (known.size >= REMEMBERED_MAX) known.delete(known.keys().next().value!);
  known.set(name, value);
}

function hmac({ secret }: Key, parts: Buffer, principal: string): Buffer {
  return createHmac('sha256', secret).update(parts).update(principal).digest();
}
