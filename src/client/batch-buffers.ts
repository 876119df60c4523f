/** Of smaller batches it is not worth it. */
const SMALLEST_BYTES = 32 * 1024;
/** Sizes are rounded up, so that batches of about the same size find each other's buffers. */
const STEP_BYTES = 16 * 1024;
/** What is kept for later. */
const MOST_BYTES = 16 << 20;

/**
 * Buffers that batches are written to, used again once a batch is acknowledged: fresh memory costs its pages, and it has the whole heap collected, which
 * it is not part of.
 */
export class BatchBuffers {
  readonly #free: Buffer[] = [];
  #bytes = 0;

  /** At least so many bytes, of any content. */
  take(bytes: number): Buffer {
    if (bytes < SMALLEST_BYTES) return Buffer.allocUnsafe(bytes);
    const last = this.#free.pop();
    if (last !== undefined) this.#bytes -= last.byteLength;
    // One that is much too large is not held for less.
    if (last !== undefined && last.byteLength >= bytes && last.byteLength <= 2 * bytes) return last;
    return Buffer.allocUnsafeSlow(Math.ceil(bytes / STEP_BYTES) * STEP_BYTES);
  }

  /** Nobody reads the buffer any more. */
  give(buffer: Buffer): void {
    if (buffer.byteLength < SMALLEST_BYTES || this.#bytes + buffer.byteLength > MOST_BYTES) return;
    this.#free.push(buffer);
    this.#bytes += buffer.byteLength;
  }
}
