import { statfs } from 'node:fs/promises';
import { assertInMemory, memoryForTiers } from '../../backend/payload/tiers/machine-memory.ts';
import { type KafabricConfig, type TierPathConfig, tierKind } from '../../config/index.ts';
import { Store } from '../../native/store.ts';
import { assertStoreTiers } from '../store-tiers.ts';
import { nearestPath } from './disks.ts';
import { binaryBytes, type Finding, note, ok, problem } from './finding.ts';

/** The storage tiers that are no ordinary directories: whether they are what their type says. */
export async function checkTiers(config: KafabricConfig): Promise<Finding[]> {
  if (config.resolved.tiers.length === 0) return [];
  const store = new Store({ threads: 1 });
  try {
    return [...checkStoreTiers(config), ...(await check(store, config))];
  } finally {
    await store.shutdown();
  }
}

/** What a payload store with this configuration could not have. */
function checkStoreTiers(config: KafabricConfig): Finding[] {
  if (config.get('payload.store.dir') === '') return [];
  try {
    assertStoreTiers(config);
    return [];
  } catch (error) {
    return [problem('disk', (error as Error).message, 'the store would not start; see docs/stores.md')];
  }
}

async function check(store: Store, config: KafabricConfig): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { type, ordinal, paths } of config.resolved.tiers) {
    const { isVolatile, isPersistentMemory } = tierKind(type);
    for (const each of paths) {
      const where = `${each.path}, ${ordinal} tier, ${type}`;
      const found = await nearestPath(each.path);
      if (isVolatile) findings.push(await checkMemory(each, found, where));
      if (isPersistentMemory) findings.push(await checkPersistentMemory(store, found, where));
    }
  }
  return findings;
}

async function checkMemory(
  { path, sizeBytes }: TierPathConfig,
  found: string,
  where: string,
): Promise<Finding> {
  try {
    await assertInMemory(found);
  } catch (error) {
    return problem('disk', `${where}: ${(error as Error).message}`, 'the tier would be out of use');
  }
  const { blocks, bavail, bsize } = await statfs(found);
  const text = `${where}: ${binaryBytes(sizeBytes)} of a tmpfs of ${binaryBytes(blocks * bsize)}`;
  const room = Math.min(bavail * bsize, await memoryForTiers());
  // A gateway that runs may have it.
  if (room < sizeBytes && found !== path)
    return problem(
      'disk',
      `${text}: there is only room for ${binaryBytes(room)}`,
      'set a smaller storage.tiers.*.sizes, or have the tmpfs mounted with a larger size',
    );
  return note('disk', text, 'lost when the machine restarts without a clean stop of the gateway');
}

async function checkPersistentMemory(store: Store, found: string, where: string): Promise<Finding> {
  const { mapped, detail } = await store.usePersistentMemory(found);
  if (mapped) return ok('disk', `${where}: mapped, ${detail}`);
  return note(
    'disk',
    `${where}: ordinary files, for ${detail}`,
    'mount a file system on persistent memory with -o dax (ext4, XFS), or use the type NVME',
  );
}
