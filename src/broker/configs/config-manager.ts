import {
  brokerDefinitionsByName,
  type ConfigDefinition,
  splitList,
  TopicConfig,
  topicDefinitionsByName,
} from '../../config/index.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { LoggerLevels } from '../../util/logger.ts';
import { apiErrorOf } from '../api-error.ts';
import type { ClusterMetadata } from '../metadata/cluster-metadata.ts';
import { type MetadataRecord, metadataRecord } from '../metadata/records.ts';
import { limitChanges } from '../metadata/request-limit.ts';
import { type MetadataState, ResourceType } from '../metadata/state.ts';
import { topicNameProblem } from '../metadata/topic-name.ts';
import { AlterOperation, type ConfigAlteration } from './alteration.ts';
import { BrokerLoggers, NO_LOGGERS } from './broker-loggers.ts';
import { isPlainResource, plainResourceKind } from './resources.ts';
import {
  validateBrokerConfigs,
  validateTopicChange,
  validateTopicConfigs,
  validateValues,
} from './validate.ts';

export interface ConfigResource {
  readonly type: number;
  readonly name: string;
}

type AlteredResource = ConfigResource & { readonly alterations: readonly ConfigAlteration[] };

/** What became of one resource of a request; null is success. */
export type AlterOutcome = ApiError | null;

/** Changes the configuration of topics, brokers and the other resources that have one. */
export class ConfigManager {
  readonly loggers: BrokerLoggers;
  readonly #metadata: ClusterMetadata;

  constructor(metadata: ClusterMetadata, loggers: LoggerLevels = NO_LOGGERS) {
    this.#metadata = metadata;
    this.loggers = new BrokerLoggers(metadata.nodeId, loggers);
  }

  /** Changes single keys (KIP-339). The outcomes are in the order of the resources, which must be distinct. */
  async incrementalAlter(
    resources: readonly AlteredResource[],
    validateOnly: boolean,
  ): Promise<AlterOutcome[]> {
    limitChanges(countChanges(resources, ({ alterations }) => alterations));
    // What concerns this broker alone does not wait for what the cluster writes down.
    const ofLoggers = resources.map((resource) =>
      isLogger(resource) ? this.#alterLoggers(resource, validateOnly) : null,
    );
    const others = resources.filter((resource) => !isLogger(resource));
    const outcomes = others.length === 0 ? [] : await this.#alterStored(others, validateOnly);
    let next = 0;
    return resources.map((resource, position) =>
      isLogger(resource) ? ofLoggers[position]! : outcomes[next++]!,
    );
  }

