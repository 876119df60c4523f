import { ApiKey, type ApiKeyName } from './generated/api-key.ts';
import { requestCodecs } from './generated/index.ts';

export { ApiKey, type ApiKeyName } from './generated/api-key.ts';

const names: ReadonlyMap<number, ApiKeyName> = new Map(
  (Object.keys(ApiKey) as ApiKeyName[]).map((name) => [ApiKey[name], name]),
);

/** Kafka's name of an API, such as `Produce`; undefined for a key that Kafka 4.3 does not have. */
export function apiName(key: number): ApiKeyName | undefined {
  return names.get(key);
}

/** The version of the header in front of a request: 2 if the request is flexible, else 1. */
export function requestHeaderVersion(key: number, version: number): number {
  return isFlexible(key, version) ? 2 : 1;
}

/** The version of the header in front of a response. That of ApiVersions is always 0: clients read it before they know the broker (KIP-511). */
export function responseHeaderVersion(key: number, version: number): number {
  return key !== ApiKey.ApiVersions && isFlexible(key, version) ? 1 : 0;
}

function isFlexible(key: number, version: number): boolean {
  const first = requestCodecs.get(key)?.flexibleVersion ?? -1;
  return first >= 0 && version >= first;
}
