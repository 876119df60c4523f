import {
  brokerDefinitionsByName,
  type ConfigDefinition,
  type ConfigSource,
  type KafabricConfig,
  printedValue,
  topicKeyDefinitions,
} from '../../config/index.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { DATA_SELECTOR_CONFIG } from '../../protocol/forms/data-selector.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import { ResourceType } from '../metadata/state.ts';
import { topicNameProblem } from '../metadata/topic-name.ts';
import { isClusterDefault, plainResourceKind, WireSource } from './resources.ts';

/** A value that a key has, or would have if those before it were removed. */
export interface ConfigSynonym {
  readonly name: string;
  readonly value: string | null;
  /** Kafka's ConfigSource. */
  readonly source: number;
}

/** One described key. */
export interface DescribedConfig {
  readonly definition: ConfigDefinition;
  /** Null for a secret. */
  readonly value: string | null;
  readonly readOnly: boolean;
  /** Kafka's ConfigSource. */
  readonly source: number;
  /** In falling precedence, the effective value first. */
  readonly synonyms: readonly ConfigSynonym[];
}

/**
 * Every key of a resource with its effective value, by name.
 * @throws ApiError for a resource that does not exist or has no configuration
 */
export function describeResource(
  metadata: ClusterMetadata,
  resourceType: number,
  resourceName: string,
): DescribedConfig[] {
  const described = describeUnsorted(metadata, resourceType, resourceName);
  return described.sort((a, b) => (a.definition.name < b.definition.name ? -1 : 1));
}

/** Keys of groups for which brokers have none. */
const WITHOUT_BROKER_KEY: ReadonlySet<string> = new Set([
  DATA_SELECTOR_CONFIG,
  'share.auto.offset.reset',
  'share.isolation.level',
  'share.renew.acknowledge.enable',
]);

function describeUnsorted(metadata: ClusterMetadata, resourceType: number, name: string): DescribedConfig[] {
  if (resourceType === ResourceType.TOPIC) {
    const problem = topicNameProblem(name);
    if (problem !== null) throw new ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem);
    if (metadata.topicByName(name) === undefined) {
      throw new ApiError(
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        'This server does not host this topic-partition.',
      );
    }
    return describeTopic(metadata.config, metadata.state.configs(ResourceType.TOPIC, name));
  }
  if (resourceType === ResourceType.BROKER) {
    return isClusterDefault(name, metadata.nodeId)
      ? describeClusterDefault(metadata)
      : describeBroker(metadata.config);
  }
  const { definitions, source, defaultsFrom } = plainResourceKind(resourceType, name);
  const own = metadata.state.configs(resourceType, name);
  return [...definitions.values()].map((definition) => {
    const asSet = ownSynonym(definition, own, source);
    // Subscriptions to clients' metrics, which have no defaults elsewhere, are shown as they were set.
    const synonyms =
      defaultsFrom === null
        ? asSet
        : [
            ...asSet.map((each) => parsed(definition, each)),
            ...inheritedSynonyms(metadata.config, definition, defaultsFrom),
          ];
    const described = fromSynonyms(definition, synonyms, false);
    return { ...described, value: described.value ?? shown(definition, definition.default) };
  });
}

/** What a key has from the broker key of the same name behind a prefix, or would have if there were one. */
function inheritedSynonyms(
  config: KafabricConfig,
  definition: ConfigDefinition,
  prefix: string,
): ConfigSynonym[] {
  const brokerKey = `${prefix}${definition.name}`;
  if (config.entry(brokerKey) !== null) return brokerSynonyms(config, brokerKey);
  const name = WITHOUT_BROKER_KEY.has(definition.name) ? definition.name : brokerKey;
  const inherited = synonym(definition, definition.default, WireSource.DEFAULT_CONFIG);
  return inherited.map((each) => ({ ...each, name }));
}

/** A topic's keys: its own values over the broker's. */
export function describeTopic(config: KafabricConfig, own: ReadonlyMap<string, string>): DescribedConfig[] {
  return topicKeyDefinitions.map((definition) => {
    const synonyms = ownSynonym(definition, own, WireSource.TOPIC_CONFIG).map((each) =>
      parsed(definition, each),
    );
    let effective = own.get(definition.name) ?? null;
    const brokerKey = definition.synonyms[0]?.name;
    if (brokerKey !== undefined) synonyms.push(...brokerSynonyms(config, brokerKey));
    for (const { name, factor } of definition.synonyms) {
      const inherited = config.entry(name)?.text ?? null;
      effective ??= scaled(inherited, factor);
    }
    const described = fromSynonyms(definition, synonyms, false);
    return { ...described, value: printed(definition, shown(definition, effective ?? definition.default)) };
  });
}

function describeBroker(config: KafabricConfig): DescribedConfig[] {
  return config.entries().map(({ definition }) => {
    const described = fromSynonyms(definition, brokerSynonyms(config, definition.name), isFixed(definition));
    return { ...described, value: printed(definition, described.value) };
  });
}

