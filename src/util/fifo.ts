/** The places of what was taken are given back when they are so many, and more than those that are left. */
const MOVE_AFTER = 1024;

/** First in, first out: taking the first out of a long array would move all the others. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #first = 0;

  get size(): number {
    return this.#items.length - this.#first;
  }

  get first(): T | undefined {
    return this.#items[this.#first];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Those in it, the first first. */
  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (let i = this.#first; i < this.#items.length; i++) yield this.#items[i]!;
  }

  take(): T | undefined {
    if (this.#first === this.#items.length) return undefined;
    const item = this.#items[this.#first];
    this.#items[this.#first++] = undefined;
    if (this.#first >= MOVE_AFTER && 2 * this.#first >= this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }
}
