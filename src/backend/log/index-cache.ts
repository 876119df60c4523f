/** Something whose memory can be had back. */
export interface Unloadable {
  readonly loadedBytes: number;
  unload(): void;
}

/** Keeps the indexes of old segments that were used last, up to a number of bytes. */
export class IndexCache {
  readonly #limitBytes: number;
  /** In the order of their last use. */
  readonly #held = new Map<Unloadable, number>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get byteLength(): number {
    return this.#bytes;
  }

  /** Notes a use; may unload others. */
  touch(item: Unloadable): void {
    this.forget(item);
    this.#held.set(item, item.loadedBytes);
    this.#bytes += item.loadedBytes;
    for (const oldest of this.#held.keys()) {
      if (this.#bytes <= this.#limitBytes || oldest === item) break;
      this.forget(oldest);
      oldest.unload();
    }
  }

  /** Drops an item without unloading it. */
  forget(item: Unloadable): void {
    this.#bytes -= this.#held.get(item) ?? 0;
    this.#held.delete(item);
  }
}
