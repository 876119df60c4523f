import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Admin, Producer } from '@platformatic/kafka';
import { StreamsApp, StreamsBuilder, type StreamsError } from '../../src/streams/index.ts';
import { differences, expected } from '../ecosystem/streams-application.ts';
import { type Broker, startBroker } from '../harness/broker.ts';
import { Child, runCommand, sleep, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { javaCommand } from '../harness/paths.ts';

const sentences = 2000;
const wordsPerSentence = 3;
const matching = sentences / 2;
const patienceMs = 240_000;

describe('kafabric/streams', () => {
  let broker: Broker;
  let stateDir: string;
  const applications: Child[] = [];

  before(async () => {
    stateDir = mkdtempSync(join(tmpdir(), 'kafabric-streams-api-'));
    broker = await startBroker();
  });

  afterEach(async () => {
    await Promise.all(applications.splice(0).map((child) => child.kill('SIGKILL')));
  });

  after(async () => {
    await broker?.stop();
    rmSync(stateDir, { recursive: true, force: true });
  });

  function program(mode: string, ...args: number[]): Promise<string> {
    const words = [mode, broker.bootstrap, ...args.map(String)];
    return runCommand([...javaCommand('StreamsCheck', 256), ...words], patienceMs + 30_000);
  }

  function run(application: string): Child {
    const path = fileURLToPath(new URL('application.js', import.meta.url));
    const child = new Child([process.execPath, path, broker.bootstrap, application, stateDir]);
    applications.push(child);
    return child;
  }

  async function running(child: Child): Promise<void> {
    await until('the application runs', patienceMs, () => {
      if (!child.running) throw new Error(`the application ended:\n${child.output.slice(-4000)}`);
      return child.output.includes('state running');
    });
  }

  it('a word count and a windowed join are exact, when instances are killed and stopped and the gateway restarts', async function () {
    requireToolchain(this, 'java');
    await program('create', 2);
    const first = run('exact');
    await running(first);
    const second = run('exact');
    await running(second);
    const fed = program('feed', 0, sentences, 6);
    await sleep(3000);
    await first.kill('SIGKILL');
    const again = run('exact');
    await sleep(3000);
    // Stopped for longer than its session, it wakes when others have its tasks, and finds itself fenced.
    second.process.kill('SIGSTOP');
    await sleep(8000);
    second.process.kill('SIGCONT');
    await sleep(1000);
    await broker.restart();
    await fed;
    await running(again);
    const output = await program('read', sentences * wordsPerSentence, matching, patienceMs);
    const found = JSON.parse(output.match(/^RESULT (.*)$/m)![1]!);
    const { counts, joined } = expected(sentences);
    const logs = () => [again, second].map(({ output }) => output.slice(-1500)).join('\n----\n');
    assert.deepEqual(differences(found.joined, joined), [], logs());
    assert.deepEqual(differences(found.counts, counts), [], logs());
    await Promise.all([second.kill('SIGTERM', patienceMs), again.kill('SIGTERM', patienceMs)]);
    assert.match(again.output, /state closed/);
    assert.match(second.output, /state closed/);
    // What the killed one has left went when the next one started.
    assert.deepEqual(readdirSync(stateDir), []);
  }).timeout(900_000);

  describe('an instance in this process', () => {
    let admin: Admin;
    let producer: Producer;

    before(() => {
      const base = { clientId: 'test', bootstrapBrokers: [broker.bootstrap], retries: 20, retryDelay: 200 };
      admin = new Admin(base);
      producer = new Producer(base);
    });

    after(async () => {
      await admin.close();
      await producer.close();
    });

    async function create(topics: string[], partitions: number): Promise<void> {
      await admin.createTopics({ topics, partitions, replicas: 1 });
    }

    const refused = (code: string, message: RegExp) => (error: StreamsError) =>
      error.code === code && message.test(error.message);

    it('says which topics are missing, and which do not fit', async () => {
      const builder = new StreamsBuilder();
      builder
        .stream('api-a')
        .join(builder.stream('api-b'), (a, b) => [a, b], { beforeMs: 1, afterMs: 1, graceMs: 0 })
        .to('api-a');
      const start = () =>
        new StreamsApp(builder.build(), { applicationId: 'api', bootstrap: broker.bootstrap }).start();
      await create(['api-a'], 2);
      await assert.rejects(start(), refused('MISSING_TOPIC', /api-b/));
      await create(['api-b'], 3);
      await assert.rejects(start(), refused('NOT_COPARTITIONED', /api-a has 2, api-b has 3/));
    });

    it('stays in its group, and commits, while functions take long', async () => {
      await create(['api-slow', 'api-slow-out'], 1);
      const message = { topic: 'api-slow', key: Buffer.from('k'), value: Buffer.from('1') };
      await producer.send({ messages: Array.from({ length: 30 }, () => ({ ...message })) });
      const builder = new StreamsBuilder();
      const never = new Int32Array(new SharedArrayBuffer(4));
      builder
        .stream('api-slow')
        .peek(() => {
          Atomics.wait(never, 0, 0, 200);
        })
        .to('api-slow-out');
      const app = new StreamsApp(builder.build(), {
        applicationId: 'api-slow',
        bootstrap: broker.bootstrap,
        // All records together take longer.
        sessionTimeoutMs: 4000,
        heartbeatMs: 200,
      });
      await app.start();
      const isCommitted = async () => /commits_total\{[^}]*\} [1-9]/.test(await app.metrics.metrics());
      await until('something is committed', 60_000, isCommitted);
      await app.close();
    });

    it('fails when a function throws, without a trace of what it has written before; goes on from there when it is mended', async () => {
      await create(['api-in', 'api-out'], 1);
      const messages = Array.from({ length: 10 }, (_, i) => ({
        topic: 'api-in',
        key: Buffer.from('k'),
        value: Buffer.from(String(i)),
      }));
      await producer.send({ messages });
      const build = (broken: boolean) => {
        const builder = new StreamsBuilder();
        builder
          .stream<string, number>('api-in')
          .peek((value) => {
            if (broken && value === 7) throw new Error('seven');
          })
          .groupByKey()
          .reduce((one, other) => one + other, { name: 'sum' })
          .toStream()
          .to('api-out');
        return builder.build();
      };
      const options = { applicationId: 'api-failing', bootstrap: broker.bootstrap, commitIntervalMs: 59_000 };
      const failing = new StreamsApp(build(true), options);
      await failing.start();
      await assert.rejects(failing.ended, refused('PROCESSING', /api-in-0 offset 7 failed: seven/));
      assert.equal(failing.state, 'failed');
      const results: number[] = [];
      const watching = new StreamsBuilder();
      watching.stream<string, number>('api-out').peek((value) => {
        results.push(value);
      });
      const mended = new StreamsApp(build(false), { ...options, commitIntervalMs: 100 });
      const watcher = new StreamsApp(watching.build(), {
        applicationId: 'api-watching',
        bootstrap: broker.bootstrap,
        guarantee: 'at-least-once',
      });
      await Promise.all([mended.start(), watcher.start()]);
      await until('all results are there', patienceMs, () => results.length >= 10);
      await mended.close();
      await watcher.close();
      assert.deepEqual(results, [0, 1, 3, 6, 10, 15, 21, 28, 36, 45]);
      assert.equal(mended.state, 'closed');
      assert.match(await mended.metrics.metrics(), /records_in_total\{application="api-failing"\} 10/);
    });
  });
});
