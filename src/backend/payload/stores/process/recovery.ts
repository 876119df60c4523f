import type { Store } from '../../../../native/store.ts';
import type { StoreFile } from '../../../../native/store-file.ts';
import type { StoreError } from '../messages.ts';
import { type AppendMark, readMarks } from './marks.ts';

/** What is read at a time. */
const READ_BYTES = 8 << 20;

/** What a file that took appends holds for sure. */
export interface RecoveredEnd {
  /** All before is there, as it was acknowledged. */
  readonly end: number;
  /** All before was flushed. */
  readonly synced: number;
  /** Bytes of its marks that hold. */
  readonly markBytes: number;
  /** The device does not give the marks: nothing can be said. */
  readonly isUnknown: boolean;
}

/**
 * Finds out what a file has that took appends when the store ended. Its size says nothing: space is allocated ahead, and reads as zeros. What
 * was flushed is there; what was appended since then is read and compared with the checksum that was noted, append by append.
 * @param size of the file
 */
export async function recoverEnd(
  path: string,
  marksPath: string,
  size: number,
  store: Store,
): Promise<RecoveredEnd> {
  const marks = await readMarks(marksPath).catch((error: StoreError) => {
    if (error.code !== 'EIO') throw error;
    return null;
  });
  if (marks === null) return { end: 0, synced: 0, markBytes: 0, isUnknown: true };
  // One that was cut below what was flushed, as sealing does before it gives it another name, is read as a whole.
  const isCut = marks.synced > size;
  const flushed = isCut ? 0 : marks.synced;
  const appended = marks.appended.filter((mark) => mark.end > flushed);
  if (appended.length === 0)
    return { end: flushed, synced: flushed, markBytes: marks.bytes, isUnknown: false };
  const file = await store.open(path, { readOnly: true });
  try {
    let end = flushed;
    let markBytes = marks.bytes;
    for (const mark of appended) {
      if (mark.end > size || !(await isThere(file, end, mark))) {
        markBytes = mark.at;
        break;
      }
      end = mark.end;
    }
    return { end, synced: isCut ? end : flushed, markBytes, isUnknown: false };
  } finally {
    await file.close();
  }
}

async function isThere(file: StoreFile, position: number, { end, crc }: AppendMark): Promise<boolean> {
  let found = 0;
  try {
    for (let at = position; at < end; ) {
      const { piece, crc32c } = await file.readCrc(at, Math.min(READ_BYTES, end - at), found);
      const { byteLength } = piece;
      piece.memory.release();
      if (byteLength === 0) return false;
      found = crc32c;
      at += byteLength;
    }
  } catch (error) {
    // What the device cannot read is not there; a lack of memory is no answer.
    if ((error as StoreError).code !== 'EIO') throw error;
    return false;
  }
  return found === crc;
}
