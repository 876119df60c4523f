import { binding } from './addon.ts';
import type { NativeMemory } from './arena.ts';
import { completion, startCompletions } from './completions.ts';

interface SocketBinding {
  collect(): [
    kind: number,
    peer: number,
    token: Uint8Array,
    size: number,
    uid: number,
    pid: number,
    region: number,
  ][];
  answer(peer: number, number: number): void;
  lend(peer: number): number;
  turnedAway(): number;
  close(): void;
}

interface LentMemoryBinding {
  map(offset: number, bytes: number, writable: boolean): [pages: ArrayBuffer, start: number];
  close(): void;
}

interface DirectBinding {
  RegionSocket: new (name: string, onRequests: () => void, users: readonly number[] | null) => SocketBinding;
  regionClose(region: number): void;
  directMove(id: number, words: Float64Array, batches?: Float64Array): void;
  sharedCreate(id: number, bytes: number): void;
  sharedOffer(
    id: number,
    name: string,
    token: Uint8Array,
    size: number,
    descriptor: number,
    timeoutMs: number,
  ): void;
  sharedBorrow(id: number, name: string, token: Uint8Array, timeoutMs: number): void;
  sharedDetach(buffer: ArrayBufferLike): void;
}

const native = binding<DirectBinding>();

/** Memory that a process on this machine hands over. */
export interface RegionOffer {
  /** 16 bytes by which the receiver knows for whom it is. */
  readonly token: Uint8Array;
  readonly bytes: number;
  /** Of the process, as the kernel says. */
  readonly uid: number;
  readonly pid: number;
  /** Names the memory here, from when it is taken until `closeRegion`; negative: an errno value, and it cannot be used. */
  readonly region: number;
}

/** A process on this machine that asks for memory of this one. */
export interface MapRequest {
  readonly token: Uint8Array;
  readonly uid: number;
  readonly pid: number;
  /** Names the process until it has gone, if memory is lent to it. */
  readonly peer: number;
}

export interface RegionSocketHandler {
  /** Returns the region's number to take it, or a negative errno value, which the other end gets as its answer. */
  onOffer(offer: RegionOffer): number;
  /** Returns 0 to let it see the arena, which has to be shared, or a negative errno value. */
  onMap(request: MapRequest): number;
  /** The process has gone, or has given back all that was lent to it. */
  onGone(peer: number): void;
}

const Request = { offer: 0, map: 1, gone: 2 } as const;

/**
 * Hears what other processes want, over an abstract Unix socket, on a thread of its own. Each user may ask only so often. It does not keep
 * the process alive.
 */
export class RegionSocket {
  readonly name: string;
  readonly #socket: SocketBinding;
  readonly #handler: RegionSocketHandler;

  /** `users`: ids of those whose memory may be taken, beside this process's own and root; null: all. What others offer is not received. */
  constructor(name: string, users: readonly number[] | null, handler: RegionSocketHandler) {
    this.name = name;
    this.#handler = handler;
    this.#socket = new native.RegionSocket(name, () => this.#collect(), users);
  }

  /** Processes that were turned away since the start, because of their user's rate or their number. */
  get turnedAway(): number {
    return this.#socket.turnedAway();
  }

  close(): void {
    this.#socket.close();
  }

  #collect(): void {
    for (const [kind, peer, token, bytes, uid, pid, region] of this.#socket.collect()) {
      if (kind === Request.offer) {
        this.#socket.answer(peer, this.#handler.onOffer({ token, bytes, uid, pid, region }));
      } else if (kind === Request.map) {
        const refusal = this.#handler.onMap({ token, uid, pid, peer });
        if (refusal !== 0) this.#socket.answer(peer, refusal);
        else if (this.#socket.lend(peer) !== 0) this.#handler.onGone(peer);
      } else {
        this.#handler.onGone(peer);
      }
    }
  }
}

/** The memory is no longer used once what is under way has ended. */
export function closeRegion(region: number): void {
  native.regionClose(region);
}

/** `count` blocks of `block` bytes, `stride` bytes from start to start; the first at `offset`. */
export interface Blocks {
  readonly offset: number;
  readonly count: number;
  readonly block: number;
  readonly stride: number;
}

/** In the order of native/direct/move.h. */
const KINDS = ['check', 'gather', 'push', 'pull'] as const;

/** Blocks of native memory that go one behind the other to a target; or the one block that comes from there. */
export interface Move {
  /**
   * check: only the CRC; gather: to other native memory; push: to the region of a client; pull: from there, into the one block.
   */
  readonly kind: (typeof KINDS)[number];
  readonly memory: NativeMemory;
  /** Relative to `memory`. */
  readonly blocks: readonly Blocks[];
  readonly target?: NativeMemory;
  readonly region?: number;
  readonly targetOffset?: number;
  /** Whether its CRC is wanted; default true. */
  readonly checksum?: boolean;
}

