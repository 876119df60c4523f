import { type Move, type Moved, type MovedBatches, moveBlocks } from '../../native/direct.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';

/**
 * As moveBlocks, for memory of clients: what was checked may have been released by its client meanwhile.
 * @throws ApiError INVALID_REQUEST then; nothing has moved
 */
export async function moveForClient(moves: readonly Move[], batches?: MovedBatches): Promise<Moved[]> {
  try {
    return await moveBlocks(moves, batches);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ApiError(
      ErrorCode.INVALID_REQUEST,
      `the memory cannot be used (${error.message}): keep it attached until the answer has come`,
    );
  }
}
