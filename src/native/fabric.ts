import { binding } from './addon.ts';
import type { NativeMemory } from './arena.ts';
import { BareLoop } from './bare-loop.ts';
import { completion, completionTo, type Ending, startCompletions } from './completions.ts';
import type { SharedBuffer } from './direct.ts';

/** What of libfabric is here. */
export interface FabricReport {
  /** The file that was loaded; empty without libfabric. */
  path: string;
  /** "1.17"; empty without libfabric. */
  version: string;
  /** Why there is no provider, and what to do about it; empty otherwise. */
  error: string;
  /** Paths and names that were looked at, each with the reason if it was not taken. */
  tried: string[];
  /** Fastest first. */
  providers: FabricProvider[];
}

/** A provider on one interface or card. */
export interface FabricProvider {
  provider: string;
  domain: string;
  /** Peers with the same one reach each other. */
  network: string;
  /** The card's name; empty when there is none. */
  device: string;
  /** Of the link; 0 when it is not known. */
  bitsPerSecond: number;
  memoryModes: string;
  /** Why it is not chosen unasked; empty when it may be. */
  against: string;
}

export interface TransferStatistics {
  bytesRead: number;
  bytesWritten: number;
  /** Pieces that were transferred. */
  operations: number;
  requests: number;
  errors: number;
  timeouts: number;
  cancelled: number;
  retries: number;
  /** How many requests took less than 2^i microseconds, and at least half of that. */
  latency: number[];
  /** Of all of these together. */
  latencyMicroseconds: number;
}

export interface TransportStatistics extends TransferStatistics {
  /** How often everything under way was given up to be rid of a peer that did not answer. */
  recoveries: number;
  /** How long the transport's thread has been in one round; seconds mean that the provider does not return. */
  stalledMs: number;
  /** By the peer's number. */
  peers: Record<string, TransferStatistics>;
}

interface RemoteMemoryBinding {
  publish(
    region: bigint,
    address: bigint,
    key: bigint,
    length: bigint,
    access: number,
    expiresMs: number,
    nowMs: number,
  ): void;
  withdraw(region: bigint): boolean;
  resolve(order: BigUint64Array, write: boolean, expiresMs: number, nowMs: number): BigUint64Array;
}

interface FabricBinding {
  RemoteMemory: new (attachment: bigint) => RemoteMemoryBinding;
  fabricInspect(id: number, library: string): void;
  fabricOpen(
    id: number,
    library: string,
    provider: string,
    domain: string,
    network: string,
    pieceBytes: number,
    window: number,
    listen: boolean,
    host: string,
    port: number,
    advertised: string,
  ): void;
  fabricClose(transport: number, id: number): void;
  fabricOffer(transport: number): Buffer;
  fabricAnswer(transport: number, id: number, offer: Uint8Array): void;
  fabricAddPeer(transport: number, id: number, address: Uint8Array): number;
  fabricRemovePeer(transport: number, peer: number, why: string): void;
  fabricRegisterArena(transport: number, id: number): void;
  fabricPublish(
    transport: number,
    id: number,
    handle: number,
    offset: number,
    length: number,
    access: number,
  ): void;
  fabricPublishShared(transport: number, id: number, descriptor: number, bytes: number, access: number): void;
  fabricPublishArena(transport: number, id: number, access: number): void;
  fabricWithdraw(transport: number, id: number, published: number): void;
  fabricTransfer(
    transport: number,
    id: number,
    peer: number,
    write: boolean,
    locals: Float64Array,
    ranges: BigUint64Array,
    timeoutMs: number,
    seed: number | null,
  ): number;
  fabricCancel(transport: number, request: number): void;
  fabricStatistics(transport: number): TransportStatistics;
}

const native = binding<FabricBinding>();
const RANGE_WORDS = 3;

/** What the transport over TCP sockets is called where libfabric's are called by their providers. */
export const PLAIN_TCP = 'plain-tcp';
/** The same, encrypted; its keys are in offers, which must go over an encrypted connection. */
export const TLS_TCP = 'tls-tcp';

/** What a peer may do with published memory; a sum. */
export const PEER_READS = 1;
export const PEER_WRITES = 2;

/**
 * Looks for libfabric and its providers; takes half a second the first time. `library`: its file, or a name for the loader; empty: the
 * site's, by LD_LIBRARY_PATH and the usual places.
 */
export function inspectFabric(library: string): Promise<FabricReport> {
  return completion((id) => native.fabricInspect(id, library));
}

