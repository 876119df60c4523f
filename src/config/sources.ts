import { type Pair, parseLines } from 'dot-properties';
import { brokerDefinitions } from './definitions/index.ts';
import { sslDefinitions } from './definitions/ssl.ts';

/** Where a value comes from, in rising order of precedence. */
export type ConfigSource =
  | 'default'
  | 'file'
  | 'environment'
  | 'override'
  | 'dynamic-default'
  | 'dynamic-broker';

/** A key as somebody set it. `origin` says where, for people: `kafabric.properties:12`. */
export interface Setting {
  readonly name: string;
  readonly text: string;
  readonly source: ConfigSource;
  readonly origin: string;
}

/** Reads Java properties syntax; a key that is set twice keeps its last value, as in Kafka. */
export function settingsFromFile(path: string, text: string): Setting[] {
  const settings: Setting[] = [];
  let line = 1;
  let position = 0;
  for (const node of parseLines(text, true)) {
    if (node.type !== 'PAIR') continue;
    const pair = node as Required<Pair>;
    for (; position < pair.range[0]; position++) if (text[position] === '\n') line++;
    settings.push({ name: pair.key, text: pair.value, source: 'file', origin: `${path}:${line}` });
  }
  return settings;
}

const nameByVariable = new Map(brokerDefinitions.map(({ name }) => [variableOf(name), name]));

/** `LISTENER_NAME_INTERNAL_SSL_CLIENT_AUTH` is listener.name.internal.ssl.client.auth. */
const OF_LISTENER = new RegExp(
  `^LISTENER_NAME_(.+)_(${sslDefinitions.map(({ name }) => variableOf(name)).join('|')})$`,
);

function nameOf(variable: string): string | undefined {
  const [, listener, key] = OF_LISTENER.exec(variable) ?? [];
  if (listener === undefined || key === undefined) return nameByVariable.get(variable);
  return `listener.name.${listener.toLowerCase()}.${nameByVariable.get(key)}`;
}

function variableOf(name: string): string {
  return name.toUpperCase().replace(/[.-]/g, '_');
}

/** The environment variable of a key: `KAFABRIC_LOG_DIRS` for `log.dirs`. */
export function environmentVariable(name: string): string {
  return `KAFABRIC_${variableOf(name)}`;
}

export interface EnvironmentSettings {
  readonly settings: readonly Setting[];
  /** Variables with our prefix that name no key. */
  readonly unknown: readonly string[];
}

/**
 * Reads `KAFABRIC_<KEY>` and, below it in precedence, `KAFKA_<KEY>`, which Apache Kafka's container image
 * understands, so that its settings can be kept. Other variables with these prefixes are no settings: container
 * platforms add some of their own (KAFABRIC_PORT=tcp://...), which is why they are reported and not refused.
 */
export function settingsFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): EnvironmentSettings {
  const settings: Setting[] = [];
  const unknown: string[] = [];
  for (const prefix of ['KAFKA_', 'KAFABRIC_']) {
    for (const [variable, text] of Object.entries(environment)) {
      if (!variable.startsWith(prefix) || text === undefined) continue;
      const name = nameOf(variable.slice(prefix.length));
      if (name !== undefined) {
        settings.push({ name, text, source: 'environment', origin: variable });
      } else if (prefix === 'KAFABRIC_') {
        unknown.push(variable);
      }
    }
  }
  return { settings, unknown };
}

/** Reads one `--override key=value`; null when there is no key. */
export function settingFromOverride(argument: string): Setting | null {
  const separator = argument.indexOf('=');
  const name = argument.slice(0, Math.max(separator, 0)).trim();
  if (name === '') return null;
  return { name, text: argument.slice(separator + 1), source: 'override', origin: '--override' };
}
