import { cleanerDefinitions } from './cleaner.ts';
import { consumerGroupDefinitions } from './consumer-groups.ts';
import type { ConfigDefinition, TopicConfigDefinition, ValueOf } from './definition.ts';
import { directDefinitions } from './direct.ts';
import { fabricDefinitions } from './fabric.ts';
import { groupDefinitions } from './groups.ts';
import { logDefinitions } from './log.ts';
import { networkDefinitions } from './network.ts';
import { payloadDefinitions } from './payload.ts';
import { quotaDefinitions } from './quotas.ts';
import { clientMetricsDefinitions, groupKeyDefinitions } from './resources.ts';
import { s3Definitions } from './s3.ts';
import { serverDefinitions } from './server.ts';
import { shareGroupDefinitions } from './share-groups.ts';
import { sslDefinitions } from './ssl.ts';
import { storeDefinitions } from './stores.ts';
import { streamsGroupDefinitions } from './streams-groups.ts';
import { tierDefinitions } from './tiers.ts';
import { topicDefinitions } from './topics.ts';
import { transactionDefinitions } from './transactions.ts';

export type {
  BrokerSynonym,
  ConfigDefinition,
  ConfigType,
  TopicConfigDefinition,
  UpdateMode,
} from './definition.ts';
export { TIER_ORDINALS, type TierOrdinal } from './tiers.ts';

const broker = [
  ...serverDefinitions,
  ...networkDefinitions,
  ...sslDefinitions,
  ...logDefinitions,
  ...cleanerDefinitions,
  ...groupDefinitions,
  ...consumerGroupDefinitions,
  ...shareGroupDefinitions,
  ...streamsGroupDefinitions,
  ...transactionDefinitions,
  ...quotaDefinitions,
  ...payloadDefinitions,
  ...storeDefinitions,
  ...tierDefinitions,
  ...s3Definitions,
  ...fabricDefinitions,
  ...directDefinitions,
] as const;

/** Every broker key, in the order of the documentation. */
export const brokerDefinitions: readonly ConfigDefinition[] = broker;
/** Every topic key. */
export const topicKeyDefinitions: readonly TopicConfigDefinition[] = topicDefinitions;

export const brokerDefinitionsByName: ReadonlyMap<string, ConfigDefinition> = new Map(
  brokerDefinitions.map((definition) => [definition.name, definition]),
);
export const topicDefinitionsByName: ReadonlyMap<string, TopicConfigDefinition> = new Map(
  topicKeyDefinitions.map((definition) => [definition.name, definition]),
);

/** Keys of client metrics subscriptions and of groups, which are described and altered as topics are. */
export { clientMetricsDefinitions, groupKeyDefinitions };

type Values<D extends ConfigDefinition> = { readonly [K in D as K['name']]: ValueOf<K> };

/** The parsed value of each broker key. */
export type BrokerValues = Values<(typeof broker)[number]>;
/** The parsed value of each topic key. */
export type TopicValues = Values<(typeof topicDefinitions)[number]>;
export type BrokerKey = keyof BrokerValues;
export type TopicKey = keyof TopicValues;
