import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../src/util/free-port.ts';
import { type Broker, startBroker } from '../harness/broker.ts';
import { Child, until } from '../harness/child.ts';
import { helperClient, requireToolchain } from '../harness/client.ts';
import { installed } from '../harness/paths.ts';
import { OtlpSink, otlpRequest, type Signal, signals } from './otlp.ts';

const patienceMs = 120_000;
const perRequest = 20;
const requestsPerRound = 50;
const perRound = perRequest * requestsPerRound;

/** One collector writes to topics what it gets, another one reads it and hands it on. */
describe('OpenTelemetry collector', function () {
  this.timeout(600_000);
  let broker: Broker;
  let dir: string;
  let sink: OtlpSink;
  let senderUrl: string;
  let sender: Child | null = null;
  let reader: Child | null = null;
  let fed = 0;

  before(async function () {
    for (const toolchain of ['opentelemetry', 'java']) requireToolchain(this, toolchain);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-opentelemetry-'));
    broker = await startBroker();
    sink = await OtlpSink.start();
    const helper = helperClient(broker.bootstrap);
    for (const topic of ['otlp_logs', 'otlp_metrics', 'otlp_spans'])
      await helper.call('create', { topic, partitions: 2, configs: {} });
    await startSender();
  });

  after(async () => {
    await Promise.all([sender?.kill('SIGKILL'), reader?.kill('SIGKILL')]);
    sink?.stop();
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  /** JSON is YAML, too. */
  function collector(name: string, receivers: object, exporters: object): Child {
    const file = join(dir, `${name}.yaml`);
    const pipeline = { receivers: Object.keys(receivers), exporters: Object.keys(exporters) };
    const service = {
      telemetry: { metrics: { level: 'none' } },
      pipelines: Object.fromEntries(signals.map((signal) => [signal, pipeline])),
    };
    writeFileSync(file, JSON.stringify({ receivers, exporters, service }));
    return new Child([join(installed, 'opentelemetry/collector'), '--config', file]);
  }

  const kafka = () => ({ brokers: [broker.bootstrap] });

  /** Without a queue of its own: what it has answered is in Kafka. */
  async function startSender(): Promise<void> {
    const endpoint = `127.0.0.1:${await freePort()}`;
    senderUrl = `http://${endpoint}`;
    const receivers = { otlp: { protocols: { http: { endpoint } } } };
    const producer = { required_acks: -1, compression: 'zstd' };
    sender = collector('sender', receivers, {
      kafka: { ...kafka(), producer, sending_queue: { enabled: false } },
    });
    await until('the collector listens', patienceMs, () => send('logs', []));
  }

  function startReader(): void {
    const group = { group_id: 'collector', initial_offset: 'earliest', session_timeout: '6s' };
    const receivers = {
      kafka: {
        ...kafka(),
        ...group,
        message_marking: { after: true },
        autocommit: { enable: true, interval: '200ms' },
      },
    };
    reader = collector('reader', receivers, {
      otlp_http: {
        endpoint: sink.url,
        encoding: 'json',
        compression: 'none',
        sending_queue: { enabled: false },
      },
    });
  }

  /** False when it is to be sent again. */
  async function send(signal: Signal, numbers: number[]): Promise<boolean> {
    if (!sender!.running) throw new Error(`the sender ended:\n${sender!.output.slice(-4000)}`);
    const response = await fetch(`${senderUrl}/v1/${signal}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(otlpRequest(signal, numbers)),
    }).catch(() => null);
    return response?.ok === true;
  }

  async function feed(): Promise<void> {
    for (let request = 0; request < requestsPerRound; request++) {
      const numbers = Array.from({ length: perRequest }, (_, i) => fed + i);
      for (const signal of signals)
        await until(`${signal} are taken`, patienceMs, () => send(signal, numbers));
      fed += perRequest;
    }
  }

  async function hasRead(count: number): Promise<void> {
    await until(`${count} of each kind have arrived`, patienceMs, () => {
      if (!reader!.running) throw new Error(`the reader ended:\n${reader!.output.slice(-4000)}`);
      return signals.every((signal) => sink.received[signal].size >= count);
    });
  }

  async function assertAll(): Promise<void> {
    await hasRead(fed);
    const all = Array.from({ length: fed }, (_, number) => number);
    for (const signal of signals)
      assert.deepEqual(
        [...sink.received[signal]].sort((a, b) => a - b),
        all,
      );
  }

  it('loses no log, metric or span, when the reader is killed', async () => {
    await feed();
    startReader();
    await hasRead(perRound / 4);
    const fedMeanwhile = feed();
    await hasRead(perRound + perRequest);
    await reader!.kill('SIGKILL');
    await fedMeanwhile;
    startReader();
    await assertAll();
  });

  it('goes on when the gateway is killed under both', async () => {
    const fedMeanwhile = feed();
    await broker.kill('SIGKILL');
    await broker.start();
    await fedMeanwhile;
    await assertAll();
  });
});
