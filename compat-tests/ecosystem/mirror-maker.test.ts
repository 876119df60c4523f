import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../src/util/free-port.ts';
import { type Broker, makeBroker, makeKafka } from '../harness/broker.ts';
import { Child, until } from '../harness/child.ts';
import { type Client, requireClient, startClient } from '../harness/client.ts';
import { javaCommand } from '../harness/paths.ts';
import type { PlannedRecord } from '../harness/payload.ts';
import { runTool } from '../harness/tools.ts';

const patienceMs = 120_000;

describe('MirrorMaker 2, between Apache Kafka and the gateway', () => {
  let kafka: Broker;
  let gateway: Broker;
  let onKafka: Client;
  let onGateway: Client;
  let mirror: Child | null = null;
  let dir: string;

  before(async function () {
    const java = requireClient(this, 'java');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-mirror-'));
    [kafka, gateway] = await Promise.all([makeKafka(), makeBroker()]);
    await Promise.all([kafka.start(), gateway.start()]);
    onKafka = startClient(java, kafka.bootstrap);
    onGateway = startClient(java, gateway.bootstrap);
    const perCluster = (name: string, broker: Broker) => [
      `${name}.bootstrap.servers=${broker.bootstrap}`,
      `${name}.exactly.once.source.support=enabled`,
    ];
    writeFileSync(
      join(dir, 'mm2.properties'),
      [
        'clusters=kafka,gateway',
        ...perCluster('kafka', kafka),
        ...perCluster('gateway', gateway),
        'kafka->gateway.enabled=true',
        'kafka->gateway.topics=orders',
        'gateway->kafka.enabled=true',
        'gateway->kafka.topics=answers',
        'dedicated.mode.enable.internal.rest=true',
        `listeners=http://127.0.0.1:${await freePort()}`,
        ...['', 'checkpoints.topic.', 'heartbeats.topic.', 'offset-syncs.topic.'].map(
          (topic) => `${topic}replication.factor=1`,
        ),
        ...['offset', 'status', 'config'].map((topic) => `${topic}.storage.replication.factor=1`),
        'sync.topic.acls.enabled=false',
        'sync.group.offsets.enabled=true',
        'sync.group.offsets.interval.seconds=1',
        'emit.checkpoints.interval.seconds=1',
        'refresh.topics.interval.seconds=2',
        'refresh.groups.interval.seconds=2',
        'offset.flush.interval.ms=500',
        'offset.lag.max=0',
      ].join('\n'),
    );
  });

  after(async () => {
    await mirror?.kill('SIGKILL');
    await Promise.all([onKafka?.stop(), onGateway?.stop()]);
    await Promise.all([kafka?.stop(), gateway?.stop()]);
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  async function start(): Promise<void> {
    const main = 'org.apache.kafka.connect.mirror.MirrorMaker';
    mirror = new Child([...javaCommand(main, 512), join(dir, 'mm2.properties')]);
  }

  /** Some of them large enough to be diverted. */
  function records(from: number, count: number): PlannedRecord[] {
    return Array.from({ length: count }, (_, i) => ({
      key: `key ${from + i}`,
      size: i % 10 === 9 ? 100_000 : 50 + i,
      seed: from + i,
      headers: [['header', `${from + i}`]],
      timestamp: Date.now(),
    }));
  }

  async function produce(client: Client, topic: string, partition: number, from: number, count: number) {
    const args = { topic, partition, codec: 'zstd', acks: -1, records: records(from, count) };
    await client.call('produce', args);
  }

  function tool(client: Client, main: string, args: string): Promise<string> {
    const { bootstrap } = client === onKafka ? kafka : gateway;
    const words = ['--bootstrap-server', bootstrap, ...args.split(' ')];
    return runTool(client, `org.apache.kafka.tools.${main}`, words);
  }

  /** What a topic holds, without what differs between clusters. */
  async function content(client: Client, topic: string) {
    const output = await tool(client, 'GetOffsetShell', `--topic ${topic} --time -1`);
    const ends = [0, 1].map((index) => Number(output.match(new RegExp(`:${index}:(\\d+)`))?.[1] ?? 0));
    const seen = await client.call('consume', { topics: [{ topic, ends }], isolation: 'read_committed' });
    const records = seen.map(({ topic: _, offset: __, ...rest }) => rest);
    return records.sort((a, b) => a.partition - b.partition);
  }

  async function mirrored(from: Client, topic: string, to: Client): Promise<void> {
    const wanted = await content(from, topic);
    const name = `${from === onKafka ? 'kafka' : 'gateway'}.${topic}`;
    await until(`${topic} is mirrored`, patienceMs, async () => {
      if (!mirror!.running) throw new Error(`MirrorMaker ended:\n${mirror!.output.slice(-4000)}`);
      const exists = (await tool(to, 'TopicCommand', '--list')).split('\n').includes(name);
      return exists && (await content(to, name)).length >= wanted.length;
    });
    assert.deepEqual(await content(to, name), wanted);
  }

  it('records of both go to the other, with keys, headers and timestamps', async () => {
    for (const [client, topic] of [
      [onKafka, 'orders'],
      [onGateway, 'answers'],
    ] as const) {
      await client.call('create', { topic, partitions: 2, configs: { 'max.message.bytes': '2000000' } });
      for (const partition of [0, 1]) await produce(client, topic, partition, 1000 * partition, 200);
    }
    await start();
    await mirrored(onKafka, 'orders', onGateway);
    await mirrored(onGateway, 'answers', onKafka);
  }).timeout(300_000);

  it('a group goes on at the other cluster where it was', async () => {
    const member = { member: 'm', group: 'shop', topic: 'orders', strategy: 'range' };
    await onKafka.call('join', member);
    let seen = 0;
    await until('the group has read all', patienceMs, async () => {
      seen += (await onKafka.call('seen', { member: 'm' })).length;
      return seen >= 400;
    });
    await onKafka.call('leave', { member: 'm' });
    // Something to be mirrored behind it, so that its offsets have a place there.
    for (const partition of [0, 1]) await produce(onKafka, 'orders', partition, 5000 + partition * 100, 5);
    await mirrored(onKafka, 'orders', onGateway);
    const committed = async (partition: number) => {
      const args = { group: 'shop', topic: 'kafka.orders', partition };
      return (await onGateway.call('committed', args)).offset;
    };
    await until(
      'its offsets are translated',
      patienceMs,
      async () => (await committed(0)) >= 200 && (await committed(1)) >= 200,
    );
    await onGateway.call('join', { ...member, topic: 'kafka.orders' });
    const late: string[] = [];
    await until('it goes on', patienceMs, async () => {
      for (const [partition, offset] of await onGateway.call('seen', { member: 'm' }))
        late.push(`${partition}/${offset}`);
      return late.length >= 10;
    });
    await onGateway.call('leave', { member: 'm' });
    assert.equal(late.length, 10, `nothing again: ${late}`);
  }).timeout(300_000);

  it('goes on when it was killed and the gateway restarted, with no record twice', async () => {
    await mirror!.kill('SIGKILL');
    await gateway.restart();
    for (const partition of [0, 1]) {
      await produce(onKafka, 'orders', partition, 6000 + 1000 * partition, 300);
      await produce(onGateway, 'answers', partition, 6000 + 1000 * partition, 300);
    }
    await start();
    await mirrored(onKafka, 'orders', onGateway);
    await mirrored(onGateway, 'answers', onKafka);
  }).timeout(300_000);
});
