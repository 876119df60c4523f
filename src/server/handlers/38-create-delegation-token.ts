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

const FIRST_VERSION_WITH_REQUESTER = 3;

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
    handle(_request, { apiVersion, connection }) {
      const [principalType = '', principalName = ''] = connection.principal.split(':');
      const requester =
        apiVersion < FIRST_VERSION_WITH_REQUESTER
          ? {}
          : { tokenRequesterPrincipalType: principalType, tokenRequesterPrincipalName: principalName };
      return createDelegationTokenResponse.create({
        errorCode: ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        principalType,
        principalName,
        ...requester,
        issueTimestampMs: -1n,
        expiryTimestampMs: -1n,
        maxTimestampMs: -1n,
      });
    },
  };
}
