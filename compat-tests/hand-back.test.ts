import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertSameContent, type Content, contentOf } from './hand-back/content.ts';
import { type Broker, makeGateway, makeKafka } from './harness/broker.ts';
import { Child, runCommand, sleep } from './harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from './harness/client.ts';
import { gatewayProgram } from './harness/paths.ts';
import type { PlannedRecord } from './harness/payload.ts';
import { runTool } from './harness/tools.ts';
import { WireClient } from './harness/wire-client.ts';

const partitions = 2;
const group = 'readers';
const timeoutMs = 600_000;

for (const dynamicQuorum of [false, true]) {
  describe(`a data directory of Apache Kafka with ${dynamicQuorum ? 'a dynamic' : 'a static'} quorum`, function () {
    this.timeout(timeoutMs);
    let dir: string;
    let kafka: Broker;
    let gateway: Broker;
    let client: Client;
    let wire: WireClient;
    /** Of each partition, the offset behind the last record. */
    const ends = new Map<string, number[]>();
    let found: Content;

    before(async function () {
      requireToolchain(this, 'java');
      dir = mkdtempSync(join(tmpdir(), 'kafabric-hand-back-'));
      kafka = await makeKafka({ dir, dynamicQuorum });
      gateway = await makeGateway({
        dir,
        // Its metadata log begins with a snapshot soon.
        overrides: { 'node.id': '1', 'metadata.log.max.record.bytes.between.snapshots': '3000' },
      });
    });
    after(async () => {
      await close();
      await gateway?.stop();
      await kafka?.stop();
      if (dir) rmSync(dir, { recursive: true, force: true });
    });

    async function open(broker: Broker): Promise<void> {
      await broker.start();
      const java = clientKinds.find(({ name }) => name === 'java')!;
      client = startClient(java, broker.bootstrap);
      wire = await WireClient.connect(broker.bootstrap);
    }

    async function close(): Promise<void> {
      wire?.close();
      await client?.stop();
    }

    async function stop(broker: Broker): Promise<void> {
      await close();
      await broker.kill('SIGTERM');
      assert.ok(existsSync(join(broker.dataDir, '.kafka_cleanshutdown')), 'it was not shut down');
    }

    function records(count: number, sizes: readonly number[], first = 0): PlannedRecord[] {
      return Array.from({ length: count }, (_, i) => ({
        key: `key-${(first + i) % 7}`,
        size: sizes[i % sizes.length]!,
        seed: first + i,
        headers: [['number', String(first + i)]],
        timestamp: 1_790_000_000_000 + first + i,
      }));
    }

    async function produce(topic: string, codec: string, planned: PlannedRecord[]): Promise<void> {
      for (let partition = 0; partition < partitions; partition++)
        await client.call('produce', { topic, partition, codec, acks: -1, records: planned });
    }

    /** A transaction over all partitions with an offset of the group, and one that is aborted. */
    async function transactions(topic: string, sizes: readonly number[], offset: number): Promise<void> {
      const producer = 'p';
      await client.call('openTransactional', { producer, transactionalId: 'hand-back', timeoutMs: 60_000 });
      for (const commit of [true, false]) {
        await client.call('begin', { producer });
        for (let partition = 0; partition < partitions; partition++)
          await client.call('send', {
            producer,
            topic,
            partition,
            records: records(5, sizes, commit ? 100 : 200),
          });
        const committed = commit ? offset : offset + 1;
        await client.call('sendOffsets', { producer, group, topic, offsets: [[0, committed]] });
        await client.call('end', { producer, commit });
      }
      await client.call('closeTransactional', { producer });
    }

    /** Ends every partition with a record that everybody gets. */
    async function end(topic: string): Promise<void> {
      const offsets: number[] = [];
      for (let partition = 0; partition < partitions; partition++) {
        const args = { topic, partition, codec: 'none', acks: -1, records: records(1, [10], 999) };
        offsets.push((await client.call('produce', args)).baseOffset + 1);
      }
      ends.set(topic, offsets);
    }

    const content = () => contentOf({ client, wire, group, ends });

    const inlineCommand = (dataDir: string, options: readonly string[] = []) => [
      process.execPath,
      gatewayProgram,
      'log',
      'inline',
      ...options,
      ...['--override', `log.dirs=${dataDir}`],
      ...['--override', 'node.id=1', '--override', 'arena.bytes=134217728'],
    ];
    const inline = (...options: string[]) => runCommand(inlineCommand(gateway.dataDir, options));
    /** It says how far it is when it takes long. */
    const jsonIn = (output: string) => JSON.parse(output.slice(output.search(/[[{]/)));

    it('opens in the gateway with nothing lost', async () => {
      await open(kafka);
      await client.call('create', { topic: 'plain', partitions, configs: { 'retention.ms': '-1' } });
      // Of the policy, but not while it is being compared.
      const compacted = {
        'cleanup.policy': 'compact',
        'segment.bytes': '1048576',
        'min.cleanable.dirty.ratio': '1.0',
      };
      await client.call('create', { topic: 'keyed', partitions, configs: compacted });
      for (const codec of ['none', 'gzip', 'zstd'])
        await produce('plain', codec, records(20, [100, 5000, 70_000, -1]));
      await produce('keyed', 'lz4', records(60, [100, 70_000]));
      await transactions('plain', [100, 3000], 7);
      await end('plain');
      await end('keyed');
      found = await content();
      assert.equal(found.committed['plain-0'], 7);
      await stop(kafka);
      await open(gateway);
      assertSameContent(await content(), found);
    });

    it('goes on in the gateway, with payload beside the logs', async () => {
      const configs = { 'payload.min.bytes': '4096', 'segment.bytes': '1048576', 'retention.ms': '-1' };
      await client.call('create', { topic: 'large', partitions, configs });
      for (const codec of ['none', 'gzip', 'snappy', 'zstd'])
        for (let first = 0; first < 40; first += 4)
          await produce('large', codec, records(4, [70_000, 30_000], first));
      await transactions('large', [50_000], 11);
      await client.call('create', { topic: 'gone', partitions: 1, configs: {} });
      await client.call('delete', { topic: 'gone' });
      await produce('plain', 'none', records(20, [100]));
      await transactions('plain', [50_000], 17);
      for (const topic of ['large', 'plain']) await end(topic);
      await client.call('deleteRecords', { topic: 'large', partition: 0, offset: 6 });
      found = await content();
      assert.equal(found.topics.large!.configs['payload.min.bytes'], '4096');
      const diverted = readdirSync(join(gateway.dataDir, 'large-0')).includes('payload');
      assert.ok(diverted, 'nothing was diverted');
    });

    it('is not touched while a gateway has it, nor by a dry run', async () => {
      await assert.rejects(inline(), /is using this directory/);
      await assert.rejects(inline('--dry-run'), /is using this directory/);
      await stop(gateway);
      const survey = jsonIn(await inline('--dry-run', '--json'));
      assert.ok(
        survey.some(({ topic, bytes }: { topic: string; bytes: number }) => topic === 'large' && bytes > 1e6),
      );
      await open(gateway);
      assertSameContent(await content(), found);
      await stop(gateway);
    });

    it('loses nothing when kafabric log inline is killed', async () => {
      const copy = mkdtempSync(join(tmpdir(), 'kafabric-hand-back-'));
      const other = await makeGateway({ dir: copy, overrides: { 'node.id': '1' } });
      try {
        cpSync(gateway.dataDir, other.dataDir, { recursive: true });
        for (const afterMs of [300, 450, 600, 800, 1000]) {
          const child = new Child(inlineCommand(other.dataDir));
          await sleep(afterMs);
          await child.kill('SIGKILL');
        }
        await open(other);
        const now = await content();
        // Whoever came so far has taken it away.
        now.topics.large!.configs['payload.min.bytes'] ??= '4096';
        assertSameContent(now, found);
        await close();
      } finally {
        await other.stop();
        rmSync(copy, { recursive: true, force: true });
      }
    });

    it('opens in Apache Kafka again after kafabric log inline', async () => {
      const report = jsonIn(await inline('--json'));
      assert.ok(report.batches > 50, `${report.batches} batches`);
      assert.deepEqual(report.removedSettings, ['topic large: payload.min.bytes=4096']);
      assert.equal(jsonIn(await inline('--json')).batches, 0, 'a second time there is nothing to do');
      for (const name of readdirSync(gateway.dataDir).filter((each) => /-\d+$/.test(each)))
        assert.ok(!readdirSync(join(gateway.dataDir, name)).includes('payload'), name);
      await open(kafka);
      delete found.topics.large!.configs['payload.min.bytes'];
      assertSameContent(await content(), found);
    });

    it('is Kafka’s as if it had never been elsewhere', async () => {
      const alter = ['--bootstrap-server', kafka.bootstrap, '--alter', '--entity-type', 'topics'];
      const words = [...alter, '--entity-name', 'large', '--add-config', 'max.message.bytes=2000000'];
      await runTool(client, 'kafka.admin.ConfigCommand', words);
      for (const topic of ['large', 'keyed']) await produce(topic, 'gzip', records(10, [30_000]));
      await transactions('large', [50_000], 23);
      for (const topic of ends.keys()) await end(topic);
      found = await content();
      assert.equal(found.topics.large!.configs['max.message.bytes'], '2000000');
      await stop(kafka);
      await open(gateway);
      assertSameContent(await content(), found);
      await stop(gateway);
    });
  });
}