export interface TransportOptions {
  /** As for `inspectFabric`. */
  library: string;
  /** Ranges are cut into pieces of at most this. */
  pieceBytes: number;
  /** Pieces under way to one peer. */
  window: number;
  /** Of plain TCP: whether targets can come, where (numeric; empty: everywhere), and which numeric address they are told. */
  listen?: boolean;
  host?: string;
  port?: number;
  advertised?: string;
}

/** Memory that a peer can reach. */
export interface PublishedMemory {
  /** For `withdraw`. */
  id: number;
  address: bigint;
  key: bigint;
}

/** A transfer under way. Rejects with Errors that have a `code`: ETIMEDOUT, ECANCELED, ENOTCONN, ... */
export interface Transfer {
  /** The CRC-32C of our bytes, where a seed was given. */
  done: Promise<number | undefined>;
  cancel(): void;
}

/** A part of native memory for a transfer. */
export interface LocalRange {
  memory: NativeMemory;
  offset: number;
}

/**
 * A way to reach peers, with a thread of its own. The initiator makes an offer to each target, adds the target's answer as a peer, and asks
 * for transfers; a target answers, publishes memory and keeps the transport open.
 */
export class FabricTransport {
  readonly provider: string;
  readonly domain: string;
  readonly network: string;
  readonly #transport: number;

  private constructor(way: { provider: string; domain: string; network: string }, transport: number) {
    this.provider = way.provider;
    this.domain = way.domain;
    this.network = way.network;
    this.#transport = transport;
  }

  static async open(
    way: { provider: string; domain: string; network: string },
    options: TransportOptions,
  ): Promise<FabricTransport> {
    startCompletions();
    const transport = await completion<number>((id) =>
      native.fabricOpen(
        id,
        options.library,
        way.provider,
        way.domain,
        way.network,
        options.pieceBytes,
        options.window,
        options.listen ?? true,
        options.host ?? '',
        options.port ?? 0,
        options.advertised ?? '',
      ),
    );
    return new FabricTransport(way, transport);
  }

