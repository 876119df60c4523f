import { Attribute, BATCH_HEADER_SIZE, HeaderField } from '../../../protocol/records/batch-header.ts';
import { crc32c } from '../../../protocol/records/crc32c.ts';
import { readBatchInfo, viewOf } from '../batch.ts';
import type { BatchInfo, BatchScan, LogFile, Memory } from '../ports.ts';

/** Read at once; a batch that is larger is read alone, and only when its CRC is wanted. */
const WINDOW_BYTES = 256 * 1024;
/** Bytes of a control batch that hold its marker. */
const MARKER_BYTES = 64;
const MAGIC = 2;

/** See `FileSystem.scanBatches`. */
export async function scanBatches(
  file: LogFile,
  position: number,
  limit: number,
  options: { maxBytes: number; verifyCrc: boolean },
): Promise<BatchScan> {
  const batches: BatchInfo[] = [];
  let at = position;
  const finish = (stop: BatchScan['stop'], reason = ''): BatchScan => ({ batches, end: at, stop, reason });
  const enough = () => batches.length > 0 && at - position >= options.maxBytes;
  let windowBytes = WINDOW_BYTES;
  while (at < limit && !enough()) {
    const memory = await file.read(at, Math.min(windowBytes, limit - at));
    try {
      const window = new Window(memory, at, limit, options.verifyCrc);
      let found = window.next();
      for (; typeof found === 'object'; found = window.next()) {
        batches.push(found);
        at += found.sizeBytes;
        if (enough()) return finish('end');
      }
      if (typeof found === 'string') return finish(found === 'zeros' ? 'zeros' : 'damaged', found);
      if (memory.byteLength < Math.min(windowBytes, limit - window.start)) {
        return finish('damaged', `the file ends ${limit - at} bytes early`);
      }
      windowBytes = Math.max(WINDOW_BYTES, found);
    } finally {
      memory.release();
    }
  }
  return finish('end');
}

/** The batches in one stretch of a file that was read. */
class Window {
  readonly start: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #limit: number;
  readonly #verifyCrc: boolean;
  #at = 0;

  constructor(memory: Memory, start: number, limit: number, verifyCrc: boolean) {
    this.start = start;
    this.#bytes = memory.bytes();
    this.#view = viewOf(this.#bytes);
    this.#limit = limit;
    this.#verifyCrc = verifyCrc;
  }

  /** The next batch, the bytes that a window must have to hold it, or what is wrong. */
  next(): BatchInfo | number | string {
    const at = this.#at;
    const position = this.start + at;
    const here = this.#bytes.length - at;
    if (position + BATCH_HEADER_SIZE > this.#limit) {
      if (position === this.#limit || here <= 0) return BATCH_HEADER_SIZE;
      return isZero(this.#bytes, at, this.#bytes.length) ? 'zeros' : 'an incomplete batch header';
    }
    if (here < BATCH_HEADER_SIZE) return BATCH_HEADER_SIZE;
    const view = this.#view;
    if (isZero(this.#bytes, at, at + BATCH_HEADER_SIZE)) return 'zeros';
    const sizeBytes = view.getInt32(at + HeaderField.batchLength) + 12;
    if (view.getInt8(at + HeaderField.magic) !== MAGIC)
      return `magic ${view.getInt8(at + HeaderField.magic)}`;
    if (sizeBytes < BATCH_HEADER_SIZE) return `a batch of ${sizeBytes} bytes`;
    if (position + sizeBytes > this.#limit) return `an incomplete batch of ${sizeBytes} bytes`;
    const control = (view.getInt16(at + HeaderField.attributes) & Attribute.control) !== 0;
    const needed = this.#verifyCrc
      ? sizeBytes
      : Math.min(sizeBytes, BATCH_HEADER_SIZE + (control ? MARKER_BYTES : 0));
    if (here < needed) return needed;
    if (this.#verifyCrc) {
      const crc = crc32c(this.#bytes.subarray(at + HeaderField.attributes, at + sizeBytes));
      if (crc !== view.getUint32(at + HeaderField.crc)) return 'a batch whose checksum does not match';
    }
    const batch = readBatchInfo(view, at, position);
    if (batch.lastOffset < batch.baseOffset) return 'a batch that ends before it starts';
    this.#at += sizeBytes;
    return batch;
  }
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}
