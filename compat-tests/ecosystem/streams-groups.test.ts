import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { type Child, until } from '../harness/child.ts';
import { type Client, requireClient, sharedClient } from '../harness/client.ts';
import { runTool } from '../harness/tools.ts';
import { differences, expected, StreamsApplication } from './streams-application.ts';

const tools = 'org.apache.kafka.tools';
const sentences = 2000;
const patienceMs = 90_000;
const GROUP = 'grouped';

/** Kafka Streams whose tasks the broker assigns (KIP-1071), and the tools for it. */
describe('Kafka Streams with group.protocol=streams', function () {
  this.timeout(300_000);
  let broker: Broker;
  let dir: string;
  let driver: Client;
  let application: StreamsApplication;

  before(async function () {
    const kind = requireClient(this, 'java');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-streams-groups-'));
    broker = await startBroker({
      overrides: {
        'group.streams.heartbeat.interval.ms': '500',
        'group.streams.min.heartbeat.interval.ms': '500',
        // Those who are killed are soon missed.
        'group.streams.session.timeout.ms': '6000',
        'group.streams.min.session.timeout.ms': '6000',
        'group.streams.initial.rebalance.delay.ms': '500',
        'group.streams.num.standby.replicas': '1',
      },
    });
    driver = sharedClient(kind, broker.bootstrap);
    application = new StreamsApplication(broker, dir);
    await application.program('create', 2);
  });

  after(async () => {
    await application?.killAll();
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  function tool(main: string, args: string): Promise<string> {
    return runTool(driver, main, ['--bootstrap-server', broker.bootstrap, ...args.split(' ')]);
  }

  const groupTool = (args: string) => tool(`${tools}.streams.StreamsGroupCommand`, args);

  it('is exact with exactly_once_v2, when killed and when the gateway restarts', async () => {
    const settings = [
      'group.protocol=streams',
      'processing.guarantee=exactly_once_v2',
      'commit.interval.ms=200',
    ];
    const start = (member: string): Child => application.run(GROUP, member, settings);
    const first = start('a');
    const second = start('b');
    await Promise.all([application.running(first), application.running(second)]);
    assert.match(await groupTool('--list'), new RegExp(`^${GROUP}$`, 'm'));
    const members = await groupTool(`--describe --group ${GROUP} --members --verbose`);
    assert.match(members, /ACTIVE/);
    const fed = application.program('feed', 0, sentences, 4);
    await application.processed('counts', 500);
    await first.kill('SIGKILL');
    const again = start('a');
    await application.processed('counts', 2000);
    await broker.restart();
    await fed;
    await application.running(again);
    const output = await application.program('read', sentences * 3, sentences / 2, patienceMs);
    const found = JSON.parse(output.match(/^RESULT (.*)$/m)![1]!);
    const { counts, joined } = expected(sentences);
    assert.deepEqual(differences(found.joined, joined), []);
    assert.deepEqual(differences(found.counts, counts), []);
    const offsets = await groupTool(`--describe --group ${GROUP} --offsets`);
    assert.match(offsets, /sentences\s+0\s+/);
    await application.killAll('SIGTERM');
    await until('the group is empty', 60_000, async () =>
      /\bEmpty\b/.test(await groupTool(`--describe --group ${GROUP} --state`)),
    );
  });

  it('gets other offsets from kafka-streams-groups', async () => {
    const reset = await groupTool(
      `--reset-offsets --group ${GROUP} --input-topic sentences --to-earliest --execute`,
    );
    assert.match(reset, /sentences\s+0\s+0/);
  });

  it('is reset by kafka-streams-application-reset', async () => {
    const cleaned = await tool(
      `${tools}.StreamsResetter`,
      `--application-id ${GROUP} --input-topics sentences,left,right --force`,
    );
    assert.match(cleaned, /Deleting inferred internal topics/);
  });

  it('is deleted by kafka-streams-groups', async () => {
    assert.match(await groupTool(`--delete --group ${GROUP}`), /was successful/);
    assert.doesNotMatch(await groupTool('--list'), new RegExp(`^${GROUP}$`, 'm'));
  });
});
