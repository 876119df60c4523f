import { groupAppendError } from '../../broker/groups/append-errors.ts';
import { ApiError } from '../../protocol/errors.ts';

/** What a client is told when a change of a share group is refused, or could not be written. */
export function shareRefusal(error: unknown): { errorCode: number; errorMessage: string | null } {
  const errorMessage = error instanceof ApiError ? error.message : null;
  return { errorCode: groupAppendError(error), errorMessage };
}
