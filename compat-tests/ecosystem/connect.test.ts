import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { Child, freePort, runCommand, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { javaCommand } from '../harness/paths.ts';

const patienceMs = 90_000;

describe('Kafka Connect, distributed', () => {
  let broker: Broker;
  let dir: string;
  let url: string;
  let worker: Child | null = null;

  before(async function () {
    requireToolchain(this, 'java');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-connect-'));
    broker = await startBroker();
    url = `http://127.0.0.1:${await freePort()}`;
    writeFileSync(
      join(dir, 'worker.properties'),
      [
        `bootstrap.servers=${broker.bootstrap}`,
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
      ].join('\n'),
    );
  });

  after(async () => {
    await worker?.kill('SIGKILL');
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  async function start(): Promise<void> {
    const main = 'org.apache.kafka.connect.cli.ConnectDistributed';
    const child = new Child([...javaCommand(main, 384), join(dir, 'worker.properties')]);
    worker = child;
    await until('the worker answers', patienceMs, async () => {
      if (!child.running) throw new Error(`the worker ended:\n${child.output.slice(-4000)}`);
      return (await ask('GET', '/connectors').catch(() => null)) !== null;
    });
  }

  /** Null while the worker rebalances or does not know the connector yet. */
  async function ask(method: string, path: string, body?: object): Promise<unknown> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(url + path, { method, headers, body: body ? JSON.stringify(body) : null });
    if (response.status === 409 || response.status === 404 || response.status >= 500) return null;
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
    return response.json();
  }

  async function create(name: string, config: Record<string, string>): Promise<void> {
    await until(`connector ${name}`, patienceMs, async () => {
      return (await ask('PUT', `/connectors/${name}/config`, { 'tasks.max': '1', ...config })) !== null;
    });
  }

  /** Fails with the task's own words when it has failed. */
  async function isRunning(name: string): Promise<boolean> {
    const status = (await ask('GET', `/connectors/${name}/status`)) as {
      tasks: { state: string; trace?: string }[];
    } | null;
    const failed = status?.tasks.find(({ state }) => state === 'FAILED');
    if (failed) throw new Error(failed.trace);
    return status?.tasks.length === 1 && status.tasks[0]!.state === 'RUNNING';
  }

  const source = () => join(dir, 'source.txt');
  const sink = () => join(dir, 'sink.txt');
  const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `line ${from + i}`);

  function sunk(): string[] {
    return existsSync(sink()) ? readFileSync(sink(), 'utf8').trimEnd().split('\n') : [];
  }

  async function arrives(line: string): Promise<void> {
    await until(`${line} in the sink`, patienceMs, async () => {
      await Promise.all(['source', 'sink'].map(isRunning));
      return sunk().includes(line);
    });
  }

  async function committed(): Promise<string[]> {
    const main = 'org.apache.kafka.tools.consumer.ConsoleConsumer';
    const words = ['--bootstrap-server', broker.bootstrap, '--topic', 'lines', '--from-beginning'];
    const until_ = ['--isolation-level', 'read_committed', '--timeout-ms', '5000'];
    const output = await runCommand([...javaCommand(main, 128), ...words, ...until_]);
    return output.split('\n').filter((line) => line.startsWith('line '));
  }

  it('a file goes through a topic into a file, exactly once into the topic, when the worker is killed', async () => {
    writeFileSync(source(), `${lines(0, 1000).join('\n')}\n`);
    await start();
    const connector = 'org.apache.kafka.connect.file.FileStream';
    await create('source', {
      'connector.class': `${connector}SourceConnector`,
      file: source(),
      topic: 'lines',
    });
    await create('sink', { 'connector.class': `${connector}SinkConnector`, file: sink(), topics: 'lines' });
    await arrives('line 999');
    assert.deepEqual(sunk(), lines(0, 1000));
    await worker!.kill('SIGKILL');
    appendFileSync(source(), `${lines(1000, 2000).join('\n')}\n`);
    await start();
    await arrives('line 1999');
    assert.deepEqual([...new Set(sunk())], lines(0, 2000), 'every line, in order');
    assert.deepEqual(await committed(), lines(0, 2000), 'no line twice');
  }).timeout(300_000);

  it('a clean restart goes on where it was, with the gateway restarted meanwhile', async () => {
    const before = sunk().length;
    await worker!.kill('SIGTERM');
    await broker.restart();
    appendFileSync(source(), `${lines(2000, 2500).join('\n')}\n`);
    await start();
    await arrives('line 2499');
    assert.deepEqual(sunk().slice(before), lines(2000, 2500));
    assert.deepEqual(await committed(), lines(0, 2500));
    const offsets = (await ask('GET', '/connectors/sink/offsets')) as { offsets: unknown[] };
    assert.equal(offsets.offsets.length > 0, true);
  }).timeout(300_000);
});
