import { ErrorCode } from '../../protocol/errors.ts';
import {
  type ExpireDelegationTokenRequest,
  expireDelegationTokenRequest,
} from '../../protocol/generated/expire-delegation-token-request.ts';
import {
  type ExpireDelegationTokenResponse,
  expireDelegationTokenResponse,
} from '../../protocol/generated/expire-delegation-token-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** ExpireDelegationToken 1-2: delegation tokens are for clients that have authenticated, and on these listeners none has. */
export function expireDelegationTokenHandler(): ApiHandler<
  ExpireDelegationTokenRequest,
  ExpireDelegationTokenResponse
> {
  return {
    apiKey: expireDelegationTokenRequest.apiKey,
    minVersion: 1,
    maxVersion: 2,
    request: expireDelegationTokenRequest,
    response: expireDelegationTokenResponse,
    handle: () =>
      expireDelegationTokenResponse.create({
        errorCode: ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        expiryTimestampMs: -1n,
      }),
  };
}
