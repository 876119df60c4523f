import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, startBroker, targetIsKafka } from '../harness/broker.ts';
import { runCommand, until } from '../harness/child.ts';
import { type Client, requireClient, sharedClient } from '../harness/client.ts';
import { javaCommand } from '../harness/paths.ts';
import { runTool } from '../harness/tools.ts';

const tools = 'org.apache.kafka.tools';
const configCommand = 'kafka.admin.ConfigCommand';

describe("Kafka's tools of administration", () => {
  let broker: Broker;
  let driver: Client;
  let dir: string;

  before(async function () {
    const kind = requireClient(this, 'java');
    broker = await startBroker();
    driver = sharedClient(kind, broker.bootstrap);
    dir = mkdtempSync(join(tmpdir(), 'kafabric-admin-tools-'));
    await run(`${tools}.TopicCommand`, '--create --topic admin --partitions 2');
  });

  after(async () => {
    if (dir) rmSync(dir, { recursive: true });
    await broker?.stop();
  });

  function run(main: string, args: string): Promise<string> {
    return runTool(driver, main, ['--bootstrap-server', broker.bootstrap, ...args.split(' ')]);
  }

  it('kafka-configs: quotas of users, client ids and addresses', async () => {
    const users = '--entity-type users --entity-name alice';
    await run(
      configCommand,
      `--alter ${users} --add-config producer_byte_rate=1048576,request_percentage=50`,
    );
    await run(
      configCommand,
      '--alter --entity-type clients --entity-default --add-config consumer_byte_rate=2048',
    );
    await run(
      configCommand,
      `--alter ${users} --entity-type clients --entity-name c --add-config controller_mutation_rate=5`,
    );
    await run(
      configCommand,
      '--alter --entity-type ips --entity-name 10.1.2.3 --add-config connection_creation_rate=10',
    );
    const alice = await run(configCommand, `--describe ${users}`);
    assert.match(alice, /producer_byte_rate=1048576\.0/);
    assert.match(alice, /request_percentage=50\.0/);
    assert.match(
      await run(configCommand, '--describe --entity-type clients --entity-default'),
      /consumer_byte_rate=2048\.0/,
    );
    assert.match(
      await run(configCommand, '--describe --entity-type ips'),
      /10\.1\.2\.3.*connection_creation_rate=10\.0/,
    );
    await run(configCommand, `--alter ${users} --delete-config producer_byte_rate`);
    assert.doesNotMatch(await run(configCommand, `--describe ${users}`), /producer_byte_rate/);
    await run(
      configCommand,
      '--alter --entity-type clients --entity-default --delete-config consumer_byte_rate',
    );
  });

  it('kafka-configs: brokers by default and one by one, with their sources', async () => {
    await run(
      configCommand,
      '--alter --entity-type brokers --entity-default --add-config log.retention.ms=7200000',
    );
    await run(
      configCommand,
      '--alter --entity-type brokers --entity-name 1 --add-config log.retention.ms=3600000',
    );
    assert.match(
      await run(configCommand, '--describe --entity-type brokers --entity-default'),
      /log\.retention\.ms=7200000/,
    );
    const one = await run(configCommand, '--describe --all --entity-type brokers --entity-name 1');
    assert.match(
      one,
      /log\.retention\.ms=3600000 .*DYNAMIC_BROKER_CONFIG:log\.retention\.ms=3600000, DYNAMIC_DEFAULT_BROKER_CONFIG:log\.retention\.ms=7200000, DEFAULT_CONFIG:log\.retention\.hours=168/,
    );
    await run(
      configCommand,
      '--alter --entity-type brokers --entity-name 1 --delete-config log.retention.ms',
    );
    await run(
      configCommand,
      '--alter --entity-type brokers --entity-default --delete-config log.retention.ms',
    );
  });

  it('kafka-configs: groups and client metrics', async () => {
    const group = '--entity-type groups --entity-name g';
    await run(configCommand, `--alter ${group} --add-config consumer.session.timeout.ms=50000`);
    assert.match(await run(configCommand, `--describe ${group}`), /consumer\.session\.timeout\.ms=50000/);
    const metrics = '--entity-type client-metrics --entity-name m';
    await run(configCommand, `--alter ${metrics} --add-config interval.ms=5000,metrics=org.apache.kafka.`);
    assert.match(await run(configCommand, `--describe ${metrics}`), /interval\.ms=5000/);
    await run(configCommand, `--alter ${metrics} --delete-config interval.ms,metrics`);
  });

  if (!targetIsKafka)
    it('kafka-configs: the data selector that is stored with a group', async () => {
      const group = '--entity-type groups --entity-name selecting';
      await run(configCommand, `--alter ${group} --add-config consumer.session.timeout.ms=50000`);
      // A value with commas and brackets comes in a file.
      const file = join(dir, 'selector.properties');
      writeFileSync(file, 'direct.data.selector={"rules": [{"when": {"t": {"min": 2}}, "select": "all"}]}\n');
      await run(configCommand, `--alter ${group} --add-config-file ${file}`);
      const described = await run(configCommand, `--describe ${group}`);
      assert.match(
        described,
        /direct\.data\.selector=\{"rules": \[\{"when": \{"t": \{"min": 2\}\}, "select": "all"\}\]\}/,
      );
      assert.match(described, /consumer\.session\.timeout\.ms=50000/);
      assert.match(
        await run(configCommand, `--describe --all ${group}`),
        /share\.session\.timeout\.ms=45000/,
      );
      writeFileSync(file, 'direct.data.selector={"rules": 7}\n');
      await assert.rejects(
        run(configCommand, `--alter ${group} --add-config-file ${file}`),
        /rules is no list/,
      );
      await run(configCommand, `--alter ${group} --delete-config direct.data.selector`);
      assert.doesNotMatch(await run(configCommand, `--describe ${group}`), /direct\.data\.selector/);
    });

  it('kafka-client-metrics', async () => {
    const command = `${tools}.ClientMetricsCommand`;
    await run(
      command,
      '--alter --name subscription --metrics org.apache.kafka.producer. --interval 10000 --match client_id=a.*',
    );
    assert.match(await run(command, '--list'), /^subscription$/m);
    const described = await run(command, '--describe --name subscription');
    assert.match(described, /interval\.ms=10000/);
    assert.match(described, /match=client_id=a\.\*/);
    await run(command, '--delete --name subscription');
    assert.doesNotMatch(await run(command, '--list'), /subscription/);
  });

  it('clients push the metrics that are subscribed to, to our metrics endpoint', async () => {
    const subscription = '--alter --name all --metrics org.apache.kafka.producer.record.send. --interval 200';
    await run(`${tools}.ClientMetricsCommand`, subscription);
    // A producer of its own, which is told of the subscription when it starts.
    const producer = runCommand([
      ...javaCommand(`${tools}.ProducerPerformance`, 128),
      ...'--topic admin --num-records 3000 --record-size 100 --throughput 1000'.split(' '),
      ...`--command-property bootstrap.servers=${broker.bootstrap} client.id=measured`.split(' '),
    ]);
    await until('a pushed metric', 30_000, async () => {
      const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
      return /kafabric_client_metric\{metric="org\.apache\.kafka\.producer\.record\.send\.[a-z.]+",client_id="measured",/.test(
        text,
      );
    });
    await producer;
    await run(`${tools}.ClientMetricsCommand`, '--delete --name all');
  });

  it('kafka-leader-election', async () => {
    const command = `${tools}.LeaderElectionCommand`;
    assert.match(
      await run(command, '--election-type preferred --topic admin --partition 0'),
      /Valid replica already elected for partitions admin-0/,
    );
    await run(command, '--election-type preferred --all-topic-partitions');
  });

  it('kafka-reassign-partitions: where they are already', async () => {
    const command = `${tools}.reassign.ReassignPartitionsCommand`;
    const file = join(dir, 'reassignment.json');
    const partitions = [0, 1].map((partition) => ({ topic: 'admin', partition, replicas: [1] }));
    writeFileSync(file, JSON.stringify({ version: 1, partitions }));
    assert.match(
      await run(command, `--reassignment-json-file ${file} --execute`),
      /Successfully started partition reassignments for admin-0,admin-1/,
    );
    assert.match(
      await run(command, `--reassignment-json-file ${file} --verify`),
      /Reassignment of partition admin-0 is completed/,
    );
    assert.match(await run(command, '--list'), /No partition reassignments found/);
  });

  it('kafka-configs: SCRAM credentials', async () => {
    const user = '--entity-type users --entity-name carol';
    // Both in one request would be refused, as Kafka does.
    for (const credential of [
      'SCRAM-SHA-256=[iterations=8192,password=secret]',
      'SCRAM-SHA-512=[password=secret]',
    ])
      await run(configCommand, `--alter ${user} --add-config ${credential}`);
    const described = await run(configCommand, `--describe ${user}`);
    assert.match(described, /SCRAM-SHA-256=iterations=8192/);
    assert.match(described, /SCRAM-SHA-512=iterations=4096/);
    await run(configCommand, `--alter ${user} --delete-config SCRAM-SHA-256`);
    assert.doesNotMatch(await run(configCommand, `--describe ${user}`), /SCRAM-SHA-256/);
  });

  it('kafka-configs: levels of loggers', async () => {
    const loggers = '--entity-type broker-loggers --entity-name 1';
    assert.match(await run(configCommand, `--describe ${loggers}`), /groups=DEBUG/);
    await run(configCommand, `--alter ${loggers} --add-config groups=ERROR`);
    const described = await run(configCommand, `--describe ${loggers}`);
    assert.match(described, /groups=ERROR/);
    assert.match(described, /root=DEBUG/);
    await run(configCommand, `--alter ${loggers} --delete-config groups`);
    assert.match(await run(configCommand, `--describe ${loggers}`), /groups=DEBUG/);
  });

  it('kafka-log-dirs', async () => {
    const output = await run(`${tools}.LogDirsCommand`, '--describe --topic-list admin --broker-list 1');
    const [, json] = output.match(/^(\{.*\})$/m)!;
    const { brokers } = JSON.parse(json!) as {
      brokers: { logDirs: { error: null; partitions: object[] }[] }[];
    };
    assert.equal(brokers[0]!.logDirs[0]!.error, null);
    assert.equal(brokers[0]!.logDirs[0]!.partitions.length, 2);
  });

  it('kafka-features', async () => {
    const described = await run(`${tools}.FeatureCommand`, 'describe');
    assert.match(
      described,
      /Feature: transaction\.version\s+SupportedMinVersion: 0\s+SupportedMaxVersion: 2\s+FinalizedVersionLevel: 2/,
    );
    await run(`${tools}.FeatureCommand`, 'upgrade --feature transaction.version=2');
  });

  it('kafka-metadata-quorum', async () => {
    const command = `${tools}.MetadataQuorumCommand`;
    assert.match(await run(command, 'describe --status'), /LeaderId:\s+1/);
    assert.match(await run(command, 'describe --replication'), /^1\s.*Leader/m);
  });

  it('kafka-cluster', async () => {
    const words = ['--bootstrap-server', broker.bootstrap];
    assert.match(await runTool(driver, `${tools}.ClusterTool`, ['cluster-id', ...words]), /Cluster ID: \S+/);
    assert.match(
      await runTool(driver, `${tools}.ClusterTool`, ['list-endpoints', ...words]),
      /^1\s+127\.0\.0\.1/m,
    );
  });

  it('kafka-streams-application-reset', async () => {
    await run(`${tools}.ConsoleProducer`, '--topic admin');
    const output = await run(`${tools}.StreamsResetter`, '--application-id app --input-topics admin --force');
    assert.match(
      output,
      /Following input topics offsets will be reset to|Reset-offsets for input topics \[admin\]/,
    );
  });

  it('kafka-dump-log: the metadata with its quotas, and the internal topics', async () => {
    // While it runs, files are longer than what is in them.
    await broker.kill('SIGTERM');
    const dump = async (folder: string, decoder: string) => {
      const path = join(broker.dataDir, folder);
      const logs = readdirSync(path).filter((name) => name.endsWith('.log'));
      const files = logs.map((name) => join(path, name)).join(',');
      return runCommand([...javaCommand(`${tools}.DumpLogSegments`, 128), decoder, '--files', files]);
    };
    const metadata = await dump('__cluster_metadata-0', '--cluster-metadata-decoder');
    assert.match(metadata, /"type":"CLIENT_QUOTA_RECORD".*"key":"connection_creation_rate","value":10\.0/);
    assert.match(metadata, /"type":"TOPIC_RECORD".*"name":"admin"/);
    const offsets = readdirSync(broker.dataDir).filter((name) => name.startsWith('__consumer_offsets-'));
    const dumped = await Promise.all(offsets.slice(0, 1).map((folder) => dump(folder, '--offsets-decoder')));
    for (const text of dumped) assert.match(text, /Log starting offset: 0/);
  });
});
