import type { BrokerLoggers } from '../../broker/configs/broker-loggers.ts';
import { type DescribedConfig, describeResource } from '../../broker/configs/describe.ts';
import { WIRE_TYPES, WireSource } from '../../broker/configs/resources.ts';
import type { ClusterMetadata } from '../../broker/metadata/cluster-metadata.ts';
import { ResourceType } from '../../broker/metadata/state.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  type DescribeConfigsRequest,
  describeConfigsRequest,
} from '../../protocol/generated/describe-configs-request.ts';
import {
  createDescribeConfigsResourceResult,
  createDescribeConfigsResult,
  type DescribeConfigsResponse,
  describeConfigsResponse,
} from '../../protocol/generated/describe-configs-response.ts';
import type { ApiHandler } from '../net/handler.ts';
import { duplicatesOf } from './duplicates.ts';

/** Keys that one answer may be made of: a resource of five bytes in the request is fifty thousand in it. */
const DESCRIBED_KEYS_MAX = 1_000_000;
/** For so many each resource counts at least, as one of few keys, or none, takes its time too. */
const COUNTED_KEYS_MIN = 50;

interface Resource {
  readonly resourceType: number;
  readonly resourceName: string;
}

/** DescribeConfigs 1-4: every key with its default, source, type and documentation; of loggers their levels. */
export function describeConfigsHandler(deps: {
  readonly metadata: ClusterMetadata;
  readonly loggers: BrokerLoggers;
}): ApiHandler<DescribeConfigsRequest, DescribeConfigsResponse> {
  return {
    apiKey: describeConfigsRequest.apiKey,
    minVersion: 1,
    maxVersion: 4,
    request: describeConfigsRequest,
    response: describeConfigsResponse,
    handle(request) {
      let described = 0;
      const counted = <T>(keys: T[]): T[] => {
        described += Math.max(0, keys.length - COUNTED_KEYS_MIN);
        return keys;
      };
      const repeated = duplicatesOf(request.resources.map(keyOf));
      /** Of what is named again and again. */
      const known = new Map<string, DescribedConfig[]>();
      const describe = (resource: Resource): DescribedConfig[] => {
        const key = keyOf(resource);
        const keys =
          known.get(key) ?? describeResource(deps.metadata, resource.resourceType, resource.resourceName);
        if (repeated.has(key)) known.set(key, keys);
        return keys;
      };
      return describeConfigsResponse.create({
        results: request.resources.map(({ resourceType, resourceName, configurationKeys }) => {
          const resource = { resourceType, resourceName };
          try {
            described += COUNTED_KEYS_MIN;
            if (described > DESCRIBED_KEYS_MAX)
              throw new ApiError(ErrorCode.POLICY_VIOLATION, 'Excessively large number of keys per request.');
            const wanted = new Set(configurationKeys ?? []);
            const isWanted = (name: string) => wanted.size === 0 || wanted.has(name);
            const configs =
              resourceType === ResourceType.BROKER_LOGGER
                ? counted(deps.loggers.describe(resourceName))
                    .filter(({ name }) => isWanted(name))
                    .map(loggerResult)
                : counted(describe(resource))
                    .filter(({ definition }) => isWanted(definition.name))
                    .map((key) => keyResult(key, request));
            return createDescribeConfigsResult({ ...resource, errorMessage: '', configs });
          } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            return createDescribeConfigsResult({
              ...resource,
              errorCode: error.code,
              errorMessage: error.message,
            });
          }
        }),
      });
    },
  };
}

function keyOf({ resourceType, resourceName }: Resource): string {
  return `${resourceType}:${resourceName}`;
}

function loggerResult(logger: { readonly name: string; readonly value: string }) {
  return createDescribeConfigsResourceResult({
    ...logger,
    configSource: WireSource.DYNAMIC_BROKER_LOGGER_CONFIG,
  });
}

function keyResult(
  { definition, value, readOnly, source, synonyms }: DescribedConfig,
  { includeSynonyms, includeDocumentation }: DescribeConfigsRequest,
) {
  return createDescribeConfigsResourceResult({
    name: definition.name,
    value,
    readOnly,
    configSource: source,
    isSensitive: definition.sensitive ?? false,
    synonyms: includeSynonyms ? [...synonyms] : [],
    configType: WIRE_TYPES[definition.type],
    documentation: includeDocumentation ? definition.documentation : null,
  });
}
