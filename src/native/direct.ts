import { binding } from './addon.ts';
import type { NativeMemory } from './arena.ts';
import { completion, startCompletions } from './completions.ts';

interface SocketBinding {
  close(): void;
}

interface DirectBinding {
  RegionSocket: new (
    name: string,
    onOffer: (token: Uint8Array, size: number, uid: number, pid: number, region: number) => number,
  ) => SocketBinding;
  regionClose(region: number): void;
  directMove(id: number, words: Float64Array): void;
  sharedCreate(id: number, bytes: number): void;
  sharedOffer(
    id: number,
    name: string,
    token: Uint8Array,
    size: number,
    descriptor: number,
    timeoutMs: number,
  ): void;
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
  /** Names the memory here, until `closeRegion`; negative: an errno value, and it cannot be used. */
  readonly region: number;
}

/** Takes memory of other processes, over an abstract Unix socket. It does not keep the process alive. */
export class RegionSocket {
  readonly name: string;
  readonly #socket: SocketBinding;

  /** `onOffer` returns the region's number to take it, or a negative errno value, which the other end gets as its answer. */
  constructor(name: string, onOffer: (offer: RegionOffer) => number) {
    this.name = name;
    this.#socket = new native.RegionSocket(name, (token, bytes, uid, pid, region) =>
      onOffer({ token, bytes, uid, pid, region }),
    );
  }

  close(): void {
    this.#socket.close();
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
}

export interface Moved {
  /** 0, or an errno value: the region does not hold what its owner said it does. */
  readonly error: number;
  /** CRC-32C of the blocks, one behind the other. */
  readonly crc: number;
}

/**
 * Performs the moves on a worker thread, in order. Memory is kept meanwhile. Throws a RangeError at once, and moves nothing, when a range
 * lies outside its memory or region.
 */
export async function moveBlocks(moves: readonly Move[]): Promise<Moved[]> {
  if (moves.length === 0) return [];
  const words = wordsOf(moves);
  const flat = await completion<Float64Array>((id) => native.directMove(id, words));
  return Array.from(moves, (_, i) => ({ error: flat[2 * i]!, crc: flat[2 * i + 1]! }));
}

function wordsOf(moves: readonly Move[]): Float64Array {
  let size = 0;
  for (const { blocks } of moves) size += 7 + 4 * blocks.length;
  const words = new Float64Array(size);
  let at = 0;
  for (const { kind, memory, blocks, target, region = 0, targetOffset = 0 } of moves) {
    words[at++] = KINDS.indexOf(kind);
    words[at++] = memory.handle;
    words[at++] = memory.blockOffset;
    words[at++] = memory.byteLength;
    words[at++] = target?.handle ?? region;
    words[at++] = targetOffset + (target?.blockOffset ?? 0);
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
