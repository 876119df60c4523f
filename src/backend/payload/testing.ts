import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { NativeMemory } from '../../native/arena.ts';
import { crc32c } from '../../native/batch.ts';
import type { RangeRead, ReadRange } from '../../native/listed-pieces.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { readEach } from './checked-reads.ts';
import type { PayloadFile, PayloadFiles } from './ports.ts';

export function refusalOf(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** Files on the disk with the native store's rules, for tests: space can run out, and writes can be held up. */
export class TestFiles implements PayloadFiles {
  /** Bytes that may still be written. */
  freeBytes = Number.POSITIVE_INFINITY;
  /** Appends wait for this before they complete. */
  gate: Promise<void> = Promise.resolve();
  /** So many calls of `truncate` fail with this. */
  refusedTruncates = 0;
  truncateRefusal = refusalOf('EIO', 'input/output error');
  /** So many reads fail with this. */
  refusedReads = 0;
  readRefusal = refusalOf('ETIMEDOUT', 'no memory');
  /** So many calls of `remove` fail. */
  refusedRemovals = 0;
  /** So many calls of `punch` fail with this. */
  refusedPunches = 0;
  punchRefusal = refusalOf('EIO', 'input/output error');
  punched = 0;
  opened = 0;
  syncs = 0;

  remove(path: string): Promise<void> {
    if (this.refusedRemovals === 0) return rm(path, { force: true });
    this.refusedRemovals--;
    return Promise.reject(refusalOf('EIO', 'input/output error'));
  }

  /** Zeros, of which nobody knows that they take no space. */
  async punch(path: string, ranges: Float64Array): Promise<{ held: number; replaced: boolean }> {
    this.punched++;
    if (this.refusedPunches > 0) {
      this.refusedPunches--;
      throw this.punchRefusal;
    }
    const fd = openSync(path, 'r+');
    let held = fstatSync(fd).size;
    for (let i = 0; i < ranges.length; i += 2) {
      const [position, length] = [ranges[i]!, ranges[i + 1]!];
      writeSync(fd, Buffer.alloc(length), 0, length, position);
      held -= length;
    }
    closeSync(fd);
    return { held, replaced: false };
  }

  open(path: string, { create = false } = {}): Promise<PayloadFile> {
    return new Promise((resolve) => {
      const fd = openSync(path, create ? 'w+' : 'r+');
      this.opened++;
      resolve(new TestFile(this, fd));
    });
  }
}

class TestFile implements PayloadFile {
  readonly #files: TestFiles;
  readonly #fd: number;
  #size: number;
  #refusing = false;

  constructor(files: TestFiles, fd: number) {
    this.#files = files;
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
  }

  findChecked(): null {
    return null;
  }

  append(pieces: (Uint8Array | MemoryPiece)[]): { position: number; done: Promise<void> } {
    const position = this.#size;
    const bytes = Buffer.concat(pieces.map((piece) => (piece instanceof Uint8Array ? piece : piece.bytes())));
    this.#size += bytes.byteLength;
    const write = () => {
      if (bytes.byteLength > this.#files.freeBytes) this.#refusing = true;
      if (this.#refusing) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      this.#files.freeBytes -= bytes.byteLength;
      writeSync(this.#fd, bytes, 0, bytes.byteLength, position);
    };
    return { position, done: this.#files.gate.then(write) };
  }

  sync(): Promise<void> {
    return this.#files.gate.then(() => {
      this.#files.syncs++;
      fdatasyncSync(this.#fd);
    });
  }

  readRanges(ranges: readonly ReadRange[]): Promise<(RangeRead | Error)[]> {
    return readEach(ranges, async ({ position, length, seed }) => {
      if (this.#files.refusedReads > 0) {
        this.#files.refusedReads--;
        throw this.#files.readRefusal;
      }
      const available = Math.max(0, Math.min(length, fstatSync(this.#fd).size - position));
      const whole = NativeMemory.allocate(Math.max(available, 1))!;
      readSync(this.#fd, whole.bytes(), 0, available, position);
      const memory = whole.slice(0, available);
      whole.release();
      return { piece: new MemoryPiece(memory), crc32c: crc32c(memory.bytes(), seed ?? 0) };
    });
  }

  truncate(size: number): Promise<void> {
    return Promise.resolve().then(() => {
      if (this.#files.refusedTruncates > 0) {
        this.#files.refusedTruncates--;
        throw this.#files.truncateRefusal;
      }
      ftruncateSync(this.#fd, size);
      this.#size = size;
      this.#refusing = false;
    });
  }

  close(): Promise<void> {
    return Promise.resolve().then(() => closeSync(this.#fd));
  }
}
