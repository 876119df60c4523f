import { constants } from 'node:os';
import { createSharedBuffer, offerSharedBuffer, type SharedBuffer } from '../native/direct.ts';
import { ApiKey } from '../protocol/api-keys.ts';
import { directAttachRequest } from '../protocol/generated/direct-attach-request.ts';
import { directAttachResponse } from '../protocol/generated/direct-attach-response.ts';
import { directReleaseRequest } from '../protocol/generated/direct-release-request.ts';
import { directReleaseResponse } from '../protocol/generated/direct-release-response.ts';
import { monotonicMs } from '../util/clock.ts';
import type { Connection } from './connection.ts';
import { brokerError, DirectError } from './errors.ts';
import { type FabricChoice, FabricPath } from './fabric-path.ts';
import { MappedBuffer, MappedChannel } from './mapped-memory.ts';

const GRANULE_BYTES = 4096;
const WHAT_IS_SERVED =
  'choose another path, or see direct.mapped.listeners, direct.shared.memory.enable and direct.fabric.enable of the gateway';
const OFFER_TIMEOUT_MS = 5_000;
/** Where many ask at the same time, some are turned away: they ask again after so long, twice as long each time. */
const OFFER_RETRY_MS = 25;
const OFFER_RETRIES = 4;

/** Why a connection is given up. */
export const UNREACHABLE = 'the gateway cannot reach memory of this client any more';

const NONE: readonly Uint8Array[] = [];

/** One piece of shared memory, of which ranges are handed out. */
class Chunk {
  readonly shared: SharedBuffer;
  /** Free ranges by their start, in order; neighbours are joined. */
  readonly #free: { start: number; length: number }[];
  /** Those who have to know that it is gone, and what they do then. */
  readonly #onDropped = new Map<object, () => void>();
  /** Others have registered it for good. */
  isPinned = false;

  constructor(shared: SharedBuffer) {
    this.shared = shared;
    this.#free = [{ start: 0, length: shared.buffer.byteLength }];
  }

  get canBeDropped(): boolean {
    const isFree = this.#free.length === 1 && this.#free[0]!.length === this.shared.buffer.byteLength;
    return isFree && !this.isPinned;
  }

  onDropped(who: object, action: () => void): void {
    this.#onDropped.set(who, action);
  }

  /** Who ends before it has nothing to do with it any more. */
  forget(who: object): void {
    this.#onDropped.delete(who);
  }

  drop(): void {
    for (const action of this.#onDropped.values()) action();
  }

  /** The start of a range, or -1. */
  take(length: number): number {
    const index = this.#free.findIndex((range) => range.length >= length);
    const range = this.#free[index];
    if (range === undefined) return -1;
    const { start } = range;
    range.start += length;
    range.length -= length;
    if (range.length === 0) this.#free.splice(index, 1);
    return start;
  }

  give(start: number, length: number): void {
    let index = this.#free.findIndex((range) => range.start > start);
    if (index < 0) index = this.#free.length;
    this.#free.splice(index, 0, { start, length });
    for (const at of [index, index - 1]) {
      const range = this.#free[at];
      const next = this.#free[at + 1];
      if (range === undefined || next === undefined || range.start + range.length !== next.start) continue;
      range.length += next.length;
      this.#free.splice(at + 1, 1);
    }
  }
}

/**
 * Memory that the gateway reads and writes itself: what lies in it is pushed without a copy here, and what is pulled into it arrives there.
 * Its owner calls `release` once nothing uses it any more; it is not collected.
 */
export interface RegisteredBuffer {
  readonly bytes: Uint8Array;
  release(): void;
}

/** Where a range of bytes lies in shared memory. */
export interface Place {
  readonly chunk: object;
  readonly offset: number;
}

/** The registered memory of one client, in pieces that are made as they are needed. */
export class SharedPool {
  readonly #chunkBytes: number;
  readonly #maxBytes: number;
  readonly #chunks = new Map<ArrayBufferLike, Chunk>();
  /** Memory of gateways that is mapped to be written to. */
  readonly #mapped = new Map<ArrayBufferLike, MappedBuffer>();
  #growing: Promise<unknown> = Promise.resolve();
  #bytes = 0;

