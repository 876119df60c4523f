import assert from 'node:assert/strict';
import { patience } from '../harness/child.ts';
import { type ClientKind, clientKinds, missing } from '../harness/client.ts';

// What runs in the machine of run.mjs, which has a soft-RoCE device.
export const PROVIDER = 'verbs;ofi_rxm';
export const DOMAIN = 'rxe0';
/** Of records: less and more than a piece of the fabric, and not its multiples. */
export const SIZES = [100_001, 700_000, 1_048_577, 4_000_003];
/** How long what is waited for may take; longer on slow machines. */
export const PATIENCE_MS = 120_000;

/** Another file of libfabric than the machine's, as for native tests. */
export const library = process.env.KAFABRIC_FABRIC_LIBRARY ?? '';

/** What gateways, stores and commands all have: it takes long to pin much memory in a machine without KVM. */
export const common = {
  'fabric.provider': PROVIDER,
  'fabric.library': library,
  'arena.bytes': '134217728',
};

/** Of stores. */
export const storeSettings = { ...common, 'payload.store.heartbeat.ms': String(2000 * patience) };

/** A client that knows nothing of stores; rejects by an assertion when none is installed. */
export function kafkaClient(): ClientKind {
  const able = ['franz-go', 'platformatic-kafka'];
  const kind = clientKinds.find(({ name, setup }) => able.includes(name) && missing(setup) === null);
  assert.ok(kind, `one of the clients ${able.join(', ')} must be installed`);
  return kind;
}
