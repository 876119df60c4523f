import { NativeMemory } from '../../../native/arena.ts';
import { crc32cSoon } from '../../../native/batch.ts';
import { MemoryPiece } from '../../../native/pieces.ts';
import type { Clock } from '../../../util/clock.ts';
import type { Reference } from '../payload-recovery.ts';
import { hasAll, hasExtent, type Pace } from './extent-check.ts';
import { MAX_SKIPPED_BYTES, StoreError } from './messages.ts';
import type { PayloadStores } from './payload-stores.ts';
import { punchCopy } from './punch-copy.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import { isAnswer, type ReachedCopy, readersOf } from './segment-copies.ts';
import type { StorePeer } from './store-peer.ts';

/** Segments are copied in steps of so many bytes. */
const STEP_BYTES = 4 << 20;
/** How often memory for a step is looked for. */
const MEMORY_LOOK_MS = 50;

/** A range of a segment, and the copy from which it is taken. */
export interface Part {
  readonly position: number;
  readonly length: number;
  readonly source: ReachedCopy;
  /** The log refers to it. What lies between is kept for whoever has read of it before it was given up. */
  readonly isLive: boolean;
}

/** Parts of a segment that were given back everywhere, and how often that was done: positions and lengths by turns, ascending. */
export interface Holes {
  readonly ranges: Float64Array;
  readonly round: number;
}

/** Where the parts of a good copy are. */
export interface CopySources {
  readonly parts: readonly Part[];
  /** Stores of copies that lack something. */
  readonly damaged: ReadonlySet<string>;
}

/** No copy has an extent as it was produced, though all were asked. */
export class LostExtent extends Error {
  constructor(segment: ReplicatedSegment, { baseOffset, position, length }: Reference) {
    super(`no copy of ${segment.file} has offset ${baseOffset}, ${length} bytes at ${position}, as produced`);
  }
}

/** Makes copies of segments from what is good of those that are there, and nothing else. */
export class SegmentCopier {
  readonly #stores: PayloadStores;
  readonly #pace: Pace;
  readonly #clock: Clock;
  copiedBytes = 0;
  /** Of holes, which stay holes. */
  skippedBytes = 0;

  /** `pace`: called before bytes are read or copied. */
  constructor(stores: PayloadStores, pace: Pace, clock: Clock) {
    this.#stores = stores;
    this.#pace = pace;
    this.#clock = clock;
  }

