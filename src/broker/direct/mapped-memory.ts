import { arenaStats, NativeMemory } from '../../native/arena.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { DirectPuts } from './direct-puts.ts';

/** All clients together hold no more than this share of the arena: others need it. */
const TOTAL_SHARE = 0.25;
const FIRST_LEASE = 1;
/** Requests say them in 32 bits. */
const LAST_LEASE = 2 ** 31 - 1;
/** The arena gives out whole ones. */
const GRANULE_BYTES = 4096;

export interface MappedLimits {
  /** `direct.mapped.max.bytes` */
  maxClientBytes: number;
}

interface Lease {
  readonly memory: NativeMemory;
  /** Where in the arena the block is that is kept because of it. */
  readonly pin: number;
  /** Whether the client may write to it. */
  readonly writable: boolean;
  /** See MappedSession.take. */
  isTaken: boolean;
}

/** The memory of the gateway that one client process holds mapped, until it lets go or has gone. */
export class MappedSession {
  /** The process, for the socket. */
  readonly peer: number;
  readonly #owner: MappedMemory;
  readonly #leases = new Map<number, Lease>();
  /** Leases of one block keep it once. */
  readonly #pins = new Map<number, { leases: number; readonly bytes: number }>();
  #nextLease: number;
  #bytes = 0;
  #ended = false;

  constructor(peer: number, owner: MappedMemory, nextLease = FIRST_LEASE) {
    this.peer = peer;
    this.#owner = owner;
    this.#nextLease = nextLease;
  }

  /** Bytes of the arena that cannot be used otherwise. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The process has let go of all, or has gone. */
  get ended(): boolean {
    return this.#ended;
  }

  /** @throws ApiError when so many more would exceed a limit */
  check(bytes: number): void {
    if (this.#ended) throw new ApiError(ErrorCode.INVALID_REQUEST, 'The client has let go of the memory');
    this.#owner.check(this.#bytes, granulesOf(bytes));
  }

  /**
   * Lends a range; takes over the memory, also when it throws. The whole block that it is of is kept, and counts, once for all leases of it.
   * @throws ApiError when that would exceed a limit
   */
  lend(memory: NativeMemory, writable: boolean): number {
    const { arenaOffset, byteLength } = memory.block;
    const pin = arenaOffset;
    const pinned = this.#pins.get(pin);
    const kept = granulesOf((arenaOffset % GRANULE_BYTES) + byteLength);
    try {
      this.check(pinned === undefined ? kept : 0);
    } catch (error) {
      memory.release();
      throw error;
    }
    if (pinned !== undefined) pinned.leases++;
    else {
      this.#pins.set(pin, { leases: 1, bytes: kept });
      this.#count(kept);
    }
    const lease = this.#newLease();
    this.#leases.set(lease, { memory, pin, writable, isTaken: false });
    return lease;
  }

  /** One may be held while so many others come and go that they begin again. */
  #newLease(): number {
    while (this.#leases.has(this.#nextLease)) this.#nextLease = leaseAfter(this.#nextLease);
    const lease = this.#nextLease;
    this.#nextLease = leaseAfter(lease);
    return lease;
  }

  /** What was allocated for the client to write to; null when it is not lent to it. */
  writable(lease: number): NativeMemory | null {
    const found = this.#leases.get(lease);
    return found?.writable ? found.memory : null;
  }

  /** Memory that the client has written a batch to, for the log to keep; null when it was taken before: the log may have it, whatever was answered. */
  take(lease: number): NativeMemory | null {
    const found = this.#leases.get(lease);
    if (!found?.writable || found.isTaken) return null;
    found.isTaken = true;
    return found.memory;
  }

  /** False when there is no such lease. */
  release(lease: number): boolean {
    const found = this.#leases.get(lease);
    if (found === undefined) return false;
    this.#leases.delete(lease);
    found.memory.release();
    const pinned = this.#pins.get(found.pin)!;
    if (--pinned.leases === 0) {
      this.#pins.delete(found.pin);
      this.#count(-pinned.bytes);
    }
    return true;
  }

  end(): void {
    this.#ended = true;
    for (const lease of [...this.#leases.keys()]) this.release(lease);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#owner.count(bytes);
  }
}

/** What of the arena clients hold mapped, and how much they may. */
export class MappedMemory {
  readonly #limits: MappedLimits;
  readonly #sessions = new Map<number, MappedSession>();
  #bytes = 0;

  constructor(limits: MappedLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  begin(peer: number): MappedSession {
    const session = new MappedSession(peer, this);
    this.#sessions.set(peer, session);
    return session;
  }

  /** The process has gone, or has let go of all. */
  gone(peer: number): void {
    this.#sessions.get(peer)?.end();
    this.#sessions.delete(peer);
  }

  close(): void {
    for (const peer of [...this.#sessions.keys()]) this.gone(peer);
  }

  /** For sessions: whether one that holds `held` bytes may have `bytes` more. @throws ApiError */
  check(held: number, bytes: number): void {
    const { maxClientBytes } = this.#limits;
    if (held + bytes > maxClientBytes)
      throw new ApiError(
        ErrorCode.POLICY_VIOLATION,
        `with ${bytes} bytes more the client would hold more than ${maxClientBytes} (direct.mapped.max.bytes): release some first`,
      );
    const total = Math.floor(arenaStats().capacityBytes * TOTAL_SHARE);
    if (this.#bytes + bytes > total)
      throw new ApiError(
        ErrorCode.POLICY_VIOLATION,
        `with ${bytes} bytes more all clients would hold more than ${total}, a quarter of arena.bytes: release some first`,
      );
  }

  /** For sessions. */
  count(bytes: number): void {
    this.#bytes += bytes;
  }
}

/** Memory that a client is to write to, which is waited for as that of puts. Rejects with an ApiError when there is none. */
export async function allocateFor(
  session: MappedSession,
  bytes: number,
  puts: Pick<DirectPuts, 'allocate'>,
): Promise<{ lease: number; offset: number }> {
  if (!(Number.isSafeInteger(bytes) && bytes > 0))
    throw new ApiError(ErrorCode.INVALID_REQUEST, `${bytes} bytes cannot be allocated`);
  session.check(bytes);
  const memory = NativeMemory.allocate(bytes) ?? (await puts.allocate(bytes, () => session.ended));
  const offset = memory.arenaOffset;
  return { lease: session.lend(memory, true), offset };
}

function leaseAfter(lease: number): number {
  return lease === LAST_LEASE ? FIRST_LEASE : lease + 1;
}

function granulesOf(bytes: number): number {
  return Math.ceil(bytes / GRANULE_BYTES) * GRANULE_BYTES;
}
