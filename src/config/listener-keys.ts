import type { ConfigDefinition } from './definitions/definition.ts';
import { sslDefinitions } from './definitions/ssl.ts';
import type { Setting } from './sources.ts';

const definitions = new Map<string, ConfigDefinition>(sslDefinitions.map((one) => [one.name, one]));
const OF_ONE = /^listener\.name\.(.+?)\.((?:ssl|sasl|principal)\..+)$/;

/** A key that one listener has in place of the key of all. */
export interface ListenerKey {
  /** Upper case. */
  readonly listener: string;
  /** Of the key of all; undefined: listeners have no such key of their own. */
  readonly definition: ConfigDefinition | undefined;
}

/** `listener.name.internal.ssl.client.auth` is ssl.client.auth of INTERNAL; null for names that are none of this kind. */
export function listenerKeyOf(name: string): ListenerKey | null {
  const [, listener, key] = OF_ONE.exec(name) ?? [];
  if (listener === undefined || key === undefined) return null;
  return { listener: listener.toUpperCase(), definition: definitions.get(key) };
}

/** The settings as they are for one listener: its own in place of those of all. Those keep their names. */
export function settingsOfListener(
  settings: ReadonlyMap<string, readonly Setting[]>,
  listener: string,
): Map<string, readonly Setting[]> {
  const its = new Map(settings);
  for (const [name, values] of settings) {
    const own = listenerKeyOf(name);
    if (own?.listener === listener && own.definition !== undefined) its.set(own.definition.name, values);
  }
  return its;
}
