import type { RangeRead, ReadRange } from '../../../../native/listed-pieces.ts';
import { readEach } from '../../checked-reads.ts';
import type { PayloadFile } from '../../ports.ts';
import type { Bucket } from './bucket.ts';

/** A complete payload segment in a bucket. */
export class BucketFile implements PayloadFile {
  readonly #bucket: Bucket;
  readonly #path: string;

  constructor(bucket: Bucket, path: string) {
    this.#bucket = bucket;
    this.#path = path;
  }

  append(): never {
    throw new Error(`${this.#path} is an object: nothing can be appended`);
  }

  async sync(): Promise<void> {}

  readRanges(ranges: readonly ReadRange[]): Promise<(RangeRead | Error)[]> {
    return readEach(ranges, ({ position, length, seed, expected }) =>
      this.#bucket.read(this.#path, position, length, seed ?? 0, expected),
    );
  }

  findChecked(): null {
    return null;
  }

  /** An object cannot be cut: what is behind `size` stays. */
  async truncate(size: number): Promise<void> {
    const bytes = await this.#bucket.size(this.#path);
    if (bytes < size) throw new Error(`${this.#path} has ${bytes} bytes and not ${size}`);
  }

  async close(): Promise<void> {}
}
