import { ExtentList } from './extents.ts';

/** A list of segments of a gigabyte, of extents of a megabyte, has some 160 KiB. */
const MAX_BYTES = 32 << 20;

/** The lists of extents of complete segments that were asked for last, so many bytes of them. */
export class ExtentLists {
  readonly #maxBytes: number;
  /** Least recently used first. */
  readonly #lists = new Map<string, { readonly list: Promise<ExtentList | null>; bytes: number }>();
  #bytes = 0;

  constructor(maxBytes = MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The list at `path`; null when there is none, or it is damaged or cannot be read now. */
  get(path: string): Promise<ExtentList | null> {
    const known = this.#lists.get(path);
    if (known !== undefined) {
      this.#lists.delete(path);
      this.#lists.set(path, known);
      return known.list;
    }
    const read = { list: ExtentList.read(path).catch(() => null), bytes: 0 };
    this.#lists.set(path, read);
    void read.list.then((list) => {
      if (this.#lists.get(path) !== read) return;
      // What is not there now may be later.
      if (list === null) this.#lists.delete(path);
      else this.#keep(read, list.byteLength);
    });
    return read.list;
  }

  /** It has been written anew, or removed. */
  forget(path: string): void {
    this.#bytes -= this.#lists.get(path)?.bytes ?? 0;
    this.#lists.delete(path);
  }

  #keep(read: { bytes: number }, bytes: number): void {
    read.bytes = bytes;
    this.#bytes += bytes;
    for (const [path, { bytes: size }] of this.#lists) {
      if (this.#bytes <= this.#maxBytes) return;
      // One that is still being read has no size yet, and whoever asked for it has it.
      if (size > 0) this.forget(path);
    }
  }
}
