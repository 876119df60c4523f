import { ErrorCode } from '../../protocol/errors.ts';

/** Older clients know a fenced producer only as one with an old epoch. */
export function fencedFor(errorCode: ErrorCode, knowsFenced: boolean): ErrorCode {
  return errorCode === ErrorCode.PRODUCER_FENCED && !knowsFenced
    ? ErrorCode.INVALID_PRODUCER_EPOCH
    : errorCode;
}
