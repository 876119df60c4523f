import { freePort } from '../../src/util/free-port.ts';
import { filesBelow } from '../../src/util/testing/files-below.ts';
import { Child, until } from './child.ts';
import { gatewayCommand } from './command-line.ts';
import { readMetric } from './metrics.ts';

export const STORES_SECRET = 'known to stores and gateways';

/** A store process under test: the same address and directory, whenever it is started again. */
export class StoreUnderTest {
  readonly address: string;
  readonly metricsUrl: string;
  readonly directory: string;
  readonly #overrides: Record<string, string>;
  #child: Child | null = null;

  private constructor(ports: [number, number], directory: string, overrides: Record<string, string>) {
    this.address = `127.0.0.1:${ports[0]}`;
    this.metricsUrl = `http://127.0.0.1:${ports[1]}`;
    this.directory = directory;
    this.#overrides = overrides;
  }

  /** One that is not started yet. */
  static async make(directory: string, overrides: Record<string, string> = {}): Promise<StoreUnderTest> {
    return new StoreUnderTest([await freePort(), await freePort()], directory, overrides);
  }

  get running(): boolean {
    return this.#child?.running ?? false;
  }

  /** Of the current or last process. */
  get pid(): number | undefined {
    return this.#child?.process.pid;
  }

  logs(): string {
    return this.#child?.output ?? '';
  }

  async start(): Promise<void> {
    const overrides = {
      'payload.store.listener': this.address,
      'payload.store.dir': this.directory,
      'payload.store.heartbeat.ms': '1000',
      'payload.stores.secret': STORES_SECRET,
      'metrics.listener': this.metricsUrl,
      'arena.bytes': '134217728',
      ...this.#overrides,
    };
    const child = new Child(gatewayCommand(['store', 'run'], overrides));
    this.#child = child;
    await until('the store is ready', 60_000, async () => {
      if (!child.running) throw new Error(`the store ${child.end}`);
      const answer = await fetch(`${this.metricsUrl}/health/ready`).catch(() => null);
      return answer?.ok ?? false;
    }).catch((error: Error) => {
      throw new Error(`${error.message}; its log:\n${child.output.slice(-4000)}`);
    });
  }

  async kill(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#child?.kill(signal);
  }

  /** Stops it in its tracks, or lets it go on. */
  freeze(on: boolean): void {
    this.#child?.process.kill(on ? 'SIGSTOP' : 'SIGCONT');
  }

  /** The files of segments that it has. */
  files(): string[] {
    const tiers = Object.entries(this.#overrides).filter(([key]) => /^storage\.tiers\.\w+\.paths$/.test(key));
    const directories = [this.directory, ...tiers.flatMap(([, paths]) => paths.split(','))];
    return directories.flatMap((directory) =>
      filesBelow(directory).filter((path) => /\.(payload|open)$/.test(path)),
    );
  }

  /** `name`: behind `kafabric_`, with its labels. */
  metric(name: string): Promise<number> {
    return readMetric(this.metricsUrl, `kafabric_${name}`);
  }
}
