import type { KafabricConfig } from '../../config/index.ts';
import { checkDisks } from './disks.ts';
import { checkFabric } from './fabric.ts';
import { type Finding, note, type Progress } from './finding.ts';
import { checkMachine } from './machine.ts';
import { checkNetwork } from './network.ts';
import { checkObjectStore } from './object-store.ts';
import { checkStores } from './stores.ts';
import { checkTiers } from './tiers.ts';

/**
 * Looks at everything that the gateway depends on. `measure`: write 64 MiB to each directory's device and each store, and time it, and move bytes to and
 * from each store over each provider; a small object goes to the bucket, too.
 */
export async function examine(
  config: KafabricConfig,
  measure: boolean,
  progress: Progress = () => undefined,
): Promise<Finding[]> {
  const warnings = config.resolved.warnings.map((warning) => note('machine', warning));
  return [
    ...(await checkMachine(config)),
    ...(await checkDisks(config, measure, progress)),
    ...(await checkTiers(config)),
    ...(await checkNetwork(config)),
    ...(await checkFabric(config)),
    ...(await checkStores(config, measure, progress)),
    ...(await checkObjectStore(config, measure)),
    ...warnings,
  ];
}
