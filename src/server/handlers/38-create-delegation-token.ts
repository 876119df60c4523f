import { ErrorCode } from '../../protocol/errors.ts';
import {
  type CreateDelegationTokenRequest,
  createDelegationTokenRequest,
} from '../../protocol/generated/create-delegation-token-request.ts';
import {
  type CreateDelegationTokenResponse,
  createDelegationTokenResponse,
} from '../../protocol/generated/create-delegation-token-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** CreateDelegationToken 1-3: delegation tokens are for clients that have authenticated, and on these listeners none has. */
export function createDelegationTokenHandler(): ApiHandler<
  CreateDelegationTokenRequest,
  CreateDelegationTokenResponse
> {
  return {
    apiKey: createDelegationTokenRequest.apiKey,
    minVersion: 1,
    maxVersion: 3,
    request: createDelegationTokenRequest,
    response: createDelegationTokenResponse,
    handle: () =>
      createDelegationTokenResponse.create({
        errorCode: ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        issueTimestampMs: -1n,
        expiryTimestampMs: -1n,
        maxTimestampMs: -1n,
      }),
  };
}
