import { LogError } from '../../backend/log/errors.ts';
import { ApiError } from '../../protocol/errors.ts';

/** The error code with which to answer; an error that has none is a defect and is thrown on. */
export function errorCodeOf(error: unknown): number {
  if (error instanceof LogError || error instanceof ApiError) return error.code;
  throw error;
}