/** Only what was set as a dynamic default: the rest differs from broker to broker. */
function describeClusterDefault(metadata: ClusterMetadata): DescribedConfig[] {
  const values = metadata.state.configs(ResourceType.BROKER, '');
  return [...values.keys()].flatMap((name) => {
    const definition = brokerDefinitionsByName.get(name);
    if (definition === undefined) return [];
    const synonyms = ownSynonym(definition, values, WireSource.DYNAMIC_DEFAULT_BROKER_CONFIG);
    return [fromSynonyms(definition, synonyms, false)];
  });
}

const BROKER_SOURCES: Record<ConfigSource, number> = {
  default: WireSource.DEFAULT_CONFIG,
  file: WireSource.STATIC_BROKER_CONFIG,
  environment: WireSource.STATIC_BROKER_CONFIG,
  override: WireSource.STATIC_BROKER_CONFIG,
  'dynamic-default': WireSource.DYNAMIC_DEFAULT_BROKER_CONFIG,
  'dynamic-broker': WireSource.DYNAMIC_BROKER_CONFIG,
};

/** Broker keys that stand in for one another, the strongest first. */
const STAND_INS: readonly (readonly string[])[] = [
  ['log.roll.ms', 'log.roll.hours'],
  ['log.roll.jitter.ms', 'log.roll.jitter.hours'],
  ['log.flush.interval.ms', 'log.flush.scheduler.interval.ms'],
  ['log.retention.ms', 'log.retention.minutes', 'log.retention.hours'],
];
const standInsByName = new Map(
  STAND_INS.flatMap((names) => names.map((name): [string, readonly string[]] => [name, names])),
);
/** Has a meaning of its own, too. */
standInsByName.delete('log.flush.scheduler.interval.ms');

/** What gives a broker key its value: by source, and within that by key; as in Kafka, nothing before the key itself. */
function brokerSynonyms(config: KafabricConfig, name: string): ConfigSynonym[] {
  const synonyms = (standInsByName.get(name) ?? [name])
    .flatMap((each) => settingsOf(config, each))
    .sort((a, b) => SOURCE_ORDER.indexOf(a.source) - SOURCE_ORDER.indexOf(b.source));
  const first = synonyms.findIndex((each) => each.name === name);
  return first < 0 ? [] : synonyms.slice(first);
}

const SOURCE_ORDER: readonly number[] = [
  WireSource.DYNAMIC_BROKER_CONFIG,
  WireSource.DYNAMIC_DEFAULT_BROKER_CONFIG,
  WireSource.STATIC_BROKER_CONFIG,
  WireSource.DEFAULT_CONFIG,
];

function settingsOf(config: KafabricConfig, name: string): ConfigSynonym[] {
  const definition = brokerDefinitionsByName.get(name)!;
  const synonyms: ConfigSynonym[] = [];
  for (const { text, source } of config.settingsOf(name)) {
    // File, environment and command line are one source for Kafka's clients: the strongest counts.
    if (synonyms.at(-1)?.source !== BROKER_SOURCES[source]) {
      synonyms.push(...synonym(definition, text.trim(), BROKER_SOURCES[source]));
    }
  }
  return [...synonyms, ...synonym(definition, config.defaultOf(name), WireSource.DEFAULT_CONFIG)];
}

function ownSynonym(
  definition: ConfigDefinition,
  own: ReadonlyMap<string, string>,
  source: number,
): ConfigSynonym[] {
  return synonym(definition, own.get(definition.name) ?? null, source);
}

function synonym(definition: ConfigDefinition, text: string | null, source: number): ConfigSynonym[] {
  return text === null ? [] : [{ name: definition.name, value: shown(definition, text), source }];
}

function fromSynonyms(
  definition: ConfigDefinition,
  synonyms: readonly ConfigSynonym[],
  readOnly: boolean,
): DescribedConfig {
  const effective = synonyms[0];
  return {
    definition,
    value: effective?.value ?? null,
    readOnly,
    source: effective?.source ?? WireSource.DEFAULT_CONFIG,
    synonyms,
  };
}

function isFixed(definition: ConfigDefinition): boolean {
  return definition.update === undefined;
}

function shown(definition: ConfigDefinition, text: string | null): string | null {
  return definition.sensitive ? null : text;
}

/** As Kafka shows what it has parsed. */
function printed(definition: ConfigDefinition, text: string | null): string | null {
  return text === null ? null : printedValue(definition, text);
}

function parsed(definition: ConfigDefinition, synonym: ConfigSynonym): ConfigSynonym {
  return { ...synonym, value: printed(definition, synonym.value) };
}

function scaled(text: string | null, factor: number | undefined): string | null {
  if (text === null || factor === undefined) return text;
  const value = BigInt(text);
  return String(value < 0n ? value : value * BigInt(factor));
}
