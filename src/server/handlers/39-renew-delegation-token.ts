import { ErrorCode } from '../../protocol/errors.ts';
import {
  type RenewDelegationTokenRequest,
  renewDelegationTokenRequest,
} from '../../protocol/generated/renew-delegation-token-request.ts';
import {
  type RenewDelegationTokenResponse,
  renewDelegationTokenResponse,
} from '../../protocol/generated/renew-delegation-token-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** RenewDelegationToken 1-2: delegation tokens are for clients that have authenticated, and on these listeners none has. */
export function renewDelegationTokenHandler(): ApiHandler<
  RenewDelegationTokenRequest,
  RenewDelegationTokenResponse
> {
  return {
    apiKey: renewDelegationTokenRequest.apiKey,
    minVersion: 1,
    maxVersion: 2,
    request: renewDelegationTokenRequest,
    response: renewDelegationTokenResponse,
    handle: () =>
      renewDelegationTokenResponse.create({
        errorCode: ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        expiryTimestampMs: -1n,
      }),
  };
}
