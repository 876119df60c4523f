import { NativeMemory } from '../../../native/arena.ts';
import { crc32cSoon } from '../../../native/batch.ts';
import type { RangeRead } from '../../../native/listed-pieces.ts';
import { MemoryPiece } from '../../../native/pieces.ts';
import { LogError, LogErrorCode } from '../../log/errors.ts';
import type { Reference } from '../payload-recovery.ts';
import { StoreError } from './messages.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import type { CopyRecord } from './segment-record.ts';
import type { StorePeer } from './store-peer.ts';

/** See `payload.stores.copy.source`. */
export type CopySource = 'gateway' | 'store';

/** What a segment needs of those who know the stores. */
export interface SegmentStores {
  /** Who gives an extent to the second store and the others: this gateway, or the first store. */
  readonly copySource: CopySource;
  readonly requestTimeoutMs: number;
  /** New segments need not outlast restarts of the machines of all their stores. */
  readonly mayLose: boolean;
  /** The store, while it is in. */
  peer(store: string): StorePeer | null;
  /** Stores that could take a copy, of those that have none. */
  spare(copies: readonly string[]): number;
  /** Reads go first to whoever this puts first. */
  byDistance(peers: StorePeer[]): StorePeer[];
  /** What the log refers to in the segment, all of it; null while that is not known. */
  references(segment: ReplicatedSegment): Promise<readonly Reference[] | null>;
  /** The tier in which stores are to keep its partition; null: none. */
  pinOf(segment: ReplicatedSegment): number | null;
  /** Something about the segment is not as it should be, or was completed. */
  changed(segment: ReplicatedSegment): void;
  forgotten(segment: ReplicatedSegment): void;
  /** Nobody needs the file any more: stores that still have it are to remove it. */
  gone(file: string): void;
  warn(fields: object, message: string): void;
}

/** A copy of a segment at one store. */
export interface Copy extends CopyRecord {
  /** As the store knows it. */
  readonly file: string;
  doubtful: boolean;
}

/** A copy whose store is in. */
export interface ReachedCopy {
  readonly copy: Copy;
  readonly peer: StorePeer;
}

/** Whole copies before doubtful ones, near ones first. */
export function readersOf(copies: readonly Copy[], stores: SegmentStores): ReachedCopy[] {
  const reached = (doubtful: boolean) => {
    const byPeer = new Map<StorePeer, Copy>();
    for (const copy of copies) {
      const peer = copy.doubtful === doubtful ? stores.peer(copy.store) : null;
      if (peer !== null) byPeer.set(peer, copy);
    }
    return stores.byDistance([...byPeer.keys()]).map((peer) => ({ peer, copy: byPeer.get(peer)! }));
  };
  return [...reached(false), ...reached(true)];
}

/** Whether a store has said with this error what it has: nothing of use. Any other one may be different the next time. */
export function isAnswer(error: unknown): boolean {
  return error instanceof StoreError && (error.code === 'ENOENT' || error.code === 'EBADMSG');
}

/** Reads a range of a copy into this gateway's memory, fewer bytes at its end. Rejects with a StoreError. */
export async function readCopy(
  { peer, copy }: ReachedCopy,
  range: { readonly position: number; readonly length: number; readonly seed: number },
  timeoutMs: number,
): Promise<RangeRead> {
  const { position, length, seed } = range;
  const memory = NativeMemory.allocate(Math.max(length, 1));
  if (memory === null) throw new StoreError('ENOMEM', 'the arena is full');
  try {
    const { key } = peer;
    const { file } = copy;
    const into = { position, length, seed, target: memory.arenaOffset, key, timeoutMs };
    const read = await peer.request({ op: 'read', file, ...into });
    if (read.length > length) throw new StoreError('EPROTO', 'the store sent more than was asked for');
    peer.counters.readBytes += read.length;
    const piece = new MemoryPiece(memory, 0, read.length);
    // What the store has read may have been changed on the way.
    return { piece, crc32c: await crc32cSoon(piece, seed) };
  } catch (error) {
    memory.release();
    throw error;
  }
}

/** Kafka's NOT_ENOUGH_REPLICAS: nothing was appended, and the producer tries again. */
export function notEnough(available: number, needed: number, reason: string): LogError {
  const what = `${available} payload stores can take it, ${needed} are needed`;
  return new LogError(LogErrorCode.NOT_ENOUGH_REPLICAS, reason === '' ? what : `${what}: ${reason}`);
}

/** The same code, for what is in the log already. */
export function tooFewCopies(whole: number, needed: number): LogError {
  const what = `${whole} payload stores have all of its segment for sure, ${needed} are needed`;
  return new LogError(LogErrorCode.NOT_ENOUGH_REPLICAS, `the batch is in the log, but ${what}: try again`);
}

/** In the arena, where stores can take it from; the caller releases it. */
export function held(piece: Uint8Array | MemoryPiece): MemoryPiece {
  if (piece instanceof MemoryPiece) {
    piece.memory.retain();
    return piece;
  }
  const memory = NativeMemory.allocate(Math.max(piece.byteLength, 1));
  if (memory === null) throw new StoreError('ENOBUFS', 'the arena is full');
  memory.bytes().set(piece);
  return new MemoryPiece(memory, 0, piece.byteLength);
}
