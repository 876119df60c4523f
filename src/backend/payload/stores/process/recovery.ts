import type { Store, StoreFile } from '../../../../native/store.ts';
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
  const { synced, appended, bytes } = await readMarks(marksPath).catch((error: StoreError) => {
    if (error.code !== 'EIO') throw error;
    return { synced: 0, appended: [], bytes: 0 };
  });
  // Somebody has cut what was flushed.
  if (synced > size) return { end: 0, synced: 0, markBytes: 0 };
  if (appended.length === 0) return { end: synced, synced, markBytes: bytes };
  const file = await store.open(path, { readOnly: true });
  try {
    let end = synced;
    for (const mark of appended) {
      if (mark.end > size || !(await isThere(file, end, mark))) return { end, synced, markBytes: mark.at };
      end = mark.end;
    }
    return { end, synced, markBytes: bytes };
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
