import { join } from 'node:path';
import type { DirectoryEntry, FileSystem } from '../ports.ts';

/** What a file is called while it is copied. */
const COPY_SUFFIX = '.moving';
const STEP_BYTES = 4 << 20;
/** Files that were last changed within so many milliseconds of each other count as the same: not every file system keeps all digits. */
const SAME_TIME_MS = 1;

type FileState = Pick<DirectoryEntry, 'sizeBytes' | 'modifiedMs'>;

/** Whoever lets a copy go on. */
export interface CopyPace {
  /** Resolves when the next step may begin; rejects to end the copying. */
  next(): Promise<void>;
  copied(bytes: number): void;
}

/**
 * A copy of a directory, with those in it, that is brought up to date again and again while the files there change. Files count as unchanged that have
 * the same size and time of change; each is there as a whole and durably, or not at all.
 */
export class DirectoryCopy {
  readonly from: string;
  readonly to: string;
  readonly #fileSystem: FileSystem;
  readonly #pace: CopyPace;
  /** What was copied: the originals as they were then, by their names in the directory. */
  #copied: Map<string, FileState> | null = null;
  readonly #made = new Set<string>();

  constructor(fileSystem: FileSystem, from: string, to: string, pace: CopyPace) {
    this.from = from;
    this.to = to;
    this.#fileSystem = fileSystem;
    this.#pace = pace;
  }

  /** What is there. */
  names(): Iterable<string> {
    return this.#copied?.keys() ?? [];
  }

  /** Bytes of the copies for whose names it is true. */
  bytes(counts: (name: string) => boolean): number {
    let bytes = 0;
    for (const [name, { sizeBytes }] of this.#copied ?? []) if (counts(name)) bytes += sizeBytes;
    return bytes;
  }

  /**
   * Copies the files that are wanted and new or changed, in the order of their names, and removes copies of those that are gone or not
   * wanted. `pace`: another one than usual.
   */
  async update(
    isWanted: (name: string, all: ReadonlyMap<string, unknown>) => boolean,
    pace = this.#pace,
  ): Promise<void> {
    await this.#makeDirectory(this.to);
    const originals = await this.#files(this.from);
    const copied = this.#copied ?? (await this.#findCopied(originals));
    this.#copied = copied;
    for (const name of [...copied.keys()])
      if (!originals.has(name) || !isWanted(name, originals)) await this.#remove(name, copied);
    for (const [name, original] of [...originals].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (!isWanted(name, originals) || isSame(copied.get(name), original, 0)) continue;
      if (copied.has(name)) await this.#remove(name, copied);
      try {
        await this.#copy(name, original, pace);
        copied.set(name, original);
      } catch (error) {
        // What has gone meanwhile, or has changed, is seen to the next time.
        const now = (await this.#files(this.from)).get(name);
        if (isSame(now, original, 0)) throw error;
        for (const rest of [name + COPY_SUFFIX, name]) await this.#fileSystem.remove(join(this.to, rest));
      }
    }
  }

  /** What an earlier process has copied and is still good; all else is removed. */
  async #findCopied(originals: ReadonlyMap<string, FileState>): Promise<Map<string, FileState>> {
    const found = new Map<string, FileState>();
    for (const [name, copy] of await this.#files(this.to)) {
      const original = originals.get(name);
      if (original !== undefined && isSame(copy, original, SAME_TIME_MS)) found.set(name, original);
      else await this.#fileSystem.remove(join(this.to, name));
    }
    return found;
  }

  async #remove(name: string, copied: Map<string, FileState>): Promise<void> {
    copied.delete(name);
    await this.#fileSystem.remove(join(this.to, name));
  }

  async #copy(name: string, { sizeBytes }: FileState, pace: CopyPace): Promise<void> {
    const [from, to] = [join(this.from, name), join(this.to, name)];
    const copy = to + COPY_SUFFIX;
    if (name.includes('/')) await this.#makeDirectory(join(to, '..'));
    await this.#fileSystem.remove(copy);
    let position = 0;
    do {
      const length = Math.min(STEP_BYTES, sizeBytes - position);
      await pace.next();
      const bytes = await this.#fileSystem.copyRange(from, copy, position, Math.max(1, length));
      if (bytes < length) throw new Error(`${from} ends at ${position + bytes}, before ${sizeBytes}`);
      pace.copied(bytes);
      position += length;
    } while (position < sizeBytes);
    await this.#fileSystem.publishCopy(from, copy, to);
  }

  async #makeDirectory(path: string): Promise<void> {
    if (this.#made.has(path)) return;
    await this.#fileSystem.makeDirectory(path);
    await this.#fileSystem.syncDirectory(join(path, '..'));
    this.#made.add(path);
  }

  /** All files below, by their paths from there. */
  async #files(directory: string, prefix = ''): Promise<Map<string, FileState>> {
    const files = new Map<string, FileState>();
    for (const { name, isDirectory, ...state } of (await this.#fileSystem.list(directory)) ?? []) {
      if (!isDirectory) files.set(prefix + name, state);
      else
        for (const [inner, its] of await this.#files(join(directory, name), `${prefix}${name}/`))
          files.set(inner, its);
    }
    return files;
  }
}

function isSame(one: FileState | undefined, other: FileState, toleranceMs: number): boolean {
  if (one === undefined || one.sizeBytes !== other.sizeBytes) return false;
  return Math.abs(one.modifiedMs - other.modifiedMs) <= toleranceMs;
}
