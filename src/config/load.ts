import path from 'node:path';
import {
  brokerDefinitionsByName,
  type ConfigDefinition,
  topicDefinitionsByName,
} from './definitions/index.ts';
import { type ConfigProblem, ConfigurationError, closestName } from './errors.ts';
import { isInheritedKey } from './inherited.ts';
import { KafabricConfig } from './kafabric-config.ts';
import { listenerKeyOf } from './listener-keys.ts';
import { objectionToIgnoring } from './listener-tls.ts';
import { resolve } from './resolve.ts';
import { type Setting, settingFromOverride, settingsFromEnvironment, settingsFromFile } from './sources.ts';
import { describeAllowed, parseValue } from './value.ts';

export interface ConfigInput {
  /** A properties file, already read. */
  readonly file?: { readonly path: string; readonly text: string };
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `key=value` texts of the command line. */
  readonly overrides: readonly string[];
  /** Variables with our prefix that have a meaning of their own and are no settings. */
  readonly reservedVariables?: readonly string[];
  readonly host: { readonly isRoot: boolean; readonly homeDirectory: string };
}

const brokerNames = [...brokerDefinitionsByName.keys()];

/**
 * Merges defaults, file, environment and overrides, in rising precedence, and validates the whole.
 * @throws ConfigurationError with everything that is wrong
 */
export function loadConfig(input: ConfigInput): KafabricConfig {
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  const collected = collectSettings(input, problems, warnings);
  const settings = mergeSettings(collected, problems, warnings);
  if (problems.length > 0) throw new ConfigurationError(problems);
  const resolved = resolve(settings, defaultDataDirectory(input), problems, warnings);
  for (const { name, origin } of collected) {
    const objection = definitionOf(name) === undefined ? objectionToIgnoring(name, resolved.listeners) : null;
    // Not the value, which may be a secret: what kind of value it is only Kafka knows.
    if (objection !== null) problems.push({ key: name, value: null, origin, message: objection });
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  return new KafabricConfig(settings, resolved);
}

/** Where data goes when nobody says: it must survive a reboot and needs no administrator. */
export function defaultDataDirectory({
  environment,
  host,
}: Pick<ConfigInput, 'environment' | 'host'>): string {
  const base = environment.XDG_DATA_HOME;
  if (base !== undefined && path.isAbsolute(base)) return path.join(base, 'kafabric');
  return host.isRoot ? '/var/lib/kafabric' : path.join(host.homeDirectory, '.local', 'share', 'kafabric');
}

/** All settings in rising precedence. */
function collectSettings(input: ConfigInput, problems: ConfigProblem[], warnings: string[]): Setting[] {
  const file = input.file === undefined ? [] : settingsFromFile(input.file.path, input.file.text);
  const environment = settingsFromEnvironment(input.environment);
  for (const variable of environment.unknown) {
    if (input.reservedVariables?.includes(variable)) continue;
    warnings.push(`the environment variable ${variable} names no configuration key and is ignored`);
  }
  const overrides: Setting[] = [];
  for (const argument of input.overrides) {
    const setting = settingFromOverride(argument);
    if (setting === null) {
      problems.push({ key: argument, value: null, origin: '--override', message: 'expected key=value' });
    } else {
      overrides.push(setting);
    }
  }
  return [...file, ...environment.settings, ...overrides];
}

function definitionOf(name: string): ConfigDefinition | undefined {
  return brokerDefinitionsByName.get(name) ?? listenerKeyOf(name)?.definition;
}

/** A value as it may be told. */
function shown(definition: ConfigDefinition | undefined, text: string): string {
  return definition?.sensitive ? '[hidden]' : text;
}

/** What a key is that has no effect but is no mistake to Kafka either, which ignores what it does not know; null for an unknown one. */
function whyUnused(name: string): string | null {
  if (isInheritedKey(name)) return 'a key of Apache Kafka that this version does not use';
  const topicKey = topicDefinitionsByName.get(name);
  if (topicKey === undefined) return null;
  const [synonym] = topicKey.synonyms;
  return `a key of topics${synonym ? `; for all topics it is ${synonym.name}` : ''}`;
}

function mergeSettings(
  settings: readonly Setting[],
  problems: ConfigProblem[],
  warnings: string[],
): Map<string, readonly Setting[]> {
  const merged = new Map<string, readonly Setting[]>();
  for (const setting of settings) {
    const { name, text, origin } = setting;
    const definition = definitionOf(name);
    if (definition === undefined) {
      const useless = whyUnused(name);
      if (useless !== null) {
        warnings.push(`${name} (${origin}) has no effect: it is ${useless}`);
      } else {
        const closest = closestName(name, brokerNames);
        const hint = closest === null ? '' : `; did you mean ${closest}?`;
        const value = shown(closest === null ? undefined : definitionOf(closest), text);
        problems.push({ key: name, value, origin, message: `unknown configuration key${hint}` });
      }
      continue;
    }
    const result = parseValue(definition, text);
    if ('reason' in result) {
      const message = `${result.reason} (allowed: ${describeAllowed(definition)}; default ${definition.default ?? 'none'})`;
      problems.push({ key: name, value: shown(definition, text), origin, message });
    } else {
      merged.set(name, [setting, ...(merged.get(name) ?? [])]);
    }
  }
  return merged;
}
