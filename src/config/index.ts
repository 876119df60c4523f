/** The configuration: definitions of all keys, loading, and the effective values. */
export { areAllCordoned, isCordoned, unknownCordoned } from './cordoned.ts';
export * from './definitions/index.ts';
export { type ConfigProblem, ConfigurationError, closestName } from './errors.ts';
export { isInheritedKey } from './inherited.ts';
export { type ConfigEntry, KafabricConfig, type ResolvedConfig } from './kafabric-config.ts';
export type { AdvertisedListener, HttpAddress, Listener } from './listeners.ts';
export { isLoopbackHost } from './listeners.ts';
export { type ConfigInput, defaultDataDirectory, loadConfig } from './load.ts';
export { bucketUrl, S3_SCHEME, type S3Config } from './s3.ts';
export { type ConfigSource, environmentVariable, type Setting } from './sources.ts';
export { type TierKind, tierKind } from './tier-kinds.ts';
export type { TierConfig, TierPathConfig } from './tiers.ts';
export { TopicConfig } from './topic-config.ts';
export {
  type ConfigValue,
  describeAllowed,
  invalidValueMessage,
  parseValue,
  printedValue,
  splitList,
} from './value.ts';
