import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, sharedBroker } from '../harness/broker.ts';
import { runCommand } from '../harness/child.ts';
import { type Client, requireClient, sharedClient } from '../harness/client.ts';
import { javaCommand } from '../harness/paths.ts';
import { runTool } from '../harness/tools.ts';

const tools = 'org.apache.kafka.tools';

describe("Kafka's command-line tools", () => {
  let broker: Broker;
  let driver: Client;
  let dir: string;

  before(async function () {
    const kind = requireClient(this, 'java');
    broker = await sharedBroker();
    driver = sharedClient(kind, broker.bootstrap);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-tools-'));
  });

  after(() => {
    if (dir) rmSync(dir, { recursive: true });
  });

  async function run(main: string, args: string, input = ''): Promise<string> {
    return runTool(driver, main, ['--bootstrap-server', broker.bootstrap, ...args.split(' ')], input);
  }

  it('TopicCommand creates, alters, lists and describes', async () => {
    const command = `${tools}.TopicCommand`;
    await run(command, '--create --topic tools --partitions 2 --config retention.ms=3600000');
    await run(command, '--alter --topic tools --partitions 3');
    assert.match(await run(command, '--list'), /^tools$/m);
    const described = await run(command, '--describe --topic tools');
    assert.match(described, /PartitionCount: 3/);
    assert.match(described, /retention\.ms=3600000/);
    assert.match(described, /Partition: 2\s+Leader: \d+/);
  });

  it('ConsoleProducer and ConsoleConsumer', async () => {
    const lines = Array.from({ length: 20 }, (_, i) => `k${i}:value ${i}`).join('\n');
    const keys = '--reader-property parse.key=true --reader-property key.separator=:';
    await run(`${tools}.ConsoleProducer`, `--topic tools ${keys} --compression-codec zstd`, `${lines}\n`);
    const consumed = await run(
      `${tools}.consumer.ConsoleConsumer`,
      '--topic tools --from-beginning --group tools-group --max-messages 20 --formatter-property print.key=true',
    );
    for (let i = 0; i < 20; i++) assert.match(consumed, new RegExp(`^k${i}\tvalue ${i}$`, 'm'));
  });

  it('ConsumerGroupCommand lists, describes, resets and deletes', async () => {
    const command = `${tools}.consumer.group.ConsumerGroupCommand`;
    assert.match(await run(command, '--list --state'), /tools-group\s+Empty/);
    assert.match(
      await run(command, '--describe --group tools-group'),
      /tools-group\s+tools\s+\d\s+\d+\s+\d+\s+0/,
    );
    const reset = '--group tools-group --reset-offsets --to-earliest --topic tools --execute';
    assert.match(await run(command, reset), /tools-group\s+tools\s+\d\s+0/);
    await run(command, '--group tools-group --delete-offsets --topic tools');
    assert.match(await run(command, '--group tools-group --delete'), /successful/);
    assert.doesNotMatch(await run(command, '--list'), /tools-group/);
  });

  it('groups of the consumer protocol are listed, described and deleted', async () => {
    const group = 'tools-consumer';
    const limits = '--max-messages 20 --timeout-ms 30000 --command-property group.protocol=consumer';
    await run(
      `${tools}.consumer.ConsoleConsumer`,
      `--topic tools --from-beginning --group ${group} ${limits}`,
    );
    const command = `${tools}.consumer.group.ConsumerGroupCommand`;
    assert.match(await run(command, '--list --type'), /tools-consumer\s+Consumer/);
    assert.match(await run(`${tools}.GroupsCommand`, '--list'), /tools-consumer\s+Consumer\s+consumer/);
    const state = await run(command, `--describe --group ${group} --state --verbose`);
    assert.match(state, /tools-consumer[\s\S]*uniform\s+Empty/);
    assert.match(
      await run(command, `--describe --group ${group}`),
      /tools-consumer\s+tools\s+\d\s+\d+\s+\d+\s+0/,
    );
    assert.match(await run(command, `--group ${group} --delete`), /successful/);
  });

  it('ConfigCommand describes and alters topics and the broker', async () => {
    const command = 'kafka.admin.ConfigCommand';
    const topic = '--entity-type topics --entity-name tools';
    await run(command, `--alter ${topic} --add-config max.message.bytes=20000000,retention.bytes=1000000000`);
    assert.match(await run(command, `--describe ${topic}`), /max\.message\.bytes=20000000/);
    await run(command, `--alter ${topic} --delete-config retention.bytes`);
    const all = await run(command, `--describe --all ${topic}`);
    assert.doesNotMatch(all, /retention\.bytes=1000000000/);
    assert.match(all, /cleanup\.policy=delete/);
    assert.match(await run(command, '--describe --all --entity-type brokers --entity-name 1'), /log\.dirs=/);
  });

  it('GetOffsetShell', async () => {
    const count = async (time: string) => {
      const output = await run(`${tools}.GetOffsetShell`, `--topic tools --time ${time}`);
      return [...output.matchAll(/^tools:\d:(\d+)$/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
    };
    assert.equal(await count('-2'), 0);
    assert.equal(await count('-1'), 20);
    assert.match(await run(`${tools}.GetOffsetShell`, '--topic tools --time max-timestamp'), /tools:\d:\d+/);
  });

  it('DeleteRecordsCommand', async () => {
    const file = join(dir, 'offsets.json');
    const partitions = [{ topic: 'tools', partition: 0, offset: -1 }];
    writeFileSync(file, JSON.stringify({ version: 1, partitions }));
    const last = await run(`${tools}.GetOffsetShell`, '--topic-partitions tools:0 --time -1');
    const end = last.match(/tools:0:(\d+)/)?.[1];
    const output = await run(`${tools}.DeleteRecordsCommand`, `--offset-json-file ${file}`);
    assert.match(output, new RegExp(`tools-0\\s+low_watermark: ${end}$`, 'm'));
    assert.equal(await run(`${tools}.GetOffsetShell`, '--topic-partitions tools:0 --time -2'), last);
  });

  it('LogDirsCommand', async () => {
    const output = await run(`${tools}.LogDirsCommand`, '--describe --topic-list tools');
    assert.match(output, /"partition":"tools-0"/);
  });

  it('VerifiableProducer and VerifiableConsumer', async () => {
    // A process of its own: its last records are acknowledged while the process ends.
    const producer = [
      '--bootstrap-server',
      broker.bootstrap,
      '--topic',
      'verifiable',
      '--max-messages',
      '1000',
    ];
    const produced = await runCommand([...javaCommand(`${tools}.VerifiableProducer`, 128), ...producer]);
    assert.equal(produced.match(/producer_send_success/g)?.length, 1000);
    const arguments_ =
      '--topic verifiable --group-id verifiable-group --max-messages 1000 --reset-policy earliest';
    const consumed = await run(`${tools}.VerifiableConsumer`, arguments_);
    const counts = [
      ...consumed.matchAll(
        /"name":"records_consumed".*?"count":(\d+)|"count":(\d+),.*?"name":"records_consumed"/g,
      ),
    ];
    assert.ok(counts.length > 0, consumed);
  });

  it('ProducerPerformance and ConsumerPerformance', async () => {
    await run(`${tools}.TopicCommand`, '--create --topic perf --partitions 2');
    const producer = '--topic perf --num-records 2000 --record-size 10000 --throughput -1';
    assert.match(
      await run(`${tools}.ProducerPerformance`, `${producer} --command-property acks=all`),
      /2000 records sent/,
    );
    const large = '--topic perf --num-records 50 --record-size 500000 --throughput -1';
    assert.match(await run(`${tools}.ProducerPerformance`, large), /50 records sent/);
    const consumed = await run(
      `${tools}.ConsumerPerformance`,
      '--topic perf --num-records 2050 --timeout 20000',
    );
    assert.match(consumed, /, 20\d\d, /);
  });

  it('BrokerApiVersionsCommand, FeatureCommand and ClusterTool', async () => {
    assert.match(await run(`${tools}.BrokerApiVersionsCommand`, ''), /Produce\(0\): \d+ to \d+/);
    const words = ['cluster-id', '--bootstrap-server', broker.bootstrap];
    assert.match(await runTool(driver, `${tools}.ClusterTool`, words), /Cluster ID: \S+/);
  });
});
