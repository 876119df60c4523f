import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../harness/child.ts';
import { installed } from '../harness/paths.ts';
import { output } from './programs.ts';
import { Stage } from './stage.ts';

const patienceMs = 120_000;
const perRound = 5000;
const TOPIC = 'telegraf';

/** One instance writes the metrics of a file to a topic, another one reads them into a file. */
describe('Telegraf', function () {
  this.timeout(600_000);
  const stage = Stage.set('telegraf', ['telegraf']);
  let fed = 0;

  function command(name: string, config: string): string[] {
    const file = join(stage.dir, `${name}.conf`);
    const agent = `[agent]
      interval = "200ms"
      flush_interval = "200ms"
      flush_jitter = "0s"
      metric_buffer_limit = ${10 * perRound}
      omit_hostname = true`;
    writeFileSync(file, `${agent}\n${config}`);
    return [join(installed, 'telegraf/telegraf'), '--config', file];
  }

  /** A metric in InfluxDB's line protocol, as Telegraf itself writes it. */
  const metric = (number: number) =>
    `sensor,place=p${number % 7} number=${number}i,value=${number + 0.5} ${1_700_000_000 + number}000000000`;
  const metrics = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => metric(from + i));

  /** Writes the next round of metrics to the topic; resolves when they are acknowledged. */
  async function feed(): Promise<void> {
    const file = join(stage.dir, 'sent.txt');
    writeFileSync(file, `${metrics(fed, fed + perRound).join('\n')}\n`);
    const config = `
      [[inputs.file]]
        files = ["${file}"]
        data_format = "influx"
      [[outputs.kafka]]
        brokers = ["${stage.broker.bootstrap}"]
        topic = "${TOPIC}"
        routing_tag = "place"
        compression_codec = 4
        required_acks = -1
        idempotent_writes = true
        data_format = "influx"
        influx_sort_fields = true`;
    await output([...command('writer', config), '--once']);
    fed += perRound;
  }

  /** Of each life of its own: one that was killed may have left a part of a line. */
  const received = () => readdirSync(stage.dir).filter((name) => name.startsWith('received'));

  function startReader(): void {
    const file = join(stage.dir, `received-${received().length}.txt`);
    const config = `
      [[inputs.kafka_consumer]]
        brokers = ["${stage.broker.bootstrap}"]
        version = "3.6.0"
        topics = ["${TOPIC}"]
        consumer_group = "telegraf"
        offset = "oldest"
        data_format = "influx"
      [[outputs.file]]
        files = ["${file}"]
        data_format = "influx"
        influx_sort_fields = true`;
    stage.start(command('reader', config));
  }

  function seen(): Set<string> {
    const texts = received().map((name) => readFileSync(join(stage.dir, name), 'utf8'));
    return new Set(texts.flatMap((text) => text.split('\n')).filter((line) => line !== ''));
  }

  async function hasRead(count: number): Promise<void> {
    await until(`${count} metrics are read`, patienceMs, () => {
      stage.assertRuns();
      const lines = seen();
      return metrics(0, fed).filter((line) => lines.has(line)).length >= count;
    });
  }

  it('loses no metric between its output and its input, when the reader is killed', async () => {
    await feed();
    startReader();
    await hasRead(1000);
    await stage.program.kill('SIGKILL');
    await feed();
    startReader();
    await hasRead(fed);
  });

  it('goes on when the gateway is killed under it', async () => {
    await stage.broker.kill('SIGKILL');
    await stage.broker.start();
    await feed();
    await hasRead(fed);
    const known = new Set(metrics(0, fed));
    const unknown = [...seen()].filter((line) => !known.has(line));
    assert.ok(unknown.length <= 1, `what was never sent: ${unknown.slice(0, 3).join('; ')}`);
  });
});
