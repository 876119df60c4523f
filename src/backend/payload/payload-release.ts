import { join } from 'node:path';
import type { Extent } from './extents.ts';
import type { PartitionSegments } from './partition-segments.ts';
import { type Reference, UNRELEASED } from './payload-recovery.ts';
import type { PayloadSegment } from './segment.ts';
import { removeFile, replaceFile } from './small-files.ts';

const FAILURE = 'Payload that nothing refers to could not be removed';

/** Gives up single extents to which nothing refers any more, as compaction says. */
export class PayloadRelease {
  readonly #segments: PartitionSegments;
  readonly #isActive: (segment: PayloadSegment) => boolean;
  /** What is to be given up, by segment: base offsets of extents. Null: nothing was yet. */
  #unreleased: Map<number, Set<bigint>> | null = null;
  /** What was to be given up may still be listed: `retainOnly` is to be told what the log refers to. */
  mayHoldDead = false;

  /** `isActive`: the segment takes extents, and stays although it has none. */
  constructor(segments: PartitionSegments, isActive: (segment: PayloadSegment) => boolean) {
    this.#segments = segments;
    this.#isActive = isActive;
  }

  /** See PartitionPayloads.release. */
  async release(
    extents: readonly { readonly segmentId: number; readonly baseOffset: bigint }[],
  ): Promise<void> {
    this.#unreleased ??= new Map();
    for (const { segmentId, baseOffset } of extents) {
      const offsets = this.#unreleased.get(segmentId);
      if (offsets === undefined) this.#unreleased.set(segmentId, new Set([baseOffset]));
      else offsets.add(baseOffset);
    }
    try {
      await this.#segments.serially(() => this.#dropUnreleased());
    } catch (error) {
      this.#segments.warn(error, FAILURE);
      throw error;
    }
  }

  get #hasUnreleased(): boolean {
    return this.#unreleased !== null && this.#unreleased.size > 0;
  }

  /** What could not be given up is tried again. */
  retry(): void {
    if (this.#hasUnreleased) void this.#segments.inBackground(() => this.#dropUnreleased(), FAILURE);
  }

  async #dropUnreleased(): Promise<void> {
    const failures: unknown[] = [];
    const unreleased = this.#unreleased ?? new Map<number, Set<bigint>>();
    for (const [id, offsets] of [...unreleased]) {
      if (this.#segments.closed) return;
      unreleased.delete(id);
      try {
        await this.#drop(id, ({ baseOffset }) => offsets.has(baseOffset));
      } catch (error) {
        failures.push(error);
        const added = unreleased.get(id) ?? [];
        unreleased.set(id, new Set([...offsets, ...added]));
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** See PartitionPayloads.retainOnly. */
  async retainOnly(references: AsyncIterable<Reference>): Promise<void> {
    const unseen = new Set(Array.from(this.#segments, ({ id }) => id));
    const settle = async (id: number, live: ReadonlySet<bigint>) => {
      unseen.delete(id);
      await this.#drop(id, ({ baseOffset }) => !live.has(baseOffset));
    };
    // Segments follow each other as offsets do: only one's references are held.
    let id = -1;
    let live = new Set<bigint>();
    for await (const { segmentId, baseOffset } of references) {
      if (id !== segmentId) {
        await settle(id, live);
        id = segmentId;
        live = new Set();
      }
      live.add(baseOffset);
    }
    await settle(id, live);
    for (const id of unseen) await this.#drop(id, () => true);
    if (this.mayHoldDead) await removeFile(join(this.#segments.directory, UNRELEASED));
    this.mayHoldDead = false;
  }

  async #drop(id: number, isDead: (extent: Extent) => boolean): Promise<void> {
    const segment = this.#segments.get(id);
    if (segment === undefined) return;
    // The list is here, wherever the payload is.
    await segment.drop(isDead);
    if (!this.#isActive(segment) && segment.isComplete && segment.unused)
      await this.#segments.remove(segment);
  }

  /** At the end: what could not be given up is noted for the next start, which looks into the log then. */
  async noteLeft(): Promise<void> {
    if (!this.#hasUnreleased) return;
    try {
      await replaceFile(join(this.#segments.directory, UNRELEASED), Buffer.alloc(0));
    } catch (error) {
      this.#segments.warn(
        error,
        'Payload that nothing refers to stays until the log is recovered after a crash',
      );
    }
  }
}
