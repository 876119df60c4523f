import { ExtentLists } from './extent-lists.ts';
import type { PayloadFile, PayloadFiles, PayloadOpenOptions } from './ports.ts';

/** A file in use; give it back with `OpenFiles.release`. */
export interface OpenFile {
  readonly path: string;
  readonly file: Promise<PayloadFile>;
  /** The file, once it is open. */
  opened: PayloadFile | null;
  users: number;
  /** Not to be kept open when its last user is done. */
  forgotten: boolean;
}

/** Keeps the files used last open, at most `limit` of them beyond those in use. */
export class OpenFiles {
  /** Lists of extents, which are kept like files. */
  readonly lists = new ExtentLists();
  readonly #files: PayloadFiles;
  readonly #limit: number;
  /** Least recently used first. */
  readonly #open = new Map<string, OpenFile>();

  constructor(files: PayloadFiles, limit: number) {
    this.#files = files;
    this.#limit = limit;
  }

  /** The file, opened if need be; it stays open until it is released as often as it was acquired. */
  acquire(path: string, options: PayloadOpenOptions = {}): OpenFile {
    let entry = this.#open.get(path);
    if (entry === undefined) {
      entry = {
        path,
        file: this.#files.open(path, options),
        opened: null,
        users: 0,
        forgotten: false,
      };
      const added = entry;
      added.file.then(
        (file) => {
          added.opened = file;
        },
        // Whoever awaits the file sees the error; here it only must not be cached.
        () => {
          added.forgotten = true;
          if (this.#open.get(path) === added) this.#open.delete(path);
        },
      );
    } else {
      this.#open.delete(path);
    }
    entry.users++;
    this.#open.set(path, entry);
    this.#evict();
    return entry;
  }

  /** The file if it is open; it stays so for the turn. */
  peek(path: string): PayloadFile | null {
    return this.#open.get(path)?.opened ?? null;
  }

  release(entry: OpenFile): void {
    entry.users--;
    if (entry.users === 0 && entry.forgotten) void close(entry);
    else this.#evict();
  }

  /** Closes the file as soon as nobody uses it; resolves when it is closed, or still used. */
  async forget(path: string): Promise<void> {
    const entry = this.#open.get(path);
    if (entry === undefined) return;
    this.#open.delete(path);
    entry.forgotten = true;
    if (entry.users === 0) await close(entry);
  }

  /** Whoever uses the file still can. */
  async remove(path: string): Promise<void> {
    await this.forget(path);
    await this.#files.remove(path);
  }

  /** Gives back the space of parts of a complete file; see `PayloadFiles.punch`. Resolves to what it takes then. */
  async punch(path: string, ranges: Float64Array): Promise<number> {
    const { held, replaced } = await this.#files.punch(path, ranges);
    if (replaced) await this.forget(path);
    return held;
  }

  #evict(): void {
    if (this.#open.size <= this.#limit) return;
    let idle = 0;
    for (const entry of this.#open.values()) if (entry.users === 0) idle++;
    for (const entry of this.#open.values()) {
      if (idle <= this.#limit) return;
      if (entry.users > 0) continue;
      void this.forget(entry.path);
      idle--;
    }
  }
}

async function close(entry: OpenFile): Promise<void> {
  const file = await entry.file.catch(() => null);
  await file?.close().catch(() => undefined);
}
