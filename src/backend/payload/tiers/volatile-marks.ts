import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFile, syncDirectory } from '../small-files.ts';

const SUFFIX = '.memory';
const NAME = /^(\d{20})\.memory$/;

/**
 * Notes which payload segments of a partition lie where a restart of the machine loses them: an empty file for each beside the lists of
 * extents. A segment that is noted and nowhere to be found was lost so, and in no other way.
 */
export class VolatileMarks {
  /** The partition's payload directory. */
  #directory: string;
  /** Files that a note stands for, by segment: while one is moved there are two. */
  readonly #counts = new Map<number, number>();
  /** Changes of the directory, in order. */
  #changes: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The segments that are noted on disk, where the directory holds `names`. */
  find(names: readonly string[]): number[] {
    return names.flatMap((name) => (NAME.test(name) ? [Number(name.slice(0, -SUFFIX.length))] : []));
  }

  /** Nothing is noted, nor forgotten, before the promise has settled; resolves when nothing is being. */
  async hold(until: Promise<void>): Promise<void> {
    const before = this.#changes;
    this.#changes = before.then(() => until);
    await before;
  }

  relocated(directory: string): void {
    this.#directory = directory;
  }

  /** Counts a file that was found, and noted before. */
  adopt(segmentId: number): void {
    this.#counts.set(segmentId, (this.#counts.get(segmentId) ?? 0) + 1);
  }

  /** Resolves when a file that is to be made is noted, durably. The directory must be there. */
  add(segmentId: number): Promise<void> {
    this.adopt(segmentId);
    return this.#change(async () => {
      await (await open(this.#path(segmentId), 'w')).close();
      await syncDirectory(this.#directory);
    });
  }

  /** One of the segment's files is gone, or will never be. A note that stays does no harm. */
  remove(segmentId: number): void {
    const count = (this.#counts.get(segmentId) ?? 0) - 1;
    if (count > 0) {
      this.#counts.set(segmentId, count);
      return;
    }
    this.#counts.delete(segmentId);
    this.clear([segmentId]).catch(() => undefined);
  }

  /** Removes notes that stand for nothing. */
  clear(segmentIds: Iterable<number>): Promise<void> {
    return this.#change(async () => {
      for (const id of segmentIds) if (!this.#counts.has(id)) await removeFile(this.#path(id));
    });
  }

  #path(segmentId: number): string {
    return join(this.#directory, `${String(segmentId).padStart(20, '0')}${SUFFIX}`);
  }

  #change(action: () => Promise<void>): Promise<void> {
    const changed = this.#changes.then(action);
    this.#changes = changed.catch(() => undefined);
    return changed;
  }
}
