import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { sleep } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { differences, expected, StreamsApplication } from './streams-application.ts';

const sentences = 4000;
const wordsPerSentence = 3;
const matching = sentences / 2;
const patienceMs = 90_000;

describe('Kafka Streams', () => {
  let broker: Broker;
  let dir: string;
  let application: StreamsApplication;

  before(async function () {
    requireToolchain(this, 'java');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-streams-'));
    broker = await startBroker();
    application = new StreamsApplication(broker, dir);
    await application.program('create', 2);
  });

  after(async () => {
    await application?.killAll();
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  it('a word count and a windowed join are exact with exactly_once_v2, when killed and when the gateway restarts', async () => {
    const settings = ['processing.guarantee=exactly_once_v2', 'commit.interval.ms=200'];
    const first = application.run('exact', 'a', settings);
    const second = application.run('exact', 'b', settings);
    await Promise.all([application.running(first), application.running(second)]);
    const fed = application.program('feed', 0, sentences, 4);
    await sleep(5000);
    await first.kill('SIGKILL');
    const again = application.run('exact', 'a', settings);
    await sleep(4000);
    await broker.restart();
    await fed;
    await application.running(again);
    const output = await application.program('read', sentences * wordsPerSentence, matching, patienceMs);
    const found = JSON.parse(output.match(/^RESULT (.*)$/m)![1]!);
    const { counts, joined } = expected(sentences);
    assert.deepEqual(differences(found.joined, joined), []);
    assert.deepEqual(differences(found.counts, counts), []);
  }).timeout(300_000);
});
