import type { ClientTelemetry } from '../../broker/telemetry/client-telemetry.ts';
import { Codec } from '../../native/codec.ts';
import { ApiError } from '../../protocol/errors.ts';
import {
  type GetTelemetrySubscriptionsRequest,
  getTelemetrySubscriptionsRequest,
} from '../../protocol/generated/get-telemetry-subscriptions-request.ts';
import {
  type GetTelemetrySubscriptionsResponse,
  getTelemetrySubscriptionsResponse,
} from '../../protocol/generated/get-telemetry-subscriptions-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { describeClient } from './client-description.ts';

/** In the order in which clients should try them. */
const ACCEPTED_COMPRESSION = [Codec.ZSTD, Codec.LZ4, Codec.GZIP, Codec.SNAPPY];

/** GetTelemetrySubscriptions 0 (KIP-714): the metrics that a client is to push. They are wanted as totals, as Prometheus has them. */
export function getTelemetrySubscriptionsHandler(deps: {
  readonly telemetry: ClientTelemetry;
}): ApiHandler<GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse> {
  return {
    apiKey: getTelemetrySubscriptionsRequest.apiKey,
    minVersion: 0,
    maxVersion: 0,
    request: getTelemetrySubscriptionsRequest,
    response: getTelemetrySubscriptionsResponse,
    handle({ clientInstanceId }, context) {
      try {
        const subscription = deps.telemetry.subscribe(clientInstanceId, describeClient(context));
        return getTelemetrySubscriptionsResponse.create({
          clientInstanceId: subscription.clientInstanceId,
          subscriptionId: subscription.id,
          acceptedCompressionTypes: [...ACCEPTED_COMPRESSION],
          pushIntervalMs: subscription.intervalMs,
          telemetryMaxBytes: deps.telemetry.maxBytes,
          deltaTemporality: false,
          requestedMetrics: [...subscription.metrics],
        });
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        return getTelemetrySubscriptionsResponse.create({ errorCode: error.code });
      }
    },
  };
}
