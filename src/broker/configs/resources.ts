import {
  type ConfigDefinition,
  clientMetricsDefinitions,
  groupKeyDefinitions,
  type KafabricConfig,
} from '../../config/index.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import { ResourceType } from '../metadata/state.ts';
import { checkClientMetrics, checkGroup } from './plain-checks.ts';

/** Kafka's ConfigDef types on the wire. */
export const WIRE_TYPES = {
  boolean: 1,
  string: 2,
  int: 3,
  short: 4,
  long: 5,
  double: 6,
  list: 7,
  class: 8,
  password: 9,
} as const;

/** Kafka's ConfigSource on the wire. */
export const WireSource = {
  TOPIC_CONFIG: 1,
  DYNAMIC_BROKER_CONFIG: 2,
  DYNAMIC_DEFAULT_BROKER_CONFIG: 3,
  STATIC_BROKER_CONFIG: 4,
  DEFAULT_CONFIG: 5,
  DYNAMIC_BROKER_LOGGER_CONFIG: 6,
  CLIENT_METRICS_CONFIG: 7,
  GROUP_CONFIG: 8,
} as const;

/** A kind of resource whose values are its own or the default, with no broker keys behind them. */
export interface PlainResourceKind {
  readonly label: string;
  /** Why it cannot be described, or altered, without a name. */
  readonly emptyNameMessage: string;
  readonly unnamed: string;
  readonly source: number;
  /** The prefix of the broker keys from which defaults come; null for none. */
  readonly defaultsFrom: string | null;
  /** Checks that concern more than one value by its definition; `config` is the broker's. @throws ApiError */
  readonly check: (values: ReadonlyMap<string, string>, config: KafabricConfig) => void;
  /** Whether each value is checked by its definition before `check`, or after it. */
  readonly checksEachFirst: boolean;
  readonly definitions: ReadonlyMap<string, ConfigDefinition>;
  /** With which an invalid value is refused. */
  readonly errorCode: ErrorCode;
}

const byName = (definitions: readonly ConfigDefinition[]) =>
  new Map(definitions.map((definition) => [definition.name, definition]));

const plainKinds = new Map<number, PlainResourceKind>([
  [
    ResourceType.CLIENT_METRICS,
    {
      label: 'client metrics',
      defaultsFrom: null,
      check: checkClientMetrics,
      checksEachFirst: false,
      emptyNameMessage: 'Client metrics subscription name must not be empty',
      unnamed: "Subscription name can't be empty",
      source: WireSource.CLIENT_METRICS_CONFIG,
      definitions: byName(clientMetricsDefinitions),
      errorCode: ErrorCode.INVALID_CONFIG,
    },
  ],
  [
    ResourceType.GROUP,
    {
      label: 'group',
      defaultsFrom: 'group.',
      check: checkGroup,
      checksEachFirst: true,
      emptyNameMessage: 'Group name must not be empty',
      unnamed: 'Default group resources are not allowed.',
      source: WireSource.GROUP_CONFIG,
      definitions: byName(groupKeyDefinitions),
      errorCode: ErrorCode.INVALID_CONFIG,
    },
  ],
]);

export function isPlainResource(resourceType: number): boolean {
  return plainKinds.has(resourceType);
}

/** @throws ApiError INVALID_REQUEST for a type that has no configuration, or an empty name */
export function plainResourceKind(resourceType: number, resourceName: string): PlainResourceKind {
  const kind = plainKinds.get(resourceType);
  if (kind === undefined) {
    throw new ApiError(ErrorCode.INVALID_REQUEST, `Unsupported resource type: ${resourceType}`);
  }
  if (resourceName === '') throw new ApiError(ErrorCode.INVALID_REQUEST, kind.emptyNameMessage);
  return kind;
}

/**
 * Checks the name of a broker resource; true for the cluster default.
 * @throws ApiError INVALID_REQUEST
 */
export function isClusterDefault(resourceName: string, nodeId: number): boolean {
  if (resourceName === '') return true;
  if (!/^[+-]?\d+$/.test(resourceName)) {
    throw new ApiError(ErrorCode.INVALID_REQUEST, `Broker id must be an integer, but it is: ${resourceName}`);
  }
  if (Number(resourceName) !== nodeId) {
    throw new ApiError(
      ErrorCode.INVALID_REQUEST,
      `Unexpected broker id, expected ${nodeId} or empty string, but received ${resourceName}`,
    );
  }
  return false;
}
