import { constants } from 'node:buffer';
import { binding } from './addon.ts';

interface ArenaBinding {
  arenaConfigure(bytes: number, sharedName: string, directory: string): boolean;
  arenaTouch(): void;
  arenaShared(): [shared: boolean, reason: string | null];
  arenaUnlink(): boolean;
  arenaBuffer(start: number, maxBytes: number): ArrayBuffer;
  arenaAllocate(bytes: number): [handle: number, offset: number] | null;
  arenaRelease(handle: number): void;
  arenaBlockBytes(handle: number): number;
  arenaStats(): ArenaStats;
}

export interface ArenaStats {
  capacityBytes: number;
  /** Bytes that may be handed out by now. */
  backedBytes: number;
  /** Bytes whose pages `startTouchingArena` is to make present, by now. */
  aimedBytes: number;
  /** Bytes whose pages were made present by `startTouchingArena`. */
  touchedBytes: number;
  /** Of shared memory, bytes that have come in huge pages. */
  hugeBytes: number;
  /** Bytes handed out, in whole granules of 4 KiB. */
  usedBytes: number;
  peakBytes: number;
  /** Ranges handed out. */
  blocks: number;
  /** Allocations that found no room, also after caches had given way. */
  refusals: number;
}

/** Where shared memory is kept unless it is said otherwise. */
export const ARENA_DIRECTORY = '/dev/shm';

const native = binding<ArenaBinding>();
/** Node 20 has no ArrayBuffer above 4 GiB: windows of 3 GiB begin at every GiB, so that each range lies in one of them. */
const ONE_WINDOW = constants.MAX_LENGTH > 2 ** 32;
const WINDOW_STRIDE_BYTES = ONE_WINDOW ? 2 ** 52 : 2 ** 30;
const WINDOW_BYTES = ONE_WINDOW ? 2 ** 52 : 3 * WINDOW_STRIDE_BYTES;
/** Made once: a view into one is twenty times cheaper than an external buffer of its own. */
const windows: ArrayBuffer[] = [];

function arenaWindow(index: number): ArrayBuffer {
  windows[index] ??= native.arenaBuffer(index * WINDOW_STRIDE_BYTES, WINDOW_BYTES);
  return windows[index];
}

function arenaView(offset: number, byteLength: number): Uint8Array {
  const index = Math.floor(offset / WINDOW_STRIDE_BYTES);
  return new Uint8Array(arenaWindow(index), offset - index * WINDOW_STRIDE_BYTES, byteLength);
}

/**
 * Sets the size of the process's arena, in bytes; its pages are touched only as they are used. Call it before
 * anything uses the arena: throws if it exists already with another size or name.
 *
 * With `sharedName` (letters, digits, '_' and '-') the memory outlives a killed process, if there is room in `directory`, on a
 * tmpfs or hugetlbfs; see `arenaShared`. A normal end of the process does `releaseSharedArena`.
 */
export function configureArena(bytes: number, sharedName = '', directory = ARENA_DIRECTORY): void {
  if (!native.arenaConfigure(bytes, sharedName, directory))
    throw new Error('the arena is in use already with another size');
}

/**
 * Makes the arena, and all that JavaScript needs to look into it. Each window has the garbage collector run, which takes it for memory of its
 * own: milliseconds each while the heap is small, and many times with more to do when load needs the first view.
 */
export function openArena(): void {
  const { capacityBytes } = native.arenaStats();
  for (let index = 0; index * WINDOW_STRIDE_BYTES < capacityBytes; index++) arenaWindow(index);
}

/** Keeps pages of the arena present in the background, as many as were in use or missed, until this environment ends. Returns at once. */
export function startTouchingArena(): void {
  native.arenaTouch();
}

/**
 * Whether the arena's memory outlives a killed process; if not although a name was given, `reason` says why. Once it is found that another program has
 * removed the memory's file, nothing is acknowledged from it any more.
 */
export function arenaShared(): { shared: boolean; reason: string | null } {
  const [shared, reason] = native.arenaShared();
  return { shared, reason };
}

/**
 * For a clean end: nothing is left to recover, so the shared memory does not outlive the process after all. Returns false,
 * and changes nothing, while acknowledged appends are not in their files.
 */
export function releaseSharedArena(): boolean {
  return native.arenaUnlink();
}

export function arenaStats(): ArenaStats {
  return native.arenaStats();
}

/** The one native reference behind a NativeMemory and all its slices. */
class Block {
  readonly handle: number;
  #references = 1;

  constructor(handle: number) {
    this.handle = handle;
  }

  retain(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references === 0) native.arenaRelease(this.handle);
  }
}

/**
 * A range of arena memory. Whoever holds a reference gives it back with `release`, exactly once: the garbage collector
 * never does. Views obtained from `bytes` must not be used after the last release.
 */
export class NativeMemory {
  readonly byteLength: number;
  /** Start of this range within the native block. */
  readonly blockOffset: number;
  readonly #block: Block;
  readonly #arenaOffset: number;
  #references = 1;

  private constructor(block: Block, arenaOffset: number, blockOffset: number, byteLength: number) {
    this.#block = block;
    this.#arenaOffset = arenaOffset;
    this.blockOffset = blockOffset;
    this.byteLength = byteLength;
  }

  /** Fresh memory with undefined content, or null when the arena has no room for it. */
  static allocate(byteLength: number): NativeMemory | null {
    const allocated = native.arenaAllocate(byteLength);
    return allocated && NativeMemory.adopt(allocated[0], allocated[1], byteLength);
  }

  /** Takes over a reference that native code gave to JavaScript. For src/native only. */
  static adopt(handle: number, arenaOffset: number, byteLength: number, blockOffset = 0): NativeMemory {
    return new NativeMemory(new Block(handle), arenaOffset, blockOffset, byteLength);
  }

  /** Names the native block. For src/native only. */
  get handle(): number {
    this.#assertHeld();
    return this.#block.handle;
  }

  /** Where the range begins in the arena; a whole block begins at a multiple of 4096. */
  get arenaOffset(): number {
    this.#assertHeld();
    return this.#arenaOffset;
  }

  /** Where the native block is that this is a range of, all of which is in use for as long as this is held. */
  get block(): { readonly arenaOffset: number; readonly byteLength: number } {
    const byteLength = native.arenaBlockBytes(this.handle);
    return { arenaOffset: this.#arenaOffset - this.blockOffset, byteLength };
  }

  /** A view of the range, valid while it is held. */
  bytes(): Uint8Array {
    this.#assertHeld();
    return arenaView(this.#arenaOffset, this.byteLength);
  }

  /** A part of the range with a reference of its own. */
  slice(offset: number, byteLength: number): NativeMemory {
    this.#assertHeld();
    if (!(offset >= 0 && byteLength >= 0 && offset + byteLength <= this.byteLength)) {
      throw new RangeError(`slice ${offset}+${byteLength} of ${this.byteLength} bytes`);
    }
    this.#block.retain();
    return new NativeMemory(this.#block, this.#arenaOffset + offset, this.blockOffset + offset, byteLength);
  }

  retain(): this {
    this.#assertHeld();
    this.#references++;
    return this;
  }

  release(): void {
    this.#assertHeld();
    if (--this.#references === 0) this.#block.release();
  }

  #assertHeld(): void {
    if (this.#references === 0) throw new Error('native memory was released already');
  }
}
