/** Kafka's ConfigDef types; `short`, `int` and `double` parse to number, `list` to string[]. */
export type ConfigType =
  | 'boolean'
  | 'string'
  | 'short'
  | 'int'
  | 'long'
  | 'double'
  | 'list'
  | 'class'
  | 'password';

/** How a broker key may change at run time (KIP-226). Topic keys are always alterable. */
export type UpdateMode = 'read-only' | 'per-broker' | 'cluster-wide';

/** One configuration key. Text values are in the form of a properties file. */
export interface ConfigDefinition {
  readonly name: string;
  readonly type: ConfigType;
  /** The value when nobody sets one; null: no value. */
  readonly default: string | null;
  /** Inclusive limits of a number. */
  readonly min?: number;
  readonly max?: number;
  /** The allowed values of a string, or elements of a list. */
  readonly values?: readonly string[];
  /** The elements of a list may be equal. */
  readonly repeats?: true;
  /** A list has at least one element. */
  readonly filled?: true;
  /** Values that are allowed outside the limits. */
  readonly also?: readonly string[];
  /** Absent means read-only. */
  readonly update?: UpdateMode;
  /** Never shown in full, logged or described. */
  readonly sensitive?: boolean;
  readonly documentation: string;
  /** Apache Kafka's default where ours differs, and why it does. */
  readonly kafkaDefault?: { readonly value: string | null; readonly reason: string };
}

/** A broker key that gives a topic key its default. */
export interface BrokerSynonym {
  readonly name: string;
  /** The broker key's value times this is the topic key's value. */
  readonly factor?: number;
}

export interface TopicConfigDefinition extends ConfigDefinition {
  /** The first broker key that has a value gives the default. */
  readonly synonyms: readonly BrokerSynonym[];
}

type Scalar<T extends ConfigType> = T extends 'boolean'
  ? boolean
  : T extends 'short' | 'int' | 'long' | 'double'
    ? number
    : T extends 'list'
      ? readonly string[]
      : string;

/**
 * The parsed value of a definition. A `long` is a number: exact up to 2^53, which covers every size and time in
 * use, while Kafka's "never" (2^63-1) stays larger than anything it is compared with.
 */
export type ValueOf<D extends ConfigDefinition> =
  | Scalar<D['type']>
  | (D['default'] extends string ? never : null);

export const LONG_MAX = '9223372036854775807';
export const INT_MAX = 2147483647;
