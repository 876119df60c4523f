import { ErrorCode } from '../../protocol/errors.ts';
import {
  type DescribeDelegationTokenRequest,
  describeDelegationTokenRequest,
} from '../../protocol/generated/describe-delegation-token-request.ts';
import {
  type DescribeDelegationTokenResponse,
  describeDelegationTokenResponse,
} from '../../protocol/generated/describe-delegation-token-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** DescribeDelegationToken 1-3: delegation tokens are for clients that have authenticated, and on these listeners none has. */
export function describeDelegationTokenHandler(): ApiHandler<
  DescribeDelegationTokenRequest,
  DescribeDelegationTokenResponse
> {
  return {
    apiKey: describeDelegationTokenRequest.apiKey,
    minVersion: 1,
    maxVersion: 3,
    request: describeDelegationTokenRequest,
    response: describeDelegationTokenResponse,
    handle: () =>
      describeDelegationTokenResponse.create({ errorCode: ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED }),
  };
}