  constructor(chunkBytes: number, maxBytes: number) {
    this.#chunkBytes = chunkBytes;
    this.#maxBytes = maxBytes;
  }

  /** Null when the limit would be exceeded. */
  async allocate(bytes: number): Promise<RegisteredBuffer | null> {
    const length = Math.max(1, Math.ceil(bytes / GRANULE_BYTES)) * GRANULE_BYTES;
    const found = this.#take(bytes, length);
    if (found !== null) return found;
    const grown = this.#growing.then(() => this.#take(bytes, length) ?? this.#grow(bytes, length));
    this.#growing = grown.catch(() => undefined);
    return grown;
  }

  /** Memory of a gateway that a connection maps. Rejects with BUFFER_FULL at a limit of the gateway. */
  async allocateMapped(channel: MappedChannel, bytes: number): Promise<RegisteredBuffer> {
    let pages: ArrayBufferLike | null = null;
    const mapped = await channel.allocate(bytes, () => this.#mapped.delete(pages!));
    pages = mapped.bytes.buffer;
    this.#mapped.set(pages, mapped);
    return mapped;
  }

  /** The buffer of a gateway's memory that bytes lie in; null when they do not. */
  mappedAt({ buffer }: Uint8Array): MappedBuffer | null {
    return this.#mapped.get(buffer) ?? null;
  }

  /** Whether data is all of a buffer of a gateway's memory. */
  isWhole(data: Uint8Array): boolean {
    return this.mappedAt(data)?.bytes.byteLength === data.byteLength;
  }

  /** Data has been pushed: buffers of which it was all are the gateway's now. */
  handedOver(data: readonly Uint8Array[]): void {
    for (const part of data) if (this.isWhole(part)) this.mappedAt(part)!.release();
  }

  /** What of the events' data is all of a buffer of a gateway's memory. */
  lentOf(events: readonly { readonly data: readonly Uint8Array[] | null }[]): readonly Uint8Array[] {
    if (this.#mapped.size === 0) return NONE;
    return events.flatMap(({ data }) => (data ?? []).filter((part) => this.isWhole(part)));
  }

  /** Where bytes lie; null when they are not in the pool. */
  locate(bytes: Uint8Array): Place | null {
    const { buffer, byteOffset } = bytes;
    const chunk = this.#chunks.get(buffer);
    if (chunk !== undefined) return { chunk, offset: byteOffset };
    const mapped = this.mappedAt(bytes);
    return mapped === null ? null : { chunk: mapped, offset: mapped.offsetOf(bytes) };
  }

  #take(bytes: number, length: number): RegisteredBuffer | null {
    for (const chunk of this.#chunks.values()) {
      const start = chunk.take(length);
      if (start < 0) continue;
      let held = true;
      const release = () => {
        if (held) chunk.give(start, length);
        held = false;
      };
      return { bytes: new Uint8Array(chunk.shared.buffer, start, bytes), release };
    }
    return null;
  }

  async #grow(bytes: number, length: number): Promise<RegisteredBuffer | null> {
    this.#dropUnused(this.#bytes + Math.max(length, this.#chunkBytes) - this.#maxBytes);
    // The last piece is as large as the limit allows.
    const left = Math.floor((this.#maxBytes - this.#bytes) / GRANULE_BYTES) * GRANULE_BYTES;
    const size = Math.max(length, Math.min(this.#chunkBytes, left));
    if (this.#bytes + size > this.#maxBytes) return null;
    this.#bytes += size;
    try {
      const shared = await createSharedBuffer(size);
      this.#chunks.set(shared.buffer, new Chunk(shared));
    } catch (cause) {
      this.#bytes -= size;
      throw new DirectError('BUFFER_FULL', `${size} bytes of shared memory cannot be had`, {
        doing: 'allocate',
        todo: 'raise the limit on shared memory, or allocate less',
        cause,
      });
    }
    return this.#take(bytes, length);
  }

  /** Makes room for other pieces: those of which nothing is used go, with the last view of them. */
  #dropUnused(bytes: number): void {
    let left = bytes;
    for (const [buffer, chunk] of this.#chunks) {
      if (left <= 0) return;
      if (!chunk.canBeDropped) continue;
      this.#chunks.delete(buffer);
      this.#bytes -= buffer.byteLength;
      left -= buffer.byteLength;
      chunk.drop();
    }
  }
}

/** The gateway takes no more memory of this client; data has to move inline. */
export class RegionRefused extends DirectError {}

/** Too many ask for the same at this time: later it may be different. */
class TurnedAway extends RegionRefused {}

/**
 * How data moves between a client and a gateway. `mapped` is shared memory of the gateway, which has to allow it (direct.mapped.listeners):
 * `client.allocate` and `event.view` do not copy then. `fabric` is libfabric: remote reads and writes of the client's memory by the gateway.
 */
export type Path = 'mapped' | 'shared-memory' | 'fabric' | 'tcp';

const TRANSPORTS = {
  mapped: ['mapped'],
  'shared-memory': ['shared-memory'],
  fabric: ['fabric'],
  tcp: ['inline'],
  auto: ['shared-memory', 'fabric', 'inline'],
} as const;

/** What one connection has attached: the numbers that the pool's memory has for the gateway. */
export class ClientAttachment {
  /** Large data also moves by shared memory where the gateway's is mapped. */
  readonly path: 'shared-memory' | 'fabric' | 'tcp';
  readonly id: bigint;
  /** Of one request to this gateway. */
  readonly limits: { readonly bytes: number; readonly ranges: number; readonly frameBytes: number };
  /** It is inline only because too many others asked at the time. */
  wasTurnedAway = false;
  readonly #connection: Connection;
  readonly #transport: string;
  readonly #socketName: string;
  readonly #token: Uint8Array;
  readonly #regions = new Map<object, number | Promise<number>>();
  #mapped: MappedChannel | null = null;
  #fabric: FabricPath | null = null;
  /** What was named is not replaced by another way, also where memory is not taken. */
  #isFabricNamed = false;

  private constructor(connection: Connection, answer: ReturnType<typeof directAttachResponse.create>) {
    this.#connection = connection;
    this.#transport = answer.transport;
    this.path =
      answer.transport === 'inline' ? 'tcp' : answer.transport === 'fabric' ? 'fabric' : 'shared-memory';
    this.id = answer.attachmentId;
    const { maxRequestBytes, maxRanges: ranges, maxFrameBytes: frameBytes } = answer;
    this.limits = { bytes: Number(maxRequestBytes), ranges, frameBytes };
    this.#socketName = answer.socketName;
    this.#token = Uint8Array.from(answer.token);
  }

  /**
   * Attaches by shared memory where both are on one machine and the gateway takes it, by the fabric where both have one with RDMA, else
   * inline; `wanted` leaves no choice.
   */
  static async attach(
    connection: Connection,
    wanted: Path | 'auto',
    fabric: FabricChoice,
  ): Promise<ClientAttachment> {
    const doing = 'attach';
    const hasFabric = connection.serves(ApiKey.DirectFabric);
    let transports: string[] = TRANSPORTS[wanted].filter((way) => way !== 'fabric' || hasFabric);
    if (transports.length === 0)
      throw new DirectError('NOT_DIRECT', 'the gateway is too old for the path fabric', { doing });
    let wasTurnedAway = false;
    for (;;) {
      const request = { transports, provider: fabric.provider ?? '' };
      const answer = await connection.call(directAttachRequest, directAttachResponse, request, { doing });
      if (answer.errorCode !== 0)
        throw brokerError(answer.errorCode, answer.errorMessage, doing, WHAT_IS_SERVED);
      const attachment = new ClientAttachment(connection, answer);
      attachment.#isFabricNamed = wanted === 'fabric';
      try {
        await attachment.#open(fabric);
        attachment.wasTurnedAway = wasTurnedAway && attachment.path === 'tcp';
        connection.onClosed(() => attachment.#forgetChunks());
        return attachment;
      } catch (error) {
        wasTurnedAway ||= error instanceof TurnedAway;
        await attachment.#release(null);
        // Neither this way nor a better one.
        transports = transports.slice(transports.indexOf(answer.transport) + 1);
        if (connection.isClosed || transports.length === 0) throw error;
      }
    }
  }

  /**
   * Whether the gateway takes shared memory is found out with one page, which it gives back: the memory of the client is made when it is
   * used.
   */
  async #open(fabric: FabricChoice): Promise<void> {
    if (this.path === 'tcp') return;
    if (this.path === 'fabric') {
      this.#fabric = await FabricPath.open(this.#connection, this.id, fabric);
      return;
    }
    if (this.#transport === 'mapped')
      this.#mapped = await MappedChannel.open(this.#connection, this.id, this.#socketName, this.#token);
    const region = await this.#offer(await createSharedBuffer(GRANULE_BYTES));
    await this.#release([region]);
  }

  /** What is mapped of the gateway's memory; null when nothing may be. */
  get mapped(): MappedChannel | null {
    return this.#mapped;
  }

  /** The provider of libfabric that moves data; null on other paths. */
  get provider(): string | null {
    return this.#fabric?.provider ?? null;
  }

  /** The number of a chunk, which is handed over when it is used for the first time: at once from then on. @throws RegionRefused */
  regionOf(chunk: object): number | Promise<number> {
    if (chunk instanceof MappedBuffer) {
      if (chunk.owner === this.#mapped) return -chunk.lease;
      throw new RegionRefused('CONNECTION', 'the memory is of another connection', { doing: 'move data' });
    }
    let region = this.#regions.get(chunk);
    if (region === undefined) {
      region = this.#register(chunk as Chunk);
      this.#regions.set(chunk, region);
      region.then(
        (number) => this.#regions.set(chunk, number),
        () => this.#regions.delete(chunk),
      );
    }
    return region;
  }

  async #register(chunk: Chunk): Promise<number> {
    if (this.#fabric !== null) {
      chunk.isPinned = true;
      return this.#publish(this.#fabric, chunk.shared);
    }
    const region = await this.#offer(chunk.shared);
    if (this.#connection.isClosed) return region;
    chunk.onDropped(this, () => {
      this.#regions.delete(chunk);
      void this.#release([region]);
    });
    return region;
  }

  /** They outlive it: they are the client's. */
  #forgetChunks(): void {
    for (const chunk of this.#regions.keys()) (chunk as Chunk).forget(this);
  }

  async #publish(fabric: FabricPath, shared: SharedBuffer): Promise<number> {
    try {
      return await fabric.publish(shared);
    } catch (cause) {
      if (this.#isFabricNamed || this.#connection.isClosed) throw cause;
      throw new RegionRefused('CONNECTION', (cause as Error).message, { doing: 'attach', cause });
    }
  }

  async #offer(shared: SharedBuffer): Promise<number> {
    const deadline = monotonicMs() + OFFER_TIMEOUT_MS;
    for (let attempt = 0; ; attempt++) {
      const answer = await offerSharedBuffer(this.#socketName, this.#token, shared, OFFER_TIMEOUT_MS);
      if (answer >= 0) return answer;
      const isTurnedAway = -answer === constants.errno.EAGAIN;
      const waitMs = OFFER_RETRY_MS * 2 ** attempt * (0.5 + Math.random());
      if (isTurnedAway && attempt < OFFER_RETRIES && monotonicMs() + waitMs < deadline) {
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        continue;
      }
      const Refused = isTurnedAway ? TurnedAway : RegionRefused;
      throw new Refused('CONNECTION', `the gateway does not take shared memory (errno ${-answer})`, {
        doing: 'attach',
        todo: isTurnedAway
          ? 'too many clients ask at the same time; try again'
          : 'both must be on one machine and in one network namespace, of one user, or see direct.shared.memory.uids',
      });
    }
  }

  /** Gives up regions, or all with null. */
  async #release(regions: number[] | null): Promise<void> {
    const request = { attachmentId: this.id, regions };
    await this.#connection.call(directReleaseRequest, directReleaseResponse, request).catch(() => undefined);
  }
}
