import assert from 'node:assert/strict';
import { patience } from '../harness/child.ts';
import { type ClientKind, clientKinds, missing } from '../harness/client.ts';

/** A way of libfabric that is tried. */
export interface TriedWay {
  readonly provider: string;
  readonly domain: string;
  /** The file of libfabric; empty: the one that is installed. */
  readonly library: string;
}

/** Of records: less and more than a piece of the fabric, and not its multiples. */
export const SIZES = [100_001, 700_000, 1_048_577, 4_000_003];
/** How long what is waited for may take; longer on slow machines. */
export const PATIENCE_MS = 120_000;

/** What gateways, stores and commands all have. The less memory, the sooner it is registered. */
export function settingsOf({ provider, domain, library }: TriedWay): Record<string, string> {
  const fabric = { 'fabric.provider': provider, 'fabric.domain': domain, 'fabric.library': library };
  return { ...fabric, 'arena.bytes': '134217728' };
}

export function storeSettingsOf(way: TriedWay): Record<string, string> {
  return { ...settingsOf(way), 'payload.store.heartbeat.ms': String(2000 * patience) };
}

/** A Kafka client; fails when none that can do all is installed. */
export function clientOf(): ClientKind {
  const able = ['franz-go', 'platformatic-kafka'];
  const kind = clientKinds.find(({ name, setup }) => able.includes(name) && missing(setup) === null);
  assert.ok(kind, `one of the clients ${able.join(', ')} must be installed`);
  return kind;
}
