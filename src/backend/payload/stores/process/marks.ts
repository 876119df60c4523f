import { type FileHandle, open } from 'node:fs/promises';
import { crc32c } from '../../../../native/batch.ts';

/** Of one mark. */
export const MARK_BYTES = 24;
/** What a file of marks may have: enough for 2.7 million appends. */
export const MAX_MARKS_BYTES = 64 << 20;
const APPENDED = 1;
const SYNCED = 2;
const READ_BYTES = MARK_BYTES << 15;
/** Begins the checksum of a mark, so that neither zeros nor what something else has written is one. */
const SEED = 0x6b61666d;

/** One append: where it ends, and the CRC-32C of its bytes. */
export interface AppendMark {
  readonly end: number;
  readonly crc: number;
}

/** `at`: where the mark itself is. */
export interface FoundAppend extends AppendMark {
  readonly at: number;
}

/** What the marks of a file tell. */
export interface FoundMarks {
  /** All before was flushed. */
  readonly synced: number;
  /** In order; also those that end before `synced`. */
  readonly appended: readonly FoundAppend[];
  /** Bytes of the marks that are whole; what follows them is nothing. */
  readonly bytes: number;
}

/** The mark is in memory that the next one of any file uses again. */
export function appendMark({ end, crc }: AppendMark): Buffer {
  return encode(APPENDED, end, crc);
}

const ZEROS = Buffer.alloc(1 << 16);

/** The CRC-32C of so many zeros; a millisecond for 8 MiB. */
export function crcOfZeros(length: number): number {
  let crc = 0;
  for (let left = length; left > 0; left -= ZEROS.length)
    crc = crc32c(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS, crc);
  return crc;
}

/** In the same memory. */
export function syncMark(end: number): Buffer {
  return encode(SYNCED, end, 0);
}

const MARK = Buffer.alloc(MARK_BYTES);
const CHECKED = MARK.subarray(0, 16);

function encode(kind: number, end: number, crc: number): Buffer {
  MARK.writeUInt32LE(end % 2 ** 32, 0);
  MARK.writeUInt32LE(Math.floor(end / 2 ** 32), 4);
  MARK.writeUInt32LE(kind, 8);
  MARK.writeUInt32LE(crc, 12);
  MARK.writeUInt32LE(crc32c(CHECKED, SEED), 16);
  return MARK;
}

/**
 * Reads the marks of a file, up to the first that is none. A file that is not there has none.
 * Rejects when it cannot be read.
 */
export async function readMarks(path: string): Promise<FoundMarks> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (handle === null) return { synced: 0, appended: [], bytes: 0 };
  try {
    return await readAll(handle);
  } finally {
    await handle.close();
  }
}

async function readAll(handle: FileHandle): Promise<FoundMarks> {
  const chunk = Buffer.alloc(READ_BYTES);
  const appended: FoundAppend[] = [];
  let synced = 0;
  let last = 0;
  let bytes = 0;
  while (bytes < MAX_MARKS_BYTES) {
    const { bytesRead } = await handle.read(chunk, 0, READ_BYTES, bytes);
    let at = 0;
    for (; at + MARK_BYTES <= bytesRead; at += MARK_BYTES) {
      const mark = decode(chunk.subarray(at, at + MARK_BYTES));
      if (mark === null) break;
      // Appends follow each other; what is flushed was appended before.
      if (mark.kind === APPENDED ? mark.end <= last : mark.end > last) break;
      if (mark.kind === SYNCED) synced = Math.max(synced, mark.end);
      else {
        last = mark.end;
        appended.push({ end: mark.end, crc: mark.crc, at: bytes + at });
      }
    }
    bytes += at;
    if (at < READ_BYTES) break;
  }
  return { synced, appended, bytes };
}

function decode(mark: Buffer): { kind: number; end: number; crc: number } | null {
  if (mark.readUInt32LE(16) !== crc32c(mark.subarray(0, 16), SEED) || mark.readUInt32LE(20) !== 0)
    return null;
  const end = mark.readBigUInt64LE(0);
  const kind = mark.readUInt32LE(8);
  if (end > BigInt(Number.MAX_SAFE_INTEGER) || (kind !== APPENDED && kind !== SYNCED)) return null;
  return { kind, end: Number(end), crc: mark.readUInt32LE(12) };
}
