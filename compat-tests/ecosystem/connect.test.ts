import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { ConnectWorker } from './connect-worker.ts';
import { readTopic } from './programs.ts';

const patienceMs = 90_000;

describe('Kafka Connect, distributed', () => {
  let broker: Broker;
  let dir: string;
  let worker: ConnectWorker;

  before(async function () {
    for (const toolchain of ['java', 'kcat']) requireToolchain(this, toolchain);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-connect-'));
    broker = await startBroker();
    worker = await ConnectWorker.make(broker.bootstrap, dir);
  });

  after(async () => {
    await worker?.kill('SIGKILL');
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  const source = () => join(dir, 'source.txt');
  const sink = () => join(dir, 'sink.txt');
  const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `line ${from + i}`);

  function sunk(): string[] {
    return existsSync(sink()) ? readFileSync(sink(), 'utf8').trimEnd().split('\n') : [];
  }

  async function arrives(line: string): Promise<void> {
    await until(`${line} in the sink`, patienceMs, async () => {
      await Promise.all(['source', 'sink'].map((name) => worker.isRunning(name)));
      return sunk().includes(line);
    });
  }

  /** In the order of their numbers; the topic has several partitions. */
  async function committed(): Promise<string[]> {
    const records = await readTopic(broker.bootstrap, 'lines');
    const numberOf = (line: string) => Number(line.slice('line '.length));
    return records.map(({ value }) => value!).sort((a, b) => numberOf(a) - numberOf(b));
  }

  it('a file goes through a topic into a file, exactly once into the topic, when the worker is killed', async () => {
    writeFileSync(source(), `${lines(0, 1000).join('\n')}\n`);
    await worker.start();
    const connector = 'org.apache.kafka.connect.file.FileStream';
    await worker.create('source', {
      'connector.class': `${connector}SourceConnector`,
      file: source(),
      topic: 'lines',
    });
    await worker.create('sink', {
      'connector.class': `${connector}SinkConnector`,
      file: sink(),
      topics: 'lines',
    });
    await arrives('line 999');
    assert.deepEqual(sunk(), lines(0, 1000));
    await worker.kill('SIGKILL');
    appendFileSync(source(), `${lines(1000, 2000).join('\n')}\n`);
    await worker.start();
    await arrives('line 1999');
    assert.deepEqual([...new Set(sunk())], lines(0, 2000), 'every line, in order');
    assert.deepEqual(await committed(), lines(0, 2000), 'no line twice');
  }).timeout(300_000);

  it('a clean restart goes on where it was, with the gateway restarted meanwhile', async () => {
    const before = sunk().length;
    await worker.kill('SIGTERM');
    await broker.restart();
    appendFileSync(source(), `${lines(2000, 2500).join('\n')}\n`);
    await worker.start();
    await arrives('line 2499');
    assert.deepEqual(sunk().slice(before), lines(2000, 2500));
    assert.deepEqual(await committed(), lines(0, 2500));
    const offsets = (await worker.ask('GET', '/connectors/sink/offsets')) as { offsets: unknown[] };
    assert.equal(offsets.offsets.length > 0, true);
  }).timeout(300_000);
});
