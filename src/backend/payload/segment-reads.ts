import type { RangeRead, ReadRange } from '../../native/listed-pieces.ts';
import { overlaps } from './dead-ranges.ts';
import type { OpenFiles } from './open-files.ts';
import type { SegmentExtents } from './segment-extents.ts';

const NO_HOLES = new Float64Array(0);

/** Reads of a segment's file, which let others change the file, or where it is. */
export class SegmentReads {
  readonly #open: OpenFiles;
  readonly #extents: SegmentExtents;
  readonly #underWay = new Set<Promise<unknown>>();
  /** What nobody may read any more; null: its list says that. */
  #holes: Float64Array | null;
  /** Until when nothing is read by its name; null: now. */
  #held: Promise<void> | null = null;

  constructor(open: OpenFiles, extents: SegmentExtents) {
    this.#open = open;
    this.#extents = extents;
    this.#holes = extents.summary.freedBytes > 0 ? null : NO_HOLES;
  }

  /** See PayloadSegment.read. `path`: where the file is by then. */
  async read(path: () => string, ranges: readonly ReadRange[]): Promise<(RangeRead | Error)[]> {
    await this.mayBegin();
    if (this.#holes === null) {
      const holes = await this.#extents.holes();
      this.#holes ??= holes;
    }
    const holes = this.#holes;
    const isGone = ({ position, length }: ReadRange) => overlaps(holes, position, length);
    const there = holes.length === 0 ? ranges : ranges.filter((range) => !isGone(range));
    const reads = there.length === 0 ? [] : await this.#readWhereItIs(path, there);
    if (there.length === ranges.length) return reads;
    let next = 0;
    return ranges.map((range) =>
      isGone(range) ? new Error('no record refers to it any more') : reads[next++]!,
    );
  }

  /** What was moved meanwhile, and could not be read any more where it was, is read where it is then. */
  async #readWhereItIs(path: () => string, ranges: readonly ReadRange[]): Promise<(RangeRead | Error)[]> {
    const from = path();
    const reads = await this.#readAll(from, ranges).catch((error: Error) => ranges.map(() => error));
    const failed = ranges.filter((_, i) => reads[i] instanceof Error);
    if (failed.length === 0 || path() === from) return reads;
    const again = await this.#readWhereItIs(path, failed);
    let next = 0;
    return reads.map((read) => (read instanceof Error ? again[next++]! : read));
  }

  async #readAll(path: string, ranges: readonly ReadRange[]): Promise<(RangeRead | Error)[]> {
    const reader = this.#open.acquire(path);
    const read = reader.file.then((file) => file.readRanges(ranges));
    this.#underWay.add(read);
    try {
      return await read;
    } finally {
      this.#underWay.delete(read);
      this.#open.release(reader);
    }
  }

  /** Resolves when the files may be opened by their names. */
  async mayBegin(): Promise<void> {
    if (this.#held !== null) await this.#held;
  }

  /** Nothing is read by its name before the promise, which is never rejected, has settled; resolves when nothing is. */
  async hold(until: Promise<void>): Promise<void> {
    this.#held = until.then(() => {
      this.#held = null;
    });
    await Promise.allSettled(this.#underWay);
  }

  /** Nobody begins to read in these ranges any more; resolves when who has begun has ended. */
  async leave(ranges: Float64Array): Promise<void> {
    this.#holes = ranges;
    await Promise.allSettled(this.#underWay);
  }
}
