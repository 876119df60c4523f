import type { ConfigManager } from '../../broker/configs/config-manager.ts';
import {
  type AlterConfigsRequest,
  alterConfigsRequest,
} from '../../protocol/generated/alter-configs-request.ts';
import {
  type AlterConfigsResponse,
  alterConfigsResponse,
} from '../../protocol/generated/alter-configs-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { alterResources } from './alter-resources.ts';

/** AlterConfigs 0-2: replaces all values of a resource; clients prefer IncrementalAlterConfigs. */
export function alterConfigsHandler(deps: {
  readonly configs: ConfigManager;
}): ApiHandler<AlterConfigsRequest, AlterConfigsResponse> {
  return {
    apiKey: alterConfigsRequest.apiKey,
    minVersion: 0,
    maxVersion: 2,
    request: alterConfigsRequest,
    response: alterConfigsResponse,
    async handle({ resources, validateOnly }) {
      const responses = await alterResources(resources, (distinct) =>
        deps.configs.replace(
          distinct.map(({ resourceType, resourceName, configs }) => ({
            type: resourceType,
            name: resourceName,
            values: configs,
          })),
          validateOnly,
        ),
      );
      return alterConfigsResponse.create({ responses });
    },
  };
}
