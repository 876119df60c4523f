import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../src/util/free-port.ts';
import { Child, until } from '../harness/child.ts';
import { javaCommand } from '../harness/paths.ts';

const PATIENCE_MS = 90_000;

/** A worker of Kafka Connect in distributed mode, with exactly-once for sources. */
export class ConnectWorker {
  readonly #file: string;
  readonly #url: string;
  #child: Child | null = null;

  private constructor(file: string, url: string) {
    this.#file = file;
    this.#url = url;
  }

  /** Not started yet; its properties are kept in `dir`, `settings` being further lines of them. */
  static async make(bootstrap: string, dir: string, settings: string[] = []): Promise<ConnectWorker> {
    const url = `http://127.0.0.1:${await freePort()}`;
    const lines = [
      `bootstrap.servers=${bootstrap}`,
      'group.id=connect',
      `listeners=${url}`,
      'exactly.once.source.support=enabled',
      'offset.flush.interval.ms=500',
      'key.converter=org.apache.kafka.connect.storage.StringConverter',
      'value.converter=org.apache.kafka.connect.storage.StringConverter',
      ...['offset', 'config', 'status'].flatMap((name) => [
        `${name}.storage.topic=connect-${name}`,
        `${name}.storage.replication.factor=-1`,
      ]),
      'offset.storage.partitions=3',
      ...settings,
    ];
    const file = join(dir, 'worker.properties');
    writeFileSync(file, lines.join('\n'));
    return new ConnectWorker(file, url);
  }

  async start(): Promise<void> {
    const main = 'org.apache.kafka.connect.cli.ConnectDistributed';
    const child = new Child([...javaCommand(main, 384), this.#file]);
    this.#child = child;
    await until('the worker answers', PATIENCE_MS, async () => {
      if (!child.running) throw new Error(`the worker ended:\n${child.output.slice(-4000)}`);
      return (await this.ask('GET', '/connectors').catch(() => null)) !== null;
    });
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    await this.#child?.kill(signal);
  }

  /** Null while the worker rebalances or does not know the connector yet. */
  async ask(method: string, path: string, body?: object): Promise<unknown> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(this.#url + path, {
      method,
      headers,
      body: body ? JSON.stringify(body) : null,
    });
    if (response.status === 409 || response.status === 404 || response.status >= 500) return null;
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
    return response.json();
  }

  async create(name: string, config: Record<string, string>): Promise<void> {
    await until(`connector ${name}`, PATIENCE_MS, async () => {
      return (await this.ask('PUT', `/connectors/${name}/config`, { 'tasks.max': '1', ...config })) !== null;
    });
  }

  /** Fails with the task's own words when it has failed. */
  async isRunning(name: string): Promise<boolean> {
    const status = (await this.ask('GET', `/connectors/${name}/status`)) as {
      tasks: { state: string; trace?: string }[];
    } | null;
    const failed = status?.tasks.find(({ state }) => state === 'FAILED');
    if (failed) throw new Error(failed.trace);
    return status?.tasks.length === 1 && status.tasks[0]!.state === 'RUNNING';
  }
}
