import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import { ResourceType } from '../../broker/metadata/state.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import {
  type ListConfigResourcesRequest,
  listConfigResourcesRequest,
} from '../../protocol/generated/list-config-resources-request.ts';
import {
  type ListConfigResourcesResponse,
  listConfigResourcesResponse,
} from '../../protocol/generated/list-config-resources-response.ts';
import type { ApiHandler } from '../net/handler.ts';

const ALL_TYPES: readonly number[] = Object.values(ResourceType);

/** ListConfigResources 0-1: version 0 lists client metrics subscriptions, version 1 the wanted types or all. */
export function listConfigResourcesHandler(deps: {
  readonly metadata: ClusterMetadata;
}): ApiHandler<ListConfigResourcesRequest, ListConfigResourcesResponse> {
  return {
    apiKey: listConfigResourcesRequest.apiKey,
    minVersion: 0,
    maxVersion: 1,
    request: listConfigResourcesRequest,
    response: listConfigResourcesResponse,
    handle(request, { apiVersion }) {
      const wanted = apiVersion === 0 ? [ResourceType.CLIENT_METRICS] : request.resourceTypes;
      const types = new Set<number>(wanted.length === 0 ? ALL_TYPES : wanted);
      if ([...types].some((type) => !ALL_TYPES.includes(type))) {
        return listConfigResourcesResponse.create({ errorCode: ErrorCode.UNSUPPORTED_VERSION });
      }
      return listConfigResourcesResponse.create({
        configResources: [...types].flatMap((resourceType) =>
          namesOf(deps.metadata, resourceType).map((resourceName) => ({ resourceName, resourceType })),
        ),
      });
    },
  };
}

function namesOf(metadata: ClusterMetadata, resourceType: number): string[] {
  switch (resourceType) {
    case ResourceType.TOPIC:
      return [...metadata.topics()].map(({ name }) => name);
    case ResourceType.BROKER:
    case ResourceType.BROKER_LOGGER:
      return [String(metadata.nodeId)];
    default:
      return metadata.state.configuredResources(resourceType);
  }
}
