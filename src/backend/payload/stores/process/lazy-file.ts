import type { StoreFile } from '../../../../native/store-file.ts';

/** A file that is opened when it is needed. */
export class LazyFile {
  readonly #open: () => Promise<StoreFile>;
  #file: Promise<StoreFile> | null = null;
  #opened: StoreFile | null = null;
  #closing: Promise<unknown> = Promise.resolve();

  constructor(open: () => Promise<StoreFile>) {
    this.#open = open;
  }

  /** It, when it is open. */
  get opened(): StoreFile | null {
    return this.#opened;
  }

  /** What failed is tried again the next time. */
  get(): Promise<StoreFile> {
    this.#file ??= this.#openBy(this.#open);
    return this.#file;
  }

  /** Opens it in another way. Not while it is open. */
  openBy(open: () => Promise<StoreFile>): Promise<StoreFile> {
    this.#file = this.#openBy(open);
    return this.#file;
  }

  #openBy(open: () => Promise<StoreFile>): Promise<StoreFile> {
    const opening = this.#closing.then(open);
    opening.then(
      (opened) => {
        if (this.#file === opening) this.#opened = opened;
      },
      () => {
        if (this.#file === opening) this.#file = null;
      },
    );
    return opening;
  }

  /** Gives its descriptor back; what was begun on it ends well. Never rejects. */
  release(): Promise<unknown> {
    const file = this.#file;
    this.#file = null;
    this.#opened = null;
    const before = this.#closing;
    const close = async () => (await file?.catch(() => null))?.close();
    this.#closing = Promise.allSettled([before, close()]);
    return this.#closing;
  }
}
