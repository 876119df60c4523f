import { hostname } from 'node:os';
import path from 'node:path';
import { unknownCordoned } from './cordoned.ts';
import type { BrokerKey, BrokerValues } from './definitions/index.ts';
import type { ConfigProblem } from './errors.ts';
import { KafabricConfig, type ResolvedConfig } from './kafabric-config.ts';
import { listenerKeyOf, settingsOfListener } from './listener-keys.ts';
import { type ListenerTlsConfig, resolveListenerTls } from './listener-tls.ts';
import {
  isDirect,
  isLoopbackHost,
  type Listener,
  parseAdvertisedListeners,
  parseHttpAddress,
  parseListeners,
  speaksTls,
} from './listeners.ts';
import type { Setting } from './sources.ts';
import { resolveTiers, tierWarnings } from './tiers.ts';

type Get = <K extends BrokerKey>(key: K) => BrokerValues[K];
/** Notes what goes wrong as a problem of a key. */
type Attempt = <T>(key: BrokerKey, action: () => T) => T | undefined;

/** Everything that takes more than one key; what is wrong and what deserves attention is added to the lists. */
export function resolve(
  settings: ReadonlyMap<string, readonly Setting[]>,
  defaultDataDirectory: string,
  problems: ConfigProblem[],
  warnings: string[],
): ResolvedConfig {
  const { get, attempt } = access(settings, defaultDataDirectory, problems);
  const { listeners, advertisedListeners } = resolveListeners(get, attempt);
  const listenerTls = resolveListenerTls(listeners, (name) =>
    access(settingsOfListener(settings, name), defaultDataDirectory, problems),
  );
  warnings.push(...idleListenerKeys([...settings.keys()], listeners));
  warnings.push(...exposureWarnings(listeners, listenerTls));
  const metricsListener =
    attempt('metrics.listener', () => parseHttpAddress(get('metrics.listener'))) ?? null;
  const logDirs = resolveLogDirs(get, attempt);
  attempt('arena.directory', () => checkArenaDirectory(get('arena.directory')));
  attempt('group.min.session.timeout.ms', () => checkSessionTimeouts(get));
  attempt('direct.mapped.listeners', () => checkMapped(get, listeners));
  const { tiers, s3 } = resolveTiers(get, attempt, logDirs);
  warnings.push(...tierWarnings(get, [...settings.keys()], tiers));
  const brokerId = get('broker.id');
  const nodeId = settings.has('node.id') || brokerId < 0 ? get('node.id') : brokerId;
  return {
    ...{ nodeId, logDirs, defaultDataDirectory, tiers, s3 },
    ...{ listeners, advertisedListeners, listenerTls, metricsListener, warnings },
  };
}

function checkArenaDirectory(directory: string): void {
  if (directory !== path.resolve(directory))
    throw new Error('expected an absolute path, without a slash at its end');
}

/** Reads settings, and notes what is wrong with them, once. */
function access(
  settings: ReadonlyMap<string, readonly Setting[]>,
  defaultDataDirectory: string,
  problems: ConfigProblem[],
): { get: Get; attempt: Attempt } {
  const plain = new KafabricConfig(settings, { ...UNRESOLVED, defaultDataDirectory });
  const attempt: Attempt = (key, action) => {
    try {
      return action();
    } catch (error) {
      const { text, origin } = plain.entry(key)!;
      const name = plain.settingsOf(key)[0]?.name ?? key;
      const problem = { key: name, value: text, origin: origin || null, message: (error as Error).message };
      const isKnown = problems.some((one) => one.key === name && one.message === problem.message);
      if (!isKnown) problems.push(problem);
      return undefined;
    }
  };
  return { get: (key) => plain.get(key), attempt };
}

/** Kafka's configurations may say more of listeners than there are. */
function idleListenerKeys(names: readonly string[], listeners: readonly Listener[]): string[] {
  const encrypted = listeners.filter(speaksTls).map(({ name }) => name);
  return names
    .filter((name) => {
      const own = listenerKeyOf(name);
      return own !== null && !encrypted.includes(own.listener);
    })
    .map((name) => `${name} has no effect: there is no such listener that speaks TLS`);
}

function resolveListeners(
  get: Get,
  attempt: Attempt,
): Pick<ResolvedConfig, 'listeners' | 'advertisedListeners'> {
  const controllerNames = get('controller.listener.names');
  const listeners = attempt('listeners', () =>
    parseListeners(get('listeners'), get('listener.security.protocol.map'), controllerNames),
  );
  const advertised =
    listeners &&
    attempt('advertised.listeners', () =>
      parseAdvertisedListeners(get('advertised.listeners'), listeners, controllerNames, hostname()),
    );
  return { listeners: listeners ?? [], advertisedListeners: advertised ?? [] };
}

function resolveLogDirs(get: Get, attempt: Attempt): string[] {
  const logDirs = (get('log.dirs') ?? get('log.dir')).map((directory) => path.resolve(directory));
  attempt('log.dirs', () => {
    if (logDirs.length === 0) throw new Error('at least one data directory is needed');
    if (new Set(logDirs).size < logDirs.length) throw new Error('the same data directory is named twice');
  });
  attempt('cordoned.log.dirs', () => {
    const unknown = unknownCordoned(get('cordoned.log.dirs'), logDirs);
    if (unknown.length > 0) throw new Error(`not in log.dirs: ${unknown.join(', ')}`);
  });
  return logDirs;
}

function checkSessionTimeouts(get: Get): void {
  const longest = get('group.max.session.timeout.ms');
  if (get('group.min.session.timeout.ms') > longest)
    throw new Error(`must not be above group.max.session.timeout.ms=${longest}`);
}

/** Clients could not map anything, and nobody would say why. */
function checkMapped(get: Get, listeners: readonly Listener[]): void {
  const names = get('direct.mapped.listeners');
  if (names.length === 0) return;
  if (!get('direct.shared.memory.enable'))
    throw new Error('needs direct.shared.memory.enable=true: memory is mapped over the same socket');
  const direct = listeners.filter(isDirect).map(({ name }) => name);
  const other = names.find((name) => listeners.length > 0 && !direct.includes(name));
  if (other !== undefined)
    throw new Error(
      `${other} is no listener of protocol DIRECT or DIRECT_SSL (there ${direct.length === 0 ? 'is none' : `are: ${direct.join(', ')}`})`,
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
  listenerTls: [],
  metricsListener: null,
  warnings: [],
};

function exposureWarnings(listeners: readonly Listener[], tls: readonly ListenerTlsConfig[]): string[] {
  const isChecked = ({ name }: Listener) =>
    tls.some((one) => one.clientAuth === 'required' && one.listeners.includes(name));
  return listeners
    .filter((listener) => !isLoopbackHost(listener.host) && !isChecked(listener))
    .map(
      ({ name, host, port }) =>
        `listener ${name} on ${host || 'every interface'}:${port} can be reached from other machines, and nobody has to authenticate`,
    );
}
