import type { StoreFile } from '../../../../native/store-file.ts';

/** A file that is opened when it is needed. */
export class LazyFile {
  readonly #open: () => Promise<StoreFile>;
  #file: Promise<StoreFile> | null = null;
  #closing: Promise<unknown> = Promise.resolve();

  constructor(open: () => Promise<StoreFile>) {
    this.#open = open;
  }

  /** What failed is tried again the next time. */
  get(): Promise<StoreFile> {
    this.#file ??= this.#opened(this.#open);
    return this.#file;
  }

  /** Opens it in another way. Not while it is open. */
  openBy(open: () => Promise<StoreFile>): Promise<StoreFile> {
    this.#file = this.#opened(open);
    return this.#file;
  }

  #opened(open: () => Promise<StoreFile>): Promise<StoreFile> {
    const opened = this.#closing.then(open);
    opened.catch(() => {
      if (this.#file === opened) this.#file = null;
    });
    return opened;
  }

  /** Gives its descriptor back; what was begun on it ends well. Never rejects. */
  release(): Promise<unknown> {
    const file = this.#file;
    this.#file = null;
    const before = this.#closing;
    const close = async () => (await file?.catch(() => null))?.close();
    this.#closing = Promise.allSettled([before, close()]);
    return this.#closing;
  }
}
