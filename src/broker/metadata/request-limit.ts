import { ApiError, ErrorCode } from '../../protocol/errors.ts';

/** As many records one request may make, as in Kafka: everybody else waits while they are made. */
export const CHANGES_PER_REQUEST_MAX = 10_000;

/** @throws ApiError POLICY_VIOLATION for more than one request may ask for */
export function limitChanges(changes: number): void {
  if (changes > CHANGES_PER_REQUEST_MAX)
    throw new ApiError(ErrorCode.POLICY_VIOLATION, 'Unable to perform excessively large batch operation.');
}
