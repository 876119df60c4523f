import { join } from 'node:path';
import { version } from '../../src/server/version.ts';
import type { SystemInfo } from '../model.ts';
import { root } from '../paths.ts';
import { type DeploymentName, deployments, type Variant } from './deployments.ts';
import { LocalSystem } from './local.ts';
import { freePort } from './wire.ts';

export class Kafabric extends LocalSystem {
  readonly info: SystemInfo;
  readonly #settings: Record<string, string>;
  #direct: string | null = null;

  constructor(folder: string, name: string, variant: Variant, overrides: Record<string, string>) {
    super(folder);
    this.#settings = { ...variant.settings, ...overrides };
    const changed = Object.entries(this.#settings).map(([key, value]) => `${key}=${value}`);
    this.info = { name, version: `Kafabric ${version}`, about: changed.join(', ') || variant.about };
  }

  override get direct(): string | null {
    return this.#direct;
  }

  protected async prepare(deployment: DeploymentName): Promise<string[]> {
    this.#direct = deployment === 'direct' ? `127.0.0.1:${await freePort()}` : null;
    const more = this.#direct === null ? '' : `,DIRECT://${this.#direct}`;
    const settings: Record<string, string> = {
      listeners: `PLAINTEXT://${this.bootstrap}${more}`,
      'metrics.listener': '',
      'log.dirs': join(this.dir, 'data'),
      ...deployments[deployment].kafabric,
      ...this.#settings,
    };
    const overrides = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
    return [process.execPath, join(root, 'dist/src/server/cli/main.js'), 'start', ...overrides];
  }
}