export interface Moved {
  /** 0, or an errno value: the region does not hold what its owner said it does. */
  readonly error: number;
  /** CRC-32C of the blocks, one behind the other; 0 when it was not wanted. */
  readonly crc: number;
}

/** Batches that are whole when moves are done: they are checked by the same thread, and `checkBatchesSoon` finds what it has found. */
export interface MovedBatches {
  readonly memory: NativeMemory;
  /** In `memory`. */
  readonly ranges: readonly { readonly offset: number; readonly byteLength: number }[];
  /** See CheckOptions; negative: none. */
  readonly referenceMinBytes: number;
}

/**
 * Performs the moves on a worker thread, in order. Memory is kept meanwhile. Throws a RangeError at once, and moves nothing, when a range
 * lies outside its memory or region.
 */
export async function moveBlocks(moves: readonly Move[], batches?: MovedBatches): Promise<Moved[]> {
  if (moves.length === 0) return [];
  const words = wordsOf(moves);
  const checked = batches && batchWords(batches);
  const flat = await completion<Float64Array>((id) => native.directMove(id, words, checked));
  return Array.from(moves, (_, i) => ({ error: flat[2 * i]!, crc: flat[2 * i + 1]! }));
}

function batchWords({ memory, ranges, referenceMinBytes }: MovedBatches): Float64Array {
  const words = [memory.handle, referenceMinBytes];
  for (const { offset, byteLength } of ranges) words.push(memory.blockOffset + offset, byteLength);
  return Float64Array.from(words);
}

function wordsOf(moves: readonly Move[]): Float64Array {
  let size = 0;
  for (const { blocks } of moves) size += 8 + 4 * blocks.length;
  const words = new Float64Array(size);
  let at = 0;
  for (const { kind, memory, blocks, target, region = 0, targetOffset = 0, checksum = true } of moves) {
    words[at++] = KINDS.indexOf(kind);
    words[at++] = memory.handle;
    words[at++] = memory.blockOffset;
    words[at++] = memory.byteLength;
    words[at++] = target?.handle ?? region;
    words[at++] = targetOffset + (target?.blockOffset ?? 0);
    words[at++] = checksum ? 1 : 0;
    words[at++] = blocks.length;
    for (const { offset, count, block, stride } of blocks) {
      words[at++] = offset;
      words[at++] = count;
      words[at++] = block;
      words[at++] = stride;
    }
  }
  return words;
}

/** Memory of this process that can be handed to another. */
export interface SharedBuffer {
  readonly buffer: ArrayBuffer;
  /** Closed when the buffer is collected. */
  readonly descriptor: number;
}

/** Makes shared memory, all of it present, on a worker thread. Rejects with ENOMEM or ENOSPC when there is not so much. */
export async function createSharedBuffer(bytes: number): Promise<SharedBuffer> {
  startCompletions();
  const [buffer, descriptor] = await completion<[ArrayBuffer, number]>((id) =>
    native.sharedCreate(id, bytes),
  );
  return { buffer, descriptor };
}

/** Hands memory to whoever listens at the abstract socket. Returns the number it has there, or a negative errno value. */
export function offerSharedBuffer(
  socketName: string,
  token: Uint8Array,
  { buffer, descriptor }: SharedBuffer,
  timeoutMs: number,
): Promise<number> {
  return completion((id) =>
    native.sharedOffer(id, socketName, token, buffer.byteLength, descriptor, timeoutMs),
  );
}

/** A range of a server's memory, in this process. */
export interface LentRange {
  /** A write to a range that is only to be read ends the process. */
  readonly bytes: Uint8Array;
  /** The memory is no longer to be used: `bytes` and all views of its buffer are empty. */
  unmap(): void;
}

/** Memory of a server on this machine, of which this process uses what is lent to it. */
export class LentMemory {
  readonly #memory: LentMemoryBinding;

  private constructor(memory: LentMemoryBinding) {
    this.#memory = memory;
  }

  /** Asks for it at the server's abstract socket; a negative errno value when it is refused. */
  static async borrow(
    socketName: string,
    token: Uint8Array,
    timeoutMs: number,
  ): Promise<LentMemory | number> {
    startCompletions();
    const given = await completion<LentMemoryBinding | number>((id) =>
      native.sharedBorrow(id, socketName, token, timeoutMs),
    );
    return typeof given === 'number' ? given : new LentMemory(given);
  }

  /** Throws an error with an errno code when it cannot be mapped. */
  map(offset: number, byteLength: number, writable: boolean): LentRange {
    const [pages, start] = this.#memory.map(offset, byteLength, writable);
    return {
      bytes: new Uint8Array(pages, start, byteLength),
      unmap: () => native.sharedDetach(pages),
    };
  }

  /** The server takes back all that it has lent once nothing is mapped. */
  close(): void {
    this.#memory.close();
  }
}
