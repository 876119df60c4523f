import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { PAYLOAD_REFERENCE_SIZE } from '../../protocol/records/payload-reference.ts';
import {
  areOfOneClaim,
  claimName,
  decodeSignedReference,
  decodeWithClaim,
  SIGNED_REFERENCE_SIZE,
  type SignedReference,
  setSignature,
  signedPart,
} from '../../protocol/records/signed-reference.ts';
import type { Clock } from '../../util/clock.ts';

const KEY_BYTES = 32;
/** So many claims are remembered: references of one batch share theirs, and many clients fetch the same batches. */
const REMEMBERED_MAX = 8192;
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
  /** Claims whose signature was right, with the principal behind it, and a reference that had them; null before one was decoded. */
  readonly #right = new Map<string, SignedReference | null>();
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
    const part = signedPart(reference, claim);
    const name = part.toString('latin1') + principal;
    const known = this.#made.get(name);
    const signature = known ?? hmac(key, part, principal);
    setSignature(claim, signature);
    if (known !== undefined) return;
    remember(this.#made, name, signature);
    // Whoever fetches it will mostly use it soon.
    remember(this.#right, claimName(reference, claim) + principal, null);
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
    const isLongEnough = bytes.byteLength === SIGNED_REFERENCE_SIZE;
    const name = isLongEnough ? claimName(bytes, bytes, PAYLOAD_REFERENCE_SIZE) + principal : '';
    const known = this.#right.get(name);
    // What is kept must not lie in the memory of a request.
    const own = new Uint8Array(bytes);
    const signed = known ? decodeWithClaim(own, known) : decodeSignedReference(own);
    if (known === undefined) this.#checkSignature(own, signed, principal);
    if (!known) remember(this.#right, name, signed);
    this.#last = { bytes: own, principal, signed };
    return signed;
  }

  #checkSignature(bytes: Uint8Array, { claim, signature }: SignedReference, principal: string): void {
    const key = this.#keys.find(({ id }) => id === claim.keyId);
    if (key === undefined) throw keyIsGone();
    const part = signedPart(bytes, bytes, PAYLOAD_REFERENCE_SIZE);
    if (!timingSafeEqual(hmac(key, part, principal), signature))
      throw new ReferenceRefused('forged', 'The signature of the reference is not right for this client');
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

/** The oldest is forgotten. */
function remember<T>(known: Map<string, T>, name: string, value: T): void {
  if (!known.has(name) && known.size >= REMEMBERED_MAX) known.delete(known.keys().next().value!);
  known.set(name, value);
}

function hmac({ secret }: Key, parts: Buffer, principal: string): Buffer {
  return createHmac('sha256', secret).update(parts).update(principal).digest();
}
