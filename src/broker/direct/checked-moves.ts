import { type Move, type Moved, type MovedBatches, moveBlocks, moveBlocksNow } from '../../native/direct.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';

/** Copying and summing so much takes as long as to wake another thread, and to be woken by it. */
const NOW_BYTES = 256 * 1024;
/** What could be copied while one block is begun. */
const BLOCK_BYTES = 64;

/**
 * As moveBlocks, for memory of clients: what was checked may have been released by its client meanwhile. Little is moved at once, on this thread.
 * @throws ApiError INVALID_REQUEST then; nothing has moved
 */
export async function moveForClient(moves: readonly Move[], batches?: MovedBatches): Promise<Moved[]> {
  try {
    const isLittle = batches === undefined && areAtMost(NOW_BYTES, moves);
    return isLittle ? moveBlocksNow(moves) : await moveBlocks(moves, batches);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ApiError(
      ErrorCode.INVALID_REQUEST,
      `the memory cannot be used (${error.message}): keep it attached until the answer has come`,
    );
  }
}

/** Blocks beside the bytes count: each takes a while of its own, however short. */
function areAtMost(bytes: number, moves: readonly Move[]): boolean {
  let left = bytes;
  for (const { blocks } of moves)
    for (const { count, block } of blocks) {
      left -= count * (block + BLOCK_BYTES);
      if (left < 0) return false;
    }
  return true;
}
