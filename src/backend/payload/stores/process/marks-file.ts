import type { Store } from '../../../../native/store.ts';
import type { StoreFile } from '../../../../native/store-file.ts';
import { LazyFile } from './lazy-file.ts';
import { MARK_BYTES, MAX_MARKS_BYTES } from './marks.ts';

/** The marks of a file that takes appends, which are appended themselves. Whoever has it sees to it that operations do not overlap `release`. */
export class MarksFile {
  readonly #path: string;
  readonly #store: Store;
  /** Of the marks that hold, with those on their way. */
  #bytes: number;
  readonly #file = new LazyFile(() => this.#open());
  #opened: StoreFile | null = null;

  /** `bytes`: of the marks that hold. */
  constructor(path: string, bytes: number, store: Store) {
    this.#path = path;
    this.#bytes = bytes;
    this.#store = store;
  }

  get isFull(): boolean {
    return this.#bytes >= MAX_MARKS_BYTES;
  }

  get isOpen(): boolean {
    return this.#opened !== null;
  }

  /** Opens it, and creates it if it is not there. */
  async open(): Promise<void> {
    this.#opened = await this.#file.get();
  }

  async #open(): Promise<StoreFile> {
    const file = await this.#store.open(this.#path, { create: true });
    try {
      // What follows those that hold is space that was allocated ahead, or was not written as a whole.
      if (file.size !== this.#bytes) await file.truncate(this.#bytes);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Behind all before; resolves when the mark survives the end of the process, and is null when it does already. Only while it is open. */
  add(mark: Buffer, fromMemory: boolean): Promise<void> | null {
    const { done } = this.#opened!.append([mark], { fromMemory });
    this.#bytes += MARK_BYTES;
    return done;
  }

  /** Only while it is open. */
  sync(): Promise<void> {
    return this.#opened!.sync();
  }

  /** Gives its descriptor back. */
  release(): Promise<unknown> {
    this.#opened = null;
    return this.#file.release();
  }

  async remove(): Promise<void> {
    await this.release();
    await this.#store.remove(this.#path);
  }
}
