import {
  type BrokerKey,
  type BrokerValues,
  brokerDefinitions,
  brokerDefinitionsByName,
  type ConfigDefinition,
} from './definitions/index.ts';
import { listenerKeyOf } from './listener-keys.ts';
import type { ListenerTlsConfig } from './listener-tls.ts';
import type { AdvertisedListener, HttpAddress, Listener } from './listeners.ts';
import type { S3Config } from './s3.ts';
import type { ConfigSource, Setting } from './sources.ts';
import type { TierConfig } from './tiers.ts';
import { type ConfigValue, parseValue } from './value.ts';

/** The value of a key and where it comes from. */
export interface ConfigEntry {
  readonly definition: ConfigDefinition;
  readonly text: string | null;
  readonly source: ConfigSource;
  /** Where it was set, for people; empty for a default. */
  readonly origin: string;
}

/** What is computed once from the settings. */
export interface ResolvedConfig {
  readonly nodeId: number;
  /** Absolute paths of log.dirs. */
  readonly logDirs: readonly string[];
  /** Where payload lies, fastest first; none: in the directories of its partitions. */
  readonly tiers: readonly TierConfig[];
  /** The bucket of the last tier, if that is S3. */
  readonly s3: S3Config | null;
  /** The default of log.dir on this machine for this user. */
  readonly defaultDataDirectory: string;
  readonly listeners: readonly Listener[];
  readonly advertisedListeners: readonly AdvertisedListener[];
  /** Of each listener that speaks TLS. */
  readonly listenerTls: readonly ListenerTlsConfig[];
  /** Where metrics and health are served; null: nowhere. */
  readonly metricsListener: HttpAddress | null;
  /** Sentences about settings that are accepted but deserve attention. */
  readonly warnings: readonly string[];
}

/** The broker's configuration: validated, immutable. Made by `loadConfig`. */
export class KafabricConfig {
  readonly resolved: ResolvedConfig;
  /** All settings of each key, the one with the highest precedence first. */
  readonly #settings: ReadonlyMap<string, readonly Setting[]>;
  readonly #parsed = new Map<string, ConfigValue | null>();

  constructor(settings: ReadonlyMap<string, readonly Setting[]>, resolved: ResolvedConfig) {
    this.#settings = settings;
    this.resolved = resolved;
  }

  /** The parsed value of a key. */
  get<K extends BrokerKey>(key: K): BrokerValues[K] {
    return this.value(key) as BrokerValues[K];
  }

  /** As `get`, for a key that is not known at compile time; null for an unknown one. */
  value(key: string): ConfigValue | null {
    let value = this.#parsed.get(key);
    if (value === undefined) {
      const entry = this.entry(key);
      const result = entry === null || entry.text === null ? null : parseValue(entry.definition, entry.text);
      value = result !== null && 'value' in result ? result.value : null;
      this.#parsed.set(key, value);
    }
    return value;
  }

  /** The value of a key with its source; null for an unknown key. */
  entry(key: string): ConfigEntry | null {
    const definition = brokerDefinitionsByName.get(key);
    if (definition === undefined) return null;
    const setting = this.#settings.get(key)?.[0];
    return setting === undefined
      ? { definition, text: this.#defaultText(definition), source: 'default', origin: '' }
      : { definition, text: setting.text.trim(), source: setting.source, origin: setting.origin };
  }

  /** Every key, in the order of the documentation. */
  entries(): ConfigEntry[] {
    return brokerDefinitions.map(({ name }) => this.entry(name)!);
  }

  /** What listeners have in place of keys of all, each under its own name. */
  listenerEntries(): ConfigEntry[] {
    return [...this.#settings].flatMap(([name, [setting]]) => {
      const definition = listenerKeyOf(name)?.definition;
      if (definition === undefined || setting === undefined) return [];
      const { text, source, origin } = setting;
      return [{ definition: { ...definition, name }, text: text.trim(), source, origin }];
    });
  }

  /** Who set a key and how, the effective setting first; the default is not among them. */
  settingsOf(key: string): readonly Setting[] {
    return this.#settings.get(key) ?? [];
  }

  /** The value of a key that nobody sets; null for none. */
  defaultOf(key: string): string | null {
    const definition = brokerDefinitionsByName.get(key);
    return definition === undefined ? null : this.#defaultText(definition);
  }

  /**
   * This configuration under the dynamic settings of the cluster and, above them, of this broker (KIP-226). Only those that may change at
   * run time and can be parsed count: the metadata may be of a Kafka that allowed others.
   */
  withDynamic(
    clusterDefault: ReadonlyMap<string, string>,
    broker: ReadonlyMap<string, string>,
  ): KafabricConfig {
    const merged = new Map<string, readonly Setting[]>();
    for (const [name, settings] of this.#settings) {
      const fixed = settings.filter(
        ({ source }) => source !== 'dynamic-default' && source !== 'dynamic-broker',
      );
      if (fixed.length > 0) merged.set(name, fixed);
    }
    const overlay = (values: ReadonlyMap<string, string>, source: ConfigSource, origin: string) => {
      for (const [name, text] of values) {
        const definition = brokerDefinitionsByName.get(name);
        if (definition?.update === undefined || !('value' in parseValue(definition, text))) continue;
        merged.set(name, [{ name, text, source, origin }, ...(merged.get(name) ?? [])]);
      }
    };
    overlay(clusterDefault, 'dynamic-default', 'cluster-wide dynamic default');
    overlay(broker, 'dynamic-broker', `dynamic configuration of broker ${this.resolved.nodeId}`);
    return new KafabricConfig(merged, this.resolved);
  }

  #defaultText(definition: ConfigDefinition): string | null {
    if (definition.name === 'log.dir') return this.resolved.defaultDataDirectory;
    if (definition.name === 'broker.id') return String(this.resolved.nodeId);
    return definition.default;
  }
}
