import assert from 'node:assert/strict';
import { type Broker, startBroker } from '../harness/broker.ts';
import { runCommand } from '../harness/child.ts';
import { type Client, requireClient, sharedClient } from '../harness/client.ts';
import { javaCommand } from '../harness/paths.ts';
import { runTool } from '../harness/tools.ts';

const tools = 'org.apache.kafka.tools';
const shareGroups = `${tools}.consumer.group.ShareGroupCommand`;
const PATIENCE_MS = 240_000;

describe('share groups with the clients and tools of Kafka 4.3', function () {
  this.timeout(PATIENCE_MS + 60_000);
  let broker: Broker;
  let driver: Client;

  before(async function () {
    const kind = requireClient(this, 'java');
    broker = await startBroker();
    driver = sharedClient(kind, broker.bootstrap);
    for (const topic of ['queue', 'large-queue', 'console-queue'])
      await run(`${tools}.TopicCommand`, `--create --topic ${topic} --partitions 3`);
  });

  after(() => broker?.stop());

  function run(main: string, args: string, input = ''): Promise<string> {
    return runTool(driver, main, ['--bootstrap-server', broker.bootstrap, ...args.split(' ')], input);
  }

  async function check(topic: string, group: string, count: number, bytes: number): Promise<void> {
    const words = [broker.bootstrap, topic, group, String(count), String(bytes)];
    const output = await runCommand([...javaCommand('ShareCheck', 128), ...words], PATIENCE_MS);
    const tenth = count / 10;
    assert.match(output, new RegExp(`accepted ${count - tenth} rejected ${tenth} released ${tenth}`));
  }

  it('KafkaShareConsumer: two members accept, reject and release', () => check('queue', 'workers', 200, 100));

  it('KafkaShareConsumer: large records, whose payload is diverted', () =>
    check('large-queue', 'large-workers', 30, 200_000));

  it('kafka-share-groups lists and describes', async () => {
    assert.match(await run(shareGroups, '--list'), /^workers$/m);
    assert.match(await run(shareGroups, '--list --state'), /workers\s+Empty/);
    assert.match(await run(`${tools}.GroupsCommand`, '--list'), /workers\s+Share\s+share/);
    const described = await run(shareGroups, '--describe --group workers');
    assert.equal([...described.matchAll(/workers\s+queue\s+\d\s+\d+\s+0/g)].length, 3, described);
  });

  it('kafka-console-share-consumer reads, and acknowledges what it read', async () => {
    const group = '--entity-type groups --entity-name console';
    await run('kafka.admin.ConfigCommand', `--alter ${group} --add-config share.auto.offset.reset=earliest`);
    const lines = Array.from({ length: 10 }, (_, i) => `value ${i}`);
    await run(`${tools}.ConsoleProducer`, '--topic console-queue', `${lines.join('\n')}\n`);
    const read = '--topic console-queue --group console --max-messages 10 --timeout-ms 40000';
    const consumed = await run(`${tools}.consumer.ConsoleShareConsumer`, read);
    for (const line of lines) assert.match(consumed, new RegExp(`^${line}$`, 'm'));
  });

  it('kafka-share-groups resets, forgets and deletes', async () => {
    const reset = '--reset-offsets --group workers --topic queue --to-earliest --execute';
    assert.match(await run(shareGroups, reset), /workers\s+queue\s+\d\s+0/);
    const lag = await run(shareGroups, '--describe --group workers');
    const total = [...lag.matchAll(/workers\s+queue\s+\d\s+0\s+(\d+)/g)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    );
    assert.equal(total, 200, lag);
    assert.match(
      await run(shareGroups, '--delete-offsets --group workers --topic queue'),
      /queue\s+Successful/i,
    );
    assert.match(await run(shareGroups, '--delete --group workers'), /successful/);
    assert.doesNotMatch(await run(shareGroups, '--list'), /^workers$/m);
  });

  it('what was acknowledged stays so over a restart', async () => {
    await broker.restart();
    const described = await run(shareGroups, '--describe --group large-workers');
    assert.equal([...described.matchAll(/large-workers\s+large-queue\s+\d\s+\d+\s+0/g)].length, 3, described);
  });
});
