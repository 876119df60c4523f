import type { ClientTelemetry } from '../../broker/telemetry/client-telemetry.ts';
import { ApiError } from '../../protocol/errors.ts';
import {
  type PushTelemetryRequest,
  pushTelemetryRequest,
} from '../../protocol/generated/push-telemetry-request.ts';
import {
  type PushTelemetryResponse,
  pushTelemetryResponse,
} from '../../protocol/generated/push-telemetry-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { describeClient } from './client-description.ts';

/** PushTelemetry 0 (KIP-714): what a client has measured, for our own metrics endpoint. */
export function pushTelemetryHandler(deps: {
  readonly telemetry: ClientTelemetry;
}): ApiHandler<PushTelemetryRequest, PushTelemetryResponse> {
  return {
    apiKey: pushTelemetryRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: pushTelemetryRequest,
    response: pushTelemetryResponse,
    async handle(request, context) {
      try {
        await deps.telemetry.push(request.clientInstanceId, describeClient(context), request);
        return pushTelemetryResponse.create();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        return pushTelemetryResponse.create({ errorCode: error.code });
      }
    },
  };
}