  #alterLoggers({ name, alterations }: AlteredResource, validateOnly: boolean): AlterOutcome {
    try {
      checkAlterations(alterations);
      this.loggers.alter(name, alterations, validateOnly);
      return null;
    } catch (error) {
      return apiErrorOf(error);
    }
  }

  #alterStored(resources: readonly AlteredResource[], validateOnly: boolean): Promise<AlterOutcome[]> {
    return this.#alter(resources, validateOnly, (state, resource) => {
      checkAlterations(resource.alterations);
      const values = new Map(state.configs(resource.type, resource.name));
      for (const alteration of resource.alterations) this.#applyAlteration(resource, values, alteration);
      return { values, changed: resource.alterations.map(({ name }) => name) };
    });
  }

  /** Replaces all values of each resource, as the older AlterConfigs does. */
  replace(
    resources: readonly (ConfigResource & { values: readonly { name: string; value: string | null }[] })[],
    validateOnly: boolean,
  ): Promise<AlterOutcome[]> {
    limitChanges(countChanges(resources, ({ values }) => values));
    return this.#alter(resources, validateOnly, (_state, resource) => {
      refuseNulls(resource.values.filter(({ value }) => value === null));
      refuseDuplicates(resource.values);
      const values = new Map(resource.values.map(({ name, value }) => [name, value!]));
      return { values, changed: [...values.keys()] };
    });
  }

  #alter<R extends ConfigResource>(
    resources: readonly R[],
    validateOnly: boolean,
    plan: (state: MetadataState, resource: R) => { values: Map<string, string>; changed: readonly string[] },
  ): Promise<AlterOutcome[]> {
    return this.#metadata.change((state) => {
      const records: MetadataRecord[] = [];
      const altered: R[] = [];
      const outcomes = resources.map((resource): AlterOutcome => {
        try {
          this.#checkResource(resource);
          const { values, changed } = plan(state, resource);
          const before = state.configs(resource.type, resource.name);
          this.#validate(resource, values, changed);
          if (resource.type === ResourceType.TOPIC) validateTopicChange(before, values);
          records.push(...difference(resource, before, values));
          altered.push(resource);
          return null;
        } catch (error) {
          return apiErrorOf(error);
        }
      });
      if (validateOnly) return { records: [], result: outcomes };
      return { records, result: outcomes, applied: async () => this.#notify(altered) };
    });
  }

  #notify(altered: readonly ConfigResource[]): void {
    if (altered.some(({ type }) => type === ResourceType.BROKER)) this.#metadata.refreshConfig();
    if (altered.some(({ type }) => type === ResourceType.CLIENT_METRICS))
      this.#metadata.notifyClientMetricsChanged();
    for (const { type, name } of altered) {
      if (type === ResourceType.TOPIC) this.#metadata.notifyTopicConfigChanged(name);
    }
  }

  #checkResource({ type, name }: ConfigResource): void {
    if (type === ResourceType.TOPIC) {
      if (name === '')
        throw new ApiError(ErrorCode.INVALID_REQUEST, 'Default topic resources are not allowed.');
      const problem = topicNameProblem(name);
      if (problem !== null) throw new ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem);
      if (this.#metadata.topicByName(name) === undefined) {
        throw new ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `The topic '${name}' does not exist.`);
      }
    } else if (type === ResourceType.BROKER) {
      checkBrokerName(name, this.#metadata.nodeId);
    } else {
      if (!isPlainResource(type))
        throw new ApiError(ErrorCode.INVALID_REQUEST, `Unknown resource type ${type}`);
      if (name === '') throw new ApiError(ErrorCode.INVALID_REQUEST, plainResourceKind(type, 'any').unnamed);
    }
  }

  #validate(
    { type, name }: ConfigResource,
    values: ReadonlyMap<string, string>,
    changed: readonly string[],
  ): void {
    if (type === ResourceType.TOPIC) {
      validateTopicConfigs(values, this.#metadata.config);
    } else if (type === ResourceType.BROKER) {
      validateBrokerConfigs(values, changed, name === '', this.#metadata.config);
    } else {
      const kind = plainResourceKind(type, name);
      const checkEach = () => validateValues(values, kind.definitions, kind.label, kind.errorCode);
      if (kind.checksEachFirst) checkEach();
      kind.check(values, this.#metadata.config);
      if (!kind.checksEachFirst) checkEach();
    }
  }

  #applyAlteration(
    resource: ConfigResource,
    values: Map<string, string>,
    { name, operation, value }: ConfigAlteration,
  ): void {
    switch (operation) {
      case AlterOperation.SET:
        values.set(name, value!);
        return;
      case AlterOperation.DELETE:
        values.delete(name);
        return;
      case AlterOperation.APPEND:
      case AlterOperation.SUBTRACT: {
        const definition = this.#definition(resource, name);
        const verb = operation === AlterOperation.APPEND ? 'APPEND' : 'SUBTRACT';
        if (definition?.type !== 'list' || resource.type === ResourceType.CLIENT_METRICS) {
          throw new ApiError(
            ErrorCode.INVALID_CONFIG,
            `Can't ${verb} to key ${name} because its type is not LIST.`,
          );
        }
        const before = splitList(values.get(name) ?? this.#inherited(resource, definition));
        const items = value!.split(',').map((item) => item.trim());
        const after =
          operation === AlterOperation.APPEND
            ? [...new Set([...before, ...items])]
            : before.filter((item) => !items.includes(item));
        values.set(name, after.join(','));
        return;
      }
      default:
        throw new ApiError(ErrorCode.INVALID_REQUEST, `Unknown operations type ${operation}`);
    }
  }

  #definition({ type, name: resourceName }: ConfigResource, name: string): ConfigDefinition | undefined {
    if (type === ResourceType.TOPIC) return topicDefinitionsByName.get(name);
    if (type === ResourceType.BROKER) return brokerDefinitionsByName.get(name);
    return plainResourceKind(type, resourceName).definitions.get(name);
  }

  /** The list that a key without a value of its own has. */
  #inherited({ type }: ConfigResource, definition: ConfigDefinition): string {
    if (type === ResourceType.TOPIC)
      return new TopicConfig(this.#metadata.config).text(definition.name) ?? '';
    if (type === ResourceType.BROKER) return this.#metadata.config.entry(definition.name)?.text ?? '';
    return definition.default ?? '';
  }
}

/** A resource of which nothing is changed is looked at, too. */
function countChanges<R>(resources: readonly R[], keysOf: (resource: R) => readonly unknown[]): number {
  return resources.reduce((count, resource) => count + Math.max(1, keysOf(resource).length), 0);
}

function isLogger({ type }: ConfigResource): boolean {
  return type === ResourceType.BROKER_LOGGER;
}

function checkBrokerName(name: string, nodeId: number): void {
  if (name === '') return;
  if (!/^[+-]?\d+$/.test(name))
    throw new ApiError(ErrorCode.INVALID_REQUEST, `Node id must be an integer, but it is: ${name}`);
  if (Number(name) !== nodeId)
    throw new ApiError(
      ErrorCode.INVALID_REQUEST,
      `Unexpected broker id, expected ${nodeId}, but received ${name}`,
    );
}

function checkAlterations(alterations: readonly ConfigAlteration[]): void {
  refuseDuplicates(alterations);
  refuseNulls(
    alterations.filter(({ operation, value }) => operation !== AlterOperation.DELETE && value === null),
  );
}

function refuseNulls(alterations: readonly { name: string }[]): void {
  if (alterations.length === 0) return;
  const names = alterations.map(({ name }) => name).join(',');
  throw new ApiError(ErrorCode.INVALID_REQUEST, `Null value not supported for : ${names}`);
}

function refuseDuplicates(alterations: readonly { name: string }[]): void {
  const names = alterations.map(({ name }) => name);
  if (new Set(names).size === names.length) return;
  throw new ApiError(ErrorCode.INVALID_REQUEST, 'Error due to duplicate config keys');
}

function difference(
  { type, name: resourceName }: ConfigResource,
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): MetadataRecord[] {
  const record = (name: string, value: string | null) =>
    metadataRecord('config', { resourceType: type, resourceName, name, value });
  return [
    ...[...before.keys()].filter((name) => !after.has(name)).map((name) => record(name, null)),
    ...[...after]
      .filter(([name, value]) => before.get(name) !== value)
      .map(([name, value]) => record(name, value)),
  ];
}