  /** What one target needs to know of us. */
  offer(): Buffer {
    return native.fabricOffer(this.#transport);
  }

  /** A loop that moves pieces to and from a target without the engine, to judge that by. */
  bareLoop(): Promise<BareLoop> {
    return BareLoop.open(this.#transport);
  }

  /** Makes us reachable for the initiator that made the offer; what it has to add. */
  answer(offer: Uint8Array): Promise<Buffer> {
    return completion((id) => native.fabricAnswer(this.#transport, id, offer));
  }

  /** Takes a target's answer; the peer's number. */
  async addPeer(answer: Uint8Array): Promise<number> {
    let peer = 0;
    await completion((id) => {
      peer = native.fabricAddPeer(this.#transport, id, answer);
    });
    return peer;
  }

  /** What the peer was asked for fails with ENOTCONN and `why`; nothing touches its memory or ours for it when all has ended. */
  removePeer(peer: number, why: string): void {
    native.fabricRemovePeer(this.#transport, peer, why);
  }

  /** Before the first transfer: makes all of the arena known to the provider, once. */
  async registerArena(): Promise<void> {
    await completion((id) => native.fabricRegisterArena(this.#transport, id));
  }

  /** Lets peers at memory; it is held until it is withdrawn. `access`: PEER_READS, PEER_WRITES or both. */
  async publish(memory: NativeMemory, access: number): Promise<PublishedMemory> {
    const [published, address, key] = await completion<[number, bigint, bigint]>((id) =>
      native.fabricPublish(this.#transport, id, memory.handle, memory.blockOffset, memory.byteLength, access),
    );
    return { id: published, address, key };
  }

  /** The same for shared memory, which peers reach until it is withdrawn or the transport closes, also when the buffer is gone. */
  async publishShared({ buffer, descriptor }: SharedBuffer, access: number): Promise<PublishedMemory> {
    const [published, address, key] = await completion<[number, bigint, bigint]>((id) =>
      native.fabricPublishShared(this.#transport, id, descriptor, buffer.byteLength, access),
    );
    return { id: published, address, key };
  }

  /** Lets peers that are trusted at all of the arena, at its offsets (`NativeMemory.arenaOffset`). */
  async publishArena(access: number): Promise<PublishedMemory> {
    const [published, address, key] = await completion<[number, bigint, bigint]>((id) =>
      native.fabricPublishArena(this.#transport, id, access),
    );
    return { id: published, address, key };
  }

  /** After it no peer reaches the memory any more; with shm it must be gone itself before that is certain. */
  async withdraw(published: PublishedMemory): Promise<void> {
    await completion((id) => native.fabricWithdraw(this.#transport, id, published.id));
  }

  /** From the peer's memory into ours. `ranges`: of `RemoteMemory.resolve`, each with the place where it goes. */
  read(peer: number, ranges: BigUint64Array, locals: readonly LocalRange[], timeoutMs: number): Transfer {
    return this.#transfer(peer, false, ranges, locals, timeoutMs, null);
  }

  /** As `read`; `ending` gets the CRC-32C of what has come, from `seed` on, which another thread computes while more comes. */
  readCrc(
    peer: number,
    ranges: BigUint64Array,
    locals: readonly LocalRange[],
    timeoutMs: number,
    { seed, ending }: { readonly seed: number; readonly ending: Ending<number> },
  ): void {
    const flat = flatten(ranges, locals);
    completionTo(ending, (id) => {
      native.fabricTransfer(this.#transport, id, peer, false, flat, ranges, timeoutMs, seed);
    });
  }

  /**
   * From our memory into the peer's; the peer sees the bytes when it is done. `seed`: from which the CRC-32C of our bytes continues, which another
   * thread computes while they go.
   */
  write(
    peer: number,
    ranges: BigUint64Array,
    locals: readonly LocalRange[],
    timeoutMs: number,
    seed: number | null = null,
  ): Transfer {
    return this.#transfer(peer, true, ranges, locals, timeoutMs, seed);
  }

  #transfer(
    peer: number,
    write: boolean,
    ranges: BigUint64Array,
    locals: readonly LocalRange[],
    timeoutMs: number,
    seed: number | null,
  ): Transfer {
    const flat = flatten(ranges, locals);
    let request = 0;
    const done = completion<number | undefined>((id) => {
      request = native.fabricTransfer(this.#transport, id, peer, write, flat, ranges, timeoutMs, seed);
    });
    return { done, cancel: () => native.fabricCancel(this.#transport, request) };
  }

  statistics(): TransportStatistics {
    return native.fabricStatistics(this.#transport);
  }

  /** Fails what is under way. Rejects with ETIMEDOUT when the provider does not let go of the thread. */
  async close(): Promise<void> {
    await completion((id) => native.fabricClose(this.#transport, id));
  }
}

/** Handle and offset of each. Throws a RangeError for a range that does not fit in its memory. */
function flatten(ranges: BigUint64Array, locals: readonly LocalRange[]): Float64Array {
  const flat = new Float64Array(locals.length * 2);
  locals.forEach(({ memory, offset }, i) => {
    const length = Number(ranges[i * RANGE_WORDS + 1] ?? 0n);
    if (!(offset >= 0 && offset + length <= memory.byteLength))
      throw new RangeError(`range ${offset}+${length} of ${memory.byteLength} bytes`);
    flat[i * 2] = memory.handle;
    flat[i * 2 + 1] = memory.blockOffset + offset;
  });
  return flat;
}

/** A region as its owner describes it. */
export interface RegionDescriptor {
  /** The owner's name for it. */
  region: bigint;
  address: bigint;
  key: bigint;
  length: bigint;
  access: number;
  /** 0: never. */
  expiresMs: number;
}

export interface TransferOrder {
  attachment: bigint;
  /** From 1 on; each is accepted once. */
  sequence: bigint;
  expiresMs: number;
  /** Into the peer's memory. */
  write: boolean;
  parts: { region: bigint; key: bigint; offset: bigint; length: bigint }[];
}

/** What one attached peer has published; checks every order that refers to it, whatever the provider would let pass. */
export class RemoteMemory {
  readonly attachment: bigint;
  readonly #native: RemoteMemoryBinding;

  /** `attachment`: names the attachment, not to be guessed. */
  constructor(attachment: bigint) {
    this.attachment = attachment;
    this.#native = new native.RemoteMemory(attachment);
  }

  /** Throws an Error with `code` for what cannot be. */
  publish({ region, address, key, length, access, expiresMs }: RegionDescriptor, nowMs: number): void {
    this.#native.publish(region, address, key, length, access, expiresMs, nowMs);
  }

  withdraw(region: bigint): boolean {
    return this.#native.withdraw(region);
  }

  /**
   * The ranges of an order, for a transfer. Throws an Error with `code`: EPERM another attachment's, ETIME expired, EALREADY given before, ENOENT no
   * such region, EKEYREJECTED wrong key, EACCES not allowed, ERANGE not inside the region, E2BIG, EINVAL.
   */
  resolve(order: TransferOrder, nowMs: number): BigUint64Array {
    const words = [order.attachment, order.sequence];
    for (const { region, key, offset, length } of order.parts) words.push(region, key, offset, length);
    return this.#native.resolve(BigUint64Array.from(words), order.write, order.expiresMs, nowMs);
  }
}
