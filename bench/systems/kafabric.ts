import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { version } from '../../src/server/version.ts';
import { freePort } from '../../src/util/free-port.ts';
import type { SystemInfo } from '../model.ts';
import { root } from '../paths.ts';
import { type DeploymentName, deployments, type Variant } from './deployments.ts';
import { LocalSystem } from './local.ts';
import type { StartTimes } from './system.ts';
import { TierFolders } from './tiers.ts';

/** Space is written ahead for a quarter of the disk's time. */
const preparePollMs = 500;
const prepareTimeoutMs = 600_000;

export class Kafabric extends LocalSystem {
  readonly info: SystemInfo;
  override readonly plainTopicConfig = { 'payload.min.bytes': '-1' };
  readonly #settings: Record<string, string>;
  #direct: string | null = null;
  #tiers: TierFolders | null = null;

  constructor(folder: string, name: string, variant: Variant, overrides: Record<string, string>) {
    super(folder);
    this.#settings = { ...variant.settings, ...overrides };
    const changed = Object.entries(this.#settings).map(([key, value]) => `${key}=${value}`);
    this.info = { name, version: `Kafabric ${version}`, about: changed.join(', ') || variant.about };
  }

  override async start(deployment: DeploymentName): Promise<StartTimes> {
    const times = await super.start(deployment);
    await this.#spaceWritten(Number(this.#settings['log.recycle.prepare.bytes'] ?? 0));
    return times;
  }

  /** Until `bytes` but for a last file are written ahead, as after a start some time ago. */
  async #spaceWritten(bytes: number): Promise<void> {
    const data = join(this.dir, 'data');
    const deadline = performance.now() + prepareTimeoutMs;
    for (let sum = 0, largest = 0; sum + largest < bytes; await sleep(preparePollMs)) {
      if (performance.now() > deadline) throw new Error('space is not written ahead in its time');
      const sizes = readdirSync(data)
        .filter((name) => name.endsWith('.free'))
        .map((name) => statSync(join(data, name)).size);
      sum = sizes.reduce((all, size) => all + size, 0);
      largest = Math.max(0, ...sizes);
    }
  }

  override clear(): void {
    super.clear();
    this.#tiers?.clear();
  }

  override get direct(): string | null {
    return this.#direct;
  }

  protected async prepare(deployment: DeploymentName): Promise<string[]> {
    this.#direct =
      deployment === 'direct' || deployment === 'directKept' ? `127.0.0.1:${await freePort()}` : null;
    const more = this.#direct === null ? '' : `,DIRECT://${this.#direct}`;
    this.#tiers = new TierFolders(this.dir, deployment);
    const settings: Record<string, string> = {
      listeners: `PLAINTEXT://${this.bootstrap}${more}`,
      'metrics.listener': `http://127.0.0.1:${await freePort()}`,
      'log.dirs': join(this.dir, 'data'),
      ...deployments[deployment].kafabric,
      ...this.#tiers.settings,
      ...this.#settings,
    };
    const overrides = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
    return [process.execPath, join(root, 'dist/kafabric/main.js'), 'start', ...overrides];
  }
}
