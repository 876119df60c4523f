import path from 'node:path';
import { forgetStoreTier } from '../../backend/payload/stores/process/store-directory.ts';
import { forgetTier } from '../../broker/storage/forget-tier.ts';
import type { KafabricConfig } from '../../config/index.ts';
import { Store } from '../../native/store.ts';
import { storePath } from '../store-tiers.ts';

/** `kafabric store forget-tier`: gives up what a directory of a store's tiers held, while the store is stopped. */
export async function forgetStoreTierCommand(config: KafabricConfig, tier: string): Promise<void> {
  const given = absolute(tier);
  await withStore((store) => forgetStoreTier(storePath(config), store, given));
  say(
    config,
    given,
    'gateways make what was there anew, from copies at other stores, when the store is there again',
  );
}

/** `kafabric payload forget-tier`: the same for the tiers of a gateway. */
export async function forgetTierCommand(config: KafabricConfig, tier: string): Promise<void> {
  const given = absolute(tier);
  const leftOut = await withStore((store) => forgetTier(config.resolved.logDirs, store, given));
  for (const directory of leftOut)
    process.stderr.write(`kafabric: ${directory} cannot be read; the others say what is used\n`);
  say(
    config,
    given,
    '`kafabric payload verify` says which records are lost with it, and with --remove-lost takes them out of the logs',
  );
}

const absolute = (tier: string) => (tier.includes('://') ? tier : path.resolve(tier));

async function withStore<T>(action: (store: Store) => Promise<T>): Promise<T> {
  const store = new Store({ threads: 1 });
  try {
    return await action(store);
  } finally {
    await store.shutdown();
  }
}

function say({ resolved }: KafabricConfig, given: string, next: string): void {
  const isConfigured = resolved.tiers.some(({ paths }) => paths.some((each) => each.path === given));
  const hint = isConfigured
    ? 'It is still named in storage.tiers.*.paths: the next start begins it anew, empty. Take it out there unless a new disk is mounted.\n'
    : '';
  process.stdout.write(`${given} is given up: ${next}.\n${hint}`);
}