  /**
   * Finds a copy for each extent that has it as the log says. Rejects with a LostExtent, and with a StoreError when one that may have it does not
   * answer.
   */
  async find(segment: ReplicatedSegment, references: readonly Reference[]): Promise<CopySources> {
    const parts: Part[] = [];
    const damaged = new Set<string>();
    const readers = readersOf(segment.copies, this.#stores);
    let at = 0;
    for (const reference of references) {
      const source = await this.#sourceOf(segment, reference, readers, damaged);
      // Most likely the next one is there, too.
      readers.sort((a, b) => Number(b === source) - Number(a === source));
      const { position, length } = reference;
      if (position > at) parts.push({ position: at, length: position - at, source, isLive: false });
      parts.push({ position, length, source, isLive: true });
      at = position + length;
    }
    const [source] = readers;
    if (source !== undefined && at < segment.bytes)
      parts.push({ position: at, length: segment.bytes - at, source, isLive: false });
    return { parts, damaged };
  }

  async #sourceOf(
    segment: ReplicatedSegment,
    reference: Reference,
    readers: readonly ReachedCopy[],
    damaged: Set<string>,
  ): Promise<ReachedCopy> {
    const failures: string[] = [];
    for (const reader of readers) {
      const { peer, copy } = reader;
      try {
        if (await hasExtent(peer, copy.file, reference, this.#pace)) return reader;
        damaged.add(copy.store);
      } catch (error) {
        const { code, message } = error as StoreError;
        if (code === 'ESHUTDOWN') throw error;
        failures.push(`${copy.store}: ${message}`);
      }
    }
    if (failures.length === 0 && readers.length === segment.copies.length)
      throw new LostExtent(segment, reference);
    throw new StoreError('EAGAIN', `not every store that may have it answers: ${failures.join('; ')}`);
  }

  /** Makes a copy under another name, and sees whether it is what it should be. Nothing of it is left when it is not, or is not wanted any more. */
  async copy(
    segment: ReplicatedSegment,
    parts: readonly Part[],
    references: readonly Reference[],
    target: { readonly peer: StorePeer; readonly file: string },
  ): Promise<boolean> {
    const { peer, file } = target;
    const { bytes } = segment;
    try {
      const holes = await segment.holes();
      const tier = this.#stores.pinOf(segment) ?? undefined;
      await peer.request({ op: 'create', file, segmentBytes: bytes, tier });
      for (const step of stepsOf(parts, holes.ranges)) {
        if (!step.isHole) await this.#pace(step.length);
        if (!this.#stores.has(segment)) throw new StoreError('ECANCELED', `${segment.file} is gone`);
        if (step.isHole) await this.#skip(step, target);
        else await this.#copyStep(step, target);
      }
      await peer.request({ op: 'seal', file, bytes, trust: true });
      // Space that the file began with is given back.
      if (holes.ranges.length > 0) await punchCopy(peer, file, holes.ranges);
      segment.copiedWithHoles(peer.id!, file, holes.round);
      if (!(await hasAll(peer, file, references, this.#pace)))
        throw new StoreError('EBADMSG', `${peer.address} does not have what was given to it`);
      return true;
    } catch (error) {
      await peer.request({ op: 'remove', file }).catch(() => this.#stores.gone(file));
      if ((error as StoreError).code === 'ECANCELED') return false;
      throw error;
    }
  }

  async #skip(
    { position, length }: Step,
    { peer, file }: { readonly peer: StorePeer; readonly file: string },
  ): Promise<void> {
    await peer.request({ op: 'skip', file, position, length });
    this.skippedBytes += length;
  }

  async #copyStep(
    { source, position, length, isLive }: Part,
    { peer, file }: { readonly peer: StorePeer; readonly file: string },
  ): Promise<void> {
    const memory = await this.#allocate(length);
    const at = memory.arenaOffset;
    const timeoutMs = this.#stores.requestTimeoutMs;
    try {
      const order = { position, length, timeoutMs };
      const isRead = await readInto(memory, source, order);
      if (!isRead && isLive)
        throw new StoreError('EBADMSG', `${source.peer.address} did not give what it has`);
      if (!isRead) memory.bytes().fill(0, 0, length);
      await peer.request({ op: 'append', file, ...order, source: at, key: peer.key, fromMemory: false });
      this.copiedBytes += length;
    } finally {
      memory.release();
    }
  }

  /** Clients come first; what was copied until then is not given up for that. */
  async #allocate(bytes: number): Promise<NativeMemory> {
    const deadlineMs = this.#clock.now() + this.#stores.requestTimeoutMs;
    for (;;) {
      const memory = NativeMemory.allocate(bytes);
      if (memory !== null) return memory;
      if (this.#clock.now() >= deadlineMs) throw new StoreError('ENOMEM', 'the arena is full');
      await new Promise<void>((resolve) => this.#clock.setTimer(MEMORY_LOOK_MS, resolve));
      await this.#pace(0);
    }
  }
}

interface Step extends Part {
  readonly isHole: boolean;
}

/** Parts cut into what one request carries, without holes; what of these is live, against all expectation, is copied. */
export function* stepsOf(parts: readonly Part[], holes: Float64Array): Generator<Step> {
  let hole = 0;
  for (const part of parts) {
    const end = part.position + part.length;
    for (let at = part.position; at < end; ) {
      while (hole < holes.length && holes[hole]! + holes[hole + 1]! <= at) hole += 2;
      const begins = holes[hole] ?? Number.POSITIVE_INFINITY;
      const isHole = !part.isLive && begins <= at;
      const limit = isHole ? begins + holes[hole + 1]! : part.isLive || begins <= at ? end : begins;
      const most = isHole ? MAX_SKIPPED_BYTES : STEP_BYTES;
      const length = Math.min(most, Math.min(end, limit) - at);
      yield { ...part, position: at, length, isHole };
      at += length;
    }
  }
}

/** Whether all of it came, as the store has it. */
async function readInto(
  memory: NativeMemory,
  { peer, copy: { file } }: ReachedCopy,
  order: { readonly position: number; readonly length: number; readonly timeoutMs: number },
): Promise<boolean> {
  try {
    const { key } = peer;
    const read = await peer.request({ op: 'read', file, ...order, seed: 0, target: memory.arenaOffset, key });
    return (
      read.length === order.length &&
      (await crc32cSoon(new MemoryPiece(memory, 0, order.length))) === read.crc
    );
  } catch (error) {
    if (isAnswer(error) || (error as StoreError).code === 'EIO') return false;
    throw error;
  }
}
