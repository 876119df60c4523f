import {
  brokerDefinitionsByName,
  type ConfigDefinition,
  closestName,
  invalidValueMessage,
  isInheritedKey,
  type KafabricConfig,
  parseValue,
  splitList,
  TIER_ORDINALS,
  TopicConfig,
  topicDefinitionsByName,
  unknownCordoned,
} from '../../config/index.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import {
  FORM_CONFIGS,
  FORM_PARTS,
  formTextProblem,
  serializerChangeProblem,
} from '../../protocol/forms/topic-form.ts';

const VALUE_BYTES_MAX = 32767;

type Definitions = ReadonlyMap<string, ConfigDefinition>;

/**
 * Checks the values that were set on a resource, each by its definition.
 * @throws ApiError with `code` and Kafka's message
 */
export function validateValues(
  values: ReadonlyMap<string, string>,
  definitions: Definitions,
  what: string,
  code: ErrorCode = ErrorCode.INVALID_CONFIG,
): void {
  for (const [name, text] of values) {
    const definition = definitions.get(name);
    if (definition === undefined) {
      const closest = closestName(name, [...definitions.keys()]);
      const hint = closest === null ? '' : ` (did you mean ${closest}?)`;
      throw new ApiError(code, `Unknown ${what} config name: ${name}${hint}`);
    }
    const result = parseValue(definition, text);
    if ('reason' in result) {
      // Of lists Kafka tells the key already.
      const isWhole = result.reason.startsWith('Configuration ');
      throw new ApiError(
        code,
        isWhole ? result.reason : invalidValueMessage(definition, text, result.reason),
      );
    }
    if (Buffer.byteLength(text) > VALUE_BYTES_MAX) {
      throw new ApiError(
        code,
        `The configuration value cannot be added because it exceeds the maximum value size of ${VALUE_BYTES_MAX} bytes.`,
      );
    }
  }
}

/** Checks a topic's own values, each and together. @throws ApiError INVALID_CONFIG with Kafka's message */
export function validateTopicConfigs(values: ReadonlyMap<string, string>, broker: KafabricConfig): void {
  validateValues(values, topicDefinitionsByName, 'topic');
  const config = new TopicConfig(broker, values);
  const refuse = (message: string): never => {
    throw new ApiError(ErrorCode.INVALID_CONFIG, message);
  };
  if (config.get('min.compaction.lag.ms') > config.get('max.compaction.lag.ms')) {
    refuse(
      `conflict topic config setting min.compaction.lag.ms (${config.text('min.compaction.lag.ms')}) > max.compaction.lag.ms (${config.text('max.compaction.lag.ms')})`,
    );
  }
  if (config.get('remote.storage.enable')) {
    refuse(
      'Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.',
    );
  }
  const tier = (TIER_ORDINALS as readonly string[]).indexOf(config.get('payload.tier'));
  const { tiers } = broker.resolved;
  // Each store may have other tiers.
  const isOfStores = broker.get('payload.stores').length > 0;
  if (values.has('payload.tier') && tier >= tiers.length && tiers.length > 0 && !isOfStores) {
    refuse(
      `Invalid value ${values.get('payload.tier')} for configuration payload.tier: there are ${tiers.length} tiers`,
    );
  }
  for (const part of FORM_PARTS) {
    const key = FORM_CONFIGS[part];
    const text = values.get(key) ?? '';
    const problem = formTextProblem(part, text);
    if (problem !== null) refuse(`Invalid value ${text} for configuration ${key}: ${problem}`);
  }
  for (const key of ['leader.replication.throttled.replicas', 'follower.replication.throttled.replicas']) {
    const text = values.get(key);
    if (text === undefined || text === '*') continue;
    if (!splitList(text).every((item) => /^\d+:\d+$/.test(item))) {
      refuse(
        `Invalid value [${splitList(text).join(', ')}] for configuration ${key}: ${key} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...`,
      );
    }
  }
}

/**
 * Checks what a topic's valid values would become against what they are.
 * @throws ApiError INVALID_UPDATE_VERSION when they would lose versions of a schema that events have
 */
export function validateTopicChange(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): void {
  const key = FORM_CONFIGS.serializer;
  const problem = serializerChangeProblem(before.get(key) ?? '', after.get(key) ?? '');
  if (problem !== null)
    throw new ApiError(ErrorCode.INVALID_UPDATE_VERSION, `Cannot change ${key}: ${problem}`);
}

/**
 * Checks what a request makes of dynamic broker values; `changed` are its keys. What else there is may be of a Kafka that allowed it, and has
 * no effect.
 * @throws ApiError INVALID_REQUEST, which is what Kafka answers here
 */
export function validateBrokerConfigs(
  all: ReadonlyMap<string, string>,
  changed: readonly string[],
  clusterDefault: boolean,
  config: KafabricConfig,
): void {
  const code = ErrorCode.INVALID_REQUEST;
  // What is removed was of any kind.
  const set = changed.filter((name) => all.has(name));
  const values = new Map(set.map((name) => [name, all.get(name)!]));
  const fixed = set.filter((name) => {
    const definition = brokerDefinitionsByName.get(name);
    return definition === undefined ? isInheritedKey(name) : definition.update === undefined;
  });
  if (fixed.length > 0) {
    throw new ApiError(code, `Cannot update these configs dynamically: ${javaSet(fixed)}`);
  }
  const perBroker = set.filter((name) => brokerDefinitionsByName.get(name)?.update === 'per-broker');
  if (clusterDefault && perBroker.length > 0) {
    throw new ApiError(
      code,
      `Cannot update these configs at default cluster level, broker id must be specified: ${javaSet(perBroker)}`,
    );
  }
  validateValues(values, brokerDefinitionsByName, 'broker', code);
  const unknown = unknownCordoned(splitList(values.get('cordoned.log.dirs') ?? ''), config.resolved.logDirs);
  if (unknown.length > 0) {
    throw new ApiError(
      code,
      `requirement failed: All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : ${unknown.join(', ')}`,
    );
  }
  for (const protocol of ['consumer', 'share', 'streams'] as const) {
    const key = `group.${protocol}.assignment.interval.ms` as const;
    const least = `group.${protocol}.min.assignment.interval.ms` as const;
    const most = `group.${protocol}.max.assignment.interval.ms` as const;
    const text = values.get(key);
    if (text === undefined) continue;
    if (Number(text) < config.get(least))
      throw new ApiError(code, `${key} must be greater than or equal to ${least}`);
    if (Number(text) > config.get(most))
      throw new ApiError(code, `${key} must be less than or equal to ${most}`);
  }
}

function javaSet(names: readonly string[]): string {
  return `[${names.join(', ')}]`;
}
