import type { StoredFile } from './stored-file.ts';

/** The files of a store that are open: those that were used last, and those that are in use, which may be more. */
export class OpenFiles {
  readonly #max: number;
  /** Least recently used first. */
  readonly #files = new Set<StoredFile>();

  constructor(max: number) {
    this.#max = max;
  }

  get count(): number {
    return this.#files.size;
  }

  /** The file is used now. */
  use(file: StoredFile): void {
    this.#files.delete(file);
    this.#files.add(file);
    if (this.#files.size <= this.#max) return;
    for (const idle of this.#files) {
      if (this.#files.size <= this.#max) return;
      if (idle === file || idle.isBusy) continue;
      this.#files.delete(idle);
      void idle.release();
    }
  }

  /** It is closed. */
  forget(file: StoredFile): void {
    this.#files.delete(file);
  }
}
