import { mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { DeploymentName } from './deployments.ts';

const tiered: readonly DeploymentName[] = ['burst', 'moving', 'movingFlush'];

/** Where tiers in memory can be. */
const sharedMemory = '/dev/shm';

/** Directories of storage tiers for one run of Kafabric; none but in the deployments that are about them. */
export class TierFolders {
  readonly settings: Record<string, string>;
  readonly #memory: string | null = null;

  /** `dir`: the run's own. */
  constructor(dir: string, deployment: DeploymentName) {
    this.settings = {};
    if (!tiered.includes(deployment)) return;
    let first = join(dir, 'first');
    if (deployment === 'burst') {
      this.#memory = join(sharedMemory, basename(dir));
      first = this.#memory;
    }
    mkdirSync(first, { recursive: true });
    this.settings = { 'storage.tiers.first.paths': first, 'storage.tiers.second.paths': join(dir, 'second') };
  }

  clear(): void {
    if (this.#memory !== null) rmSync(this.#memory, { recursive: true, force: true });
  }
}
