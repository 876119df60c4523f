import { ErrorCode } from '../../protocol/errors.ts';
import {
  type SaslAuthenticateRequest,
  saslAuthenticateRequest,
} from '../../protocol/generated/sasl-authenticate-request.ts';
import {
  type SaslAuthenticateResponse,
  saslAuthenticateResponse,
} from '../../protocol/generated/sasl-authenticate-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** SaslAuthenticate 0-2: these listeners do not authenticate. */
export function saslAuthenticateHandler(): ApiHandler<SaslAuthenticateRequest, SaslAuthenticateResponse> {
  return {
    apiKey: saslAuthenticateRequest.apiKey,
    minVersion: 0,
    maxVersion: 2,
    request: saslAuthenticateRequest,
    response: saslAuthenticateResponse,
    handle: () =>
      saslAuthenticateResponse.create({
        errorCode: ErrorCode.ILLEGAL_SASL_STATE,
        errorMessage: 'SaslAuthenticate request received after successful authentication',
      }),
  };
}
