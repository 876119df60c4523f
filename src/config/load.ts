import { hostname } from 'node:os';
import path from 'node:path';
import { unknownCordoned } from './cordoned.ts';
import { type BrokerKey, type BrokerValues, brokerDefinitionsByName } from './definitions/index.ts';
import { type ConfigProblem, ConfigurationError, closestName } from './errors.ts';
import { isInheritedKey } from './inherited.ts';
import { KafabricConfig, type ResolvedConfig } from './kafabric-config.ts';
import {
  isLoopbackHost,
  type Listener,
  parseAdvertisedListeners,
  parseHttpAddress,
  parseListeners,
} from './listeners.ts';
import { type Setting, settingFromOverride, settingsFromEnvironment, settingsFromFile } from './sources.ts';
import { resolveTiers, tierWarnings } from './tiers.ts';
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
  const settings = mergeSettings(collectSettings(input, problems, warnings), problems, warnings);
  if (problems.length > 0) throw new ConfigurationError(problems);
  const resolved = resolve(settings, input, problems, warnings);
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

function mergeSettings(
  settings: readonly Setting[],
  problems: ConfigProblem[],
  warnings: string[],
): Map<string, readonly Setting[]> {
  const merged = new Map<string, readonly Setting[]>();
  for (const setting of settings) {
    const { name, text, origin } = setting;
    const definition = brokerDefinitionsByName.get(name);
    if (definition === undefined) {
      if (isInheritedKey(name)) {
        warnings.push(
          `${name} (${origin}) has no effect: it is a key of Apache Kafka that this version does not use`,
        );
      } else {
        const closest = closestName(name, brokerNames);
        const hint = closest === null ? '' : `; did you mean ${closest}?`;
        problems.push({ key: name, value: text, origin, message: `unknown configuration key${hint}` });
      }
      continue;
    }
    const result = parseValue(definition, text);
    if ('reason' in result) {
      const message = `${result.reason} (allowed: ${describeAllowed(definition)}; default ${definition.default ?? 'none'})`;
      problems.push({ key: name, value: definition.sensitive ? '[hidden]' : text, origin, message });
    } else {
      merged.set(name, [setting, ...(merged.get(name) ?? [])]);
    }
  }
  return merged;
}

/** Everything that takes more than one key. */
function resolve(
  settings: ReadonlyMap<string, readonly Setting[]>,
  input: ConfigInput,
  problems: ConfigProblem[],
  warnings: string[],
): ResolvedConfig {
  const plain = new KafabricConfig(settings, {
    ...UNRESOLVED,
    defaultDataDirectory: defaultDataDirectory(input),
  });
  const get = <K extends BrokerKey>(key: K): BrokerValues[K] => plain.get(key);
  const attempt = <T>(key: BrokerKey, action: () => T): T | undefined => {
    try {
      return action();
    } catch (error) {
      const entry = plain.entry(key)!;
      problems.push({
        key,
        value: entry.text,
        origin: entry.origin || null,
        message: (error as Error).message,
      });
      return undefined;
    }
  };

  const controllerNames = get('controller.listener.names');
  const listeners = attempt('listeners', () =>
    parseListeners(get('listeners'), get('listener.security.protocol.map'), controllerNames),
  );
  const advertised =
    listeners &&
    attempt('advertised.listeners', () =>
      parseAdvertisedListeners(get('advertised.listeners'), listeners, controllerNames, hostname()),
    );
  warnings.push(...exposureWarnings(listeners ?? []));
  const metricsListener = attempt('metrics.listener', () => parseHttpAddress(get('metrics.listener')));

  const logDirs = (get('log.dirs') ?? get('log.dir')).map((directory) => path.resolve(directory));
  attempt('log.dirs', () => {
    if (logDirs.length === 0) throw new Error('at least one data directory is needed');
    if (new Set(logDirs).size < logDirs.length) throw new Error('the same data directory is named twice');
  });
  attempt('cordoned.log.dirs', () => {
    const unknown = unknownCordoned(get('cordoned.log.dirs'), logDirs);
    if (unknown.length > 0) throw new Error(`not in log.dirs: ${unknown.join(', ')}`);
  });
  attempt('group.min.session.timeout.ms', () => {
    const longest = get('group.max.session.timeout.ms');
    if (get('group.min.session.timeout.ms') > longest) {
      throw new Error(`must not be above group.max.session.timeout.ms=${longest}`);
    }
  });

  attempt('direct.mapped.listeners', () => checkMapped(get, listeners ?? []));
  const { tiers, s3 } = resolveTiers(get, attempt, logDirs);
  warnings.push(...tierWarnings(get, [...settings.keys()], tiers));

  const brokerId = get('broker.id');
  return {
    nodeId: settings.has('node.id') || brokerId < 0 ? get('node.id') : brokerId,
    logDirs,
    defaultDataDirectory: plain.resolved.defaultDataDirectory,
    tiers,
    s3,
    listeners: listeners ?? [],
    advertisedListeners: advertised ?? [],
    metricsListener: metricsListener ?? null,
    warnings,
  };
}

/** Clients could not map anything, and nobody would say why. */
function checkMapped(
  get: <K extends BrokerKey>(key: K) => BrokerValues[K],
  listeners: readonly Listener[],
): void {
  const names = get('direct.mapped.listeners');
  if (names.length === 0) return;
  if (!get('direct.shared.memory.enable'))
    throw new Error('needs direct.shared.memory.enable=true: memory is mapped over the same socket');
  const direct = listeners.filter(({ protocol }) => protocol === 'DIRECT').map(({ name }) => name);
  const other = names.find((name) => listeners.length > 0 && !direct.includes(name));
  if (other !== undefined)
    throw new Error(
      `${other} is no listener of protocol DIRECT (there ${direct.length === 0 ? 'is none' : `are: ${direct.join(', ')}`})`,
    );
}

const UNRESOLVED: ResolvedConfig = {
  nodeId: -1,
  logDirs: [],
  defaultDataDirectory: '',
  tiers: [],
  s3: null,
  listeners: [],
  advertisedListeners: [],
  metricsListener: null,
  warnings: [],
};

function exposureWarnings(listeners: readonly Listener[]): string[] {
  return listeners
    .filter(({ host }) => !isLoopbackHost(host))
    .map(
      ({ name, host, port }) =>
        `listener ${name} on ${host || 'every interface'}:${port} can be reached from other machines, and nobody has to authenticate`,
    );
}
