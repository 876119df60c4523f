import type { ConfigManager } from '../../broker/configs/config-manager.ts';
import {
  type IncrementalAlterConfigsRequest,
  incrementalAlterConfigsRequest,
} from '../../protocol/generated/incremental-alter-configs-request.ts';
import {
  type IncrementalAlterConfigsResponse,
  incrementalAlterConfigsResponse,
} from '../../protocol/generated/incremental-alter-configs-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { alterResources } from './alter-resources.ts';

/** IncrementalAlterConfigs 0-1 (KIP-339): set, delete, append, subtract. */
export function incrementalAlterConfigsHandler(deps: {
  readonly configs: ConfigManager;
}): ApiHandler<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse> {
  return {
    apiKey: incrementalAlterConfigsRequest.apiKey,
    minVersion: 0,
    maxVersion: 1,
    request: incrementalAlterConfigsRequest,
    response: incrementalAlterConfigsResponse,
    async handle({ resources, validateOnly }) {
      const responses = await alterResources(resources, (distinct) =>
        deps.configs.incrementalAlter(
          distinct.map(({ resourceType, resourceName, configs }) => ({
            type: resourceType,
            name: resourceName,
            alterations: configs.map(({ name, configOperation, value }) => ({
              name,
              operation: configOperation,
              value,
            })),
          })),
          validateOnly,
        ),
      );
      return incrementalAlterConfigsResponse.create({ responses });
    },
  };
}
