import { isPausing } from '../../../util/clock.ts';
import type { Reference } from '../payload-recovery.ts';
import type { PayloadPlace, SegmentOwner } from '../ports.ts';
import type { FileView } from './policy.ts';
import type { TierPath } from './tier-path.ts';

/** A file that could not be moved is left alone for so long. */
export const RETRY_MS = 60_000;

/** Whose the files of a tier are: a partition, or of a payload store the copy of a segment. */
export interface TierFileOwner {
  readonly segments: Pick<SegmentOwner, 'move' | 'complete'> | null;
  readonly pin: number | null;
  /** Where a segment's file is to be there. */
  pathIn(at: TierPath, segmentId: number, modifiedMs: number): string;
  /** Resolves when the file can be made there. */
  prepare(at: TierPath, segmentId: number): Promise<unknown>;
  /** A file of the segment is no more where a restart of the machine would have lost it. */
  leftMemory?(segmentId: number): void;
  /** What the log refers to in a complete segment; null while that cannot be said, and when it is nothing. */
  referencesIn?(segmentId: number): Promise<Reference[] | null>;
}

/**
 * `writing`: being appended to, or found without a list of its extents. `complete`: may be moved. `arriving`: is being copied here. `leaving`: is being
 * copied elsewhere. `stuck`: cannot be moved.
 */
export type TierFileState = 'writing' | 'complete' | 'arriving' | 'leaving' | 'stuck';

/** One payload file in a tier, and its share of the path's bytes. */
export class TierFile implements PayloadPlace, FileView {
  readonly segmentId: number;
  readonly isInTier = true;
  path: string;
  readonly ready: Promise<unknown>;
  readonly at: TierPath;
  /** Null for one whose partition is not open. */
  owner: TierFileOwner | null;
  state: TierFileState;
  /** Bytes that it takes. */
  bytes = 0;
  /** Its length: more than it takes when space was given back. */
  length = 0;
  modifiedMs: number;
  /** When the oldest that it holds came, about. */
  readonly beganMs: number;
  /** Not to be moved before. */
  retryAtMs = 0;
  readonly #now: () => number;

  constructor(options: {
    segmentId: number;
    path: string;
    ready: Promise<unknown>;
    at: TierPath;
    owner: TierFileOwner | null;
    state: TierFileState;
    bytes: number;
    modifiedMs: number;
    now: () => number;
  }) {
    this.segmentId = options.segmentId;
    this.path = options.path;
    this.ready = options.ready;
    this.at = options.at;
    this.owner = options.owner;
    this.state = options.state;
    this.modifiedMs = options.modifiedMs;
    this.beganMs = options.modifiedMs;
    this.#now = options.now;
    this.at.files.add(this);
    this.#setLength(options.bytes);
  }

  get tier(): number {
    return this.at.tier;
  }

  get pin(): number | null {
    return this.owner?.pin ?? null;
  }

  get outage(): string | null {
    return this.at.error;
  }

  get isSolid(): boolean {
    return this.at.bucket !== null;
  }

  hasRoomFor(bytes: number): boolean {
    return bytes <= this.at.roomBytes;
  }

  resized(bytes: number): void {
    this.#setLength(bytes);
    this.modifiedMs = this.#now();
  }

  completed(bytes: number): void {
    this.#setLength(bytes);
    this.state = 'complete';
  }

  holds(bytes: number): void {
    if (!this.isSolid) this.#setBytes(bytes);
  }

  failed(error: unknown): void {
    if (this.state !== 'writing') this.state = 'stuck';
    this.at.failed(error);
  }

  /** Has its segment ended if it is being written, so that it can be moved. */
  complete(): void {
    if (this.state === 'writing') this.owner?.segments?.complete(this.segmentId);
  }

  isMovable(nowMs: number): boolean {
    const isPaused = isPausing(this.retryAtMs, nowMs, RETRY_MS);
    return this.state === 'complete' && this.owner?.segments != null && !isPaused;
  }

  removed(): void {
    if (!this.at.files.delete(this)) return;
    this.at.usedBytes -= this.bytes;
    if (this.at.isVolatile) this.owner?.leftMemory?.(this.segmentId);
  }

  relocated(path: string): void {
    this.path = path;
  }

  #setLength(bytes: number): void {
    this.length = bytes;
    this.#setBytes(bytes);
  }

  #setBytes(bytes: number): void {
    if (this.at.files.has(this)) this.at.usedBytes += bytes - this.bytes;
    this.bytes = bytes;
  }
}
