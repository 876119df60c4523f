import { ErrorCode } from '../../protocol/errors.ts';
import {
  type SaslHandshakeRequest,
  saslHandshakeRequest,
} from '../../protocol/generated/sasl-handshake-request.ts';
import {
  type SaslHandshakeResponse,
  saslHandshakeResponse,
} from '../../protocol/generated/sasl-handshake-response.ts';
import type { ApiHandler } from '../net/handler.ts';

/** SaslHandshake 0-1: these listeners do not authenticate. */
export function saslHandshakeHandler(): ApiHandler<SaslHandshakeRequest, SaslHandshakeResponse> {
  return {
    apiKey: saslHandshakeRequest.apiKey,
    minVersion: 0,
    maxVersion: 1,
    request: saslHandshakeRequest,
    response: saslHandshakeResponse,
    handle: () => saslHandshakeResponse.create({ errorCode: ErrorCode.ILLEGAL_SASL_STATE }),
  };
}
