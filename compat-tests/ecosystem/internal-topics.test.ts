import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { until } from '../harness/child.ts';
import { type Client, requireClient, startClient } from '../harness/client.ts';
import { javaCommand } from '../harness/paths.ts';
import { recordOf } from '../harness/payload.ts';
import { runTool } from '../harness/tools.ts';
import { output } from './programs.ts';

const tools = 'org.apache.kafka.tools';
const patienceMs = 60_000;

/** What kafka-dump-log says when something is wrong, or when it does not know what it reads. */
const complaints =
  /mismatch|could not|cannot|corrupt|exception|unknown|out of order|isvalid: false|non-consecutive/i;

/** Every file of every internal topic, by the decoder that Kafka has for it. */
describe('kafka-dump-log on the internal topics', function () {
  this.timeout(300_000);
  let broker: Broker;
  let driver: Client;

  before(async function () {
    const kind = requireClient(this, 'java');
    const few = { 'offsets.topic.num.partitions': '2', 'transaction.state.log.num.partitions': '2' };
    broker = await startBroker({
      overrides: { ...few, 'share.coordinator.state.topic.num.partitions': '2' },
    });
    driver = startClient(kind, broker.bootstrap);
    await fill();
    await driver.stop();
    // While it runs, files are longer than what is in them.
    await broker.kill('SIGTERM');
  });

  after(async () => {
    await driver?.stop();
    await broker?.stop();
  });

  function run(main: string, args: string): Promise<string> {
    return runTool(driver, main, ['--bootstrap-server', broker.bootstrap, ...args.split(' ')]);
  }

  /** A group of each protocol, a transaction that is committed and one that is not, quotas, configurations. */
  async function fill(): Promise<void> {
    await run(`${tools}.TopicCommand`, '--create --topic filled --partitions 2');
    const producer = 'p';
    await driver.call('openTransactional', { producer, transactionalId: 'filler', timeoutMs: 60_000 });
    for (const commit of [true, false, true]) {
      await driver.call('begin', { producer });
      const records = Array.from({ length: 10 }, (_, i) => recordOf(`${i}`, i === 9 ? 100_000 : 100, i));
      await driver.call('send', { producer, topic: 'filled', partition: 0, records });
      await driver.call('sendOffsets', {
        producer,
        group: 'by-transaction',
        topic: 'filled',
        offsets: [[0, 5]],
      });
      await driver.call('end', { producer, commit });
    }
    await driver.call('closeTransactional', { producer });
    const limits = '--topic filled --from-beginning --max-messages 20 --timeout-ms 30000';
    const consumer = `${tools}.consumer.ConsoleConsumer`;
    await run(consumer, `${limits} --group by-classic`);
    await run(consumer, `${limits} --group by-consumer --command-property group.protocol=consumer`);
    const reset = '--entity-type groups --entity-name by-share --add-config share.auto.offset.reset=earliest';
    await run('kafka.admin.ConfigCommand', `--alter ${reset}`);
    await run(
      `${tools}.consumer.ConsoleShareConsumer`,
      '--topic filled --group by-share --max-messages 20 --timeout-ms 30000',
    );
    await until('the share group is empty', patienceMs, async () => {
      return /Empty/.test(await run(`${tools}.consumer.group.ShareGroupCommand`, '--list --state'));
    });
    await run(
      'kafka.admin.ConfigCommand',
      '--alter --entity-type clients --entity-name c --add-config consumer_byte_rate=2048',
    );
  }

  /** Every file with this ending in the folders of a topic. */
  function files(topic: string, ending: string): string[] {
    return readdirSync(broker.dataDir)
      .filter((folder) => folder.replace(/-\d+$/, '') === topic)
      .flatMap((folder) => readdirSync(join(broker.dataDir, folder)).map((name) => join(folder, name)))
      .filter((path) => path.endsWith(ending))
      .map((path) => join(broker.dataDir, path));
  }

  async function dump(paths: string[], ...flags: string[]): Promise<string> {
    assert.notEqual(paths.length, 0, `no files for ${flags}`);
    const command = [...javaCommand(`${tools}.DumpLogSegments`, 128), ...flags, '--files', paths.join(',')];
    const text = await output(command);
    const complaint = text.match(complaints);
    assert.equal(complaint, null, text.slice(Math.max(0, (complaint?.index ?? 0) - 500)).slice(0, 1000));
    return text;
  }

  it('__consumer_offsets', async () => {
    const text = await dump(files('__consumer_offsets', '.log'), '--offsets-decoder');
    for (const group of ['by-classic', 'by-consumer', 'by-share', 'by-transaction'])
      assert.match(text, new RegExp(`"(group|groupId)":"${group}"`), group);
    assert.match(text, /isTransactional: true/);
    assert.match(text, /endTxnMarker: COMMIT/);
    assert.match(text, /endTxnMarker: ABORT/);
  });

  it('__transaction_state', async () => {
    const text = await dump(files('__transaction_state', '.log'), '--transaction-log-decoder');
    assert.match(text, /"transactionalId":"filler"/);
    // From empty over ongoing to both ways of ending.
    for (const status of [0, 1, 2, 3, 4, 5]) assert.match(text, new RegExp(`"transactionStatus":${status},`));
  });

  it('__share_group_state', async () => {
    const text = await dump(files('__share_group_state', '.log'), '--share-group-state-decoder');
    assert.match(text, /"groupId":"by-share"/);
    assert.match(text, /"startOffset":/);
  });

  it('__cluster_metadata', async () => {
    const text = await dump(files('__cluster_metadata', '.log'), '--cluster-metadata-decoder');
    for (const type of [
      'TOPIC_RECORD',
      'PARTITION_RECORD',
      'CONFIG_RECORD',
      'CLIENT_QUOTA_RECORD',
      'FEATURE_LEVEL_RECORD',
    ])
      assert.match(text, new RegExp(`"type":"${type}"`));
  });

  it('indexes, producer snapshots and aborted transactions', async () => {
    for (const topic of ['__consumer_offsets', '__transaction_state', '__share_group_state', 'filled']) {
      const indexes = [...files(topic, '.index'), ...files(topic, '.timeindex')];
      await dump(indexes, '--index-sanity-check');
    }
    assert.match(await dump(files('filled', '.snapshot')), /producerId: \d+/);
    assert.match(await dump(files('filled', '.txnindex')), /producerId: \d+.*firstOffset: \d+/);
  });
});
