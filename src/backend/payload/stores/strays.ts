import type { KnownPartitions } from './payload-stores.ts';
import type { StrayKind } from './store-comparison.ts';
import { generationIn, generationOf, type StoredName } from './stored-name.ts';

/** What was removed longer ago is found as what nobody refers to. */
const MAX_REMEMBERED = 100_000;

/** Tells apart the files at stores that are no copies of a segment of this gateway. */
export class Strays {
  /** Files and partitions that were removed since the start, oldest first. */
  readonly #files = new Set<string>();
  readonly #partitions = new Set<string>();

  fileGone(file: string): void {
    remember(this.#files, file);
  }

  partitionRemoved(name: string): void {
    remember(this.#partitions, name);
  }

  isGone(partition: string, file: string): boolean {
    return this.#files.has(file) || this.#partitions.has(partition);
  }

  /** `isOpen`: all segments of its partition are known. */
  kindOf(name: StoredName, known: KnownPartitions, isOpen: boolean): StrayKind {
    if (known.isEmpty || (!isOpen && known.has(name.partition))) return 'unknown';
    const generation = generationIn(name);
    return known.directoryIds.some((id) => generationOf(id) === generation) ? 'orphan' : 'foreign';
  }
}

function remember(set: Set<string>, name: string): void {
  set.add(name);
  if (set.size <= MAX_REMEMBERED) return;
  const [oldest] = set;
  set.delete(oldest!);
}
