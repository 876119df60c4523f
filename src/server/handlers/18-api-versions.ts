import { ApiKey } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type ApiVersionsRequest,
  apiVersionsRequest,
} from '../../protocol/generated/api-versions-request.ts';
import {
  type ApiVersion,
  type ApiVersionsResponse,
  apiVersionsResponse,
  type FinalizedFeatureKey,
  type SupportedFeatureKey,
} from '../../protocol/generated/api-versions-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import type { HandlerRegistry } from '../net/registry.ts';

/** What the cluster can do and has switched on (KIP-584). */
export interface Features {
  supported: readonly SupportedFeatureKey[];
  finalized: readonly FinalizedFeatureKey[];
  /** Rises with each change; -1n while unknown. */
  finalizedEpoch: bigint;
}

/** KIP-511. */
const SOFTWARE = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;

/** Versions that are announced but refused: without Produce 0, older librdkafka turns compression off (KAFKA-18659). */
const ANNOUNCED_MIN_VERSION: ReadonlyMap<number, number> = new Map([[ApiKey.Produce, 0]]);

/**
 * ApiVersions 0-4: what the registry serves. A higher version never comes here: the dispatcher answers it with version 0,
 * UNSUPPORTED_VERSION and this handler's range.
 */
export function apiVersionsHandler(deps: {
  registry: HandlerRegistry;
  features: () => Features;
  /** Whether clients are told of an API now. */
  isAnnounced: (apiKey: number) => boolean;
}): ApiHandler<ApiVersionsRequest, ApiVersionsResponse> {
  return {
    apiKey: ApiKey.ApiVersions,
    minVersion: 0,
    maxVersion: 4,
    request: apiVersionsRequest,
    response: apiVersionsResponse,
    handle(request, { apiVersion, connection }) {
      if (apiVersion >= 3) {
        const { clientSoftwareName, clientSoftwareVersion } = request;
        if (!SOFTWARE.test(clientSoftwareName) || !SOFTWARE.test(clientSoftwareVersion)) {
          return apiVersionsResponse.create({ errorCode: ErrorCode.INVALID_REQUEST });
        }
        connection.clientSoftwareName = clientSoftwareName;
        connection.clientSoftwareVersion = clientSoftwareVersion;
      }
      const apiKeys = deps.registry
        .all()
        .filter(({ apiKey }) => deps.isAnnounced(apiKey))
        .map(announced);
      if (apiVersion < 3) return apiVersionsResponse.create({ apiKeys });
      const { supported, finalized, finalizedEpoch } = deps.features();
      return apiVersionsResponse.create({
        apiKeys,
        // Before version 4 clients take a minimum of 0 for an error (KAFKA-17492).
        supportedFeatures: supported.filter(({ minVersion }) => apiVersion >= 4 || minVersion > 0),
        finalizedFeatures: [...finalized],
        finalizedFeaturesEpoch: finalizedEpoch,
      });
    },
  };
}

function announced({ apiKey, minVersion, maxVersion }: ApiVersion): ApiVersion {
  return { apiKey, minVersion: ANNOUNCED_MIN_VERSION.get(apiKey) ?? minVersion, maxVersion };
}
