import {
  type TopicConfigDefinition,
  type TopicKey,
  type TopicValues,
  topicDefinitionsByName,
} from './definitions/index.ts';
import type { KafabricConfig } from './kafabric-config.ts';
import { type ConfigValue, parseValue } from './value.ts';

/** The effective configuration of one topic: its own values over the broker's. Immutable. */
export class TopicConfig {
  readonly #broker: KafabricConfig;
  readonly #own: ReadonlyMap<string, string>;
  readonly #parsed = new Map<string, ConfigValue>();

  /**
   * @param own the topic's own values. One that cannot be parsed is passed over: older versions of Kafka, whose metadata this may be,
   *   allowed some that are no longer allowed.
   */
  constructor(broker: KafabricConfig, own: ReadonlyMap<string, string> = new Map()) {
    this.#broker = broker;
    this.#own = new Map(own);
  }

  get<K extends TopicKey>(key: K): TopicValues[K] {
    let value = this.#parsed.get(key);
    if (value === undefined) {
      const definition = topicDefinitionsByName.get(key)!;
      const own = this.#own.get(key);
      value =
        (own === undefined ? null : parsed(definition, own)) ??
        parsed(definition, brokerText(definition, this.#broker)) ??
        parsed(definition, definition.default ?? '')!;
      this.#parsed.set(key, value);
    }
    return value as TopicValues[K];
  }

  /** The value as text, as DescribeConfigs shows it. */
  text(key: string): string | null {
    const definition = topicDefinitionsByName.get(key);
    if (definition === undefined) return null;
    return this.#own.get(key) ?? brokerText(definition, this.#broker);
  }
}

function parsed(definition: TopicConfigDefinition, text: string): ConfigValue | null {
  const result = parseValue(definition, text);
  return 'value' in result ? result.value : null;
}

/** The value that the broker's configuration gives a topic key. */
function brokerText(definition: TopicConfigDefinition, broker: KafabricConfig): string {
  for (const { name, factor } of definition.synonyms) {
    const text = broker.entry(name)?.text ?? null;
    if (text === null) continue;
    if (factor === undefined) return text;
    const value = BigInt(text);
    // -1 means "never" in every unit.
    return String(value < 0n ? value : value * BigInt(factor));
  }
  return definition.default ?? '';
}
