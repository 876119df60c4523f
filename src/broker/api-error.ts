import { ApiError, ErrorCode } from '../protocol/errors.ts';

/** The code and message with which to answer; what is not an ApiError is a fault of the broker. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, error instanceof Error ? error.message : String(error));
}
