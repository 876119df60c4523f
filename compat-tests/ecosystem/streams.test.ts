import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, startBroker } from '../harness/broker.ts';
import { Child, runCommand, sleep, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { javaCommand } from '../harness/paths.ts';

const sentences = 4000;
const wordsPerSentence = 3;
const matching = sentences / 2;
const patienceMs = 90_000;

/** The counts that a word goes through, and each join once; see StreamsCheck.java for what is fed. */
function expected(): { counts: Record<string, string[]>; joined: Record<string, string[]> } {
  const counts: Record<string, string[]> = {};
  const joined: Record<string, string[]> = {};
  for (let i = 0; i < sentences; i++) {
    for (const word of ['all', `w${i % 17}`, `v${i % 5}`]) {
      counts[word] ??= [];
      counts[word].push(`${counts[word].length + 1}`);
    }
    if (i % 2 === 0) joined[`k${i}`] = [`l${i}/r${i}`];
  }
  return { counts, joined };
}

/** The first keys whose values are not as they should be, said shortly. */
function differences(found: Record<string, string[]>, wanted: Record<string, string[]>): string[] {
  const keys = [...new Set([...Object.keys(found), ...Object.keys(wanted)])];
  const wrong = keys.filter((key) => `${found[key]}` !== `${wanted[key]}`);
  const short = (values: string[] = []) => `${values.length} values ending in ${values.slice(-3)}`;
  return wrong
    .slice(0, 5)
    .map((key) => `${key}: ${short(found[key])}, not ${short(wanted[key])} (${wrong.length} wrong)`);
}

describe('Kafka Streams', () => {
  let broker: Broker;
  let dir: string;
  const applications: Child[] = [];

  before(async function () {
    requireToolchain(this, 'java');
    dir = mkdtempSync(join(tmpdir(), 'kafabric-streams-'));
    broker = await startBroker();
    await program('create', 2);
  });

  afterEach(async () => {
    await Promise.all(applications.splice(0).map((child) => child.kill('SIGKILL')));
  });

  after(async () => {
    await broker?.stop();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  function program(mode: string, ...args: (string | number)[]): Promise<string> {
    const words = [mode, broker.bootstrap, ...args.map(String)];
    return runCommand([...javaCommand('StreamsCheck', 256), ...words], patienceMs + 30_000);
  }

  function run(application: string, member: string, settings: string[]): Child {
    const args = ['run', broker.bootstrap, application, join(dir, application, member), ...settings];
    const child = new Child([...javaCommand('StreamsCheck', 256), ...args]);
    applications.push(child);
    return child;
  }

  async function running(child: Child): Promise<void> {
    await until('the application runs', 60_000, () => {
      if (!child.running) throw new Error(`the application ended:\n${child.output.slice(-4000)}`);
      return child.output.includes('state RUNNING');
    });
  }

  it('a word count and a windowed join are exact with exactly_once_v2, when killed and when the gateway restarts', async () => {
    const settings = ['processing.guarantee=exactly_once_v2', 'commit.interval.ms=200'];
    const first = run('exact', 'a', settings);
    const second = run('exact', 'b', settings);
    await Promise.all([running(first), running(second)]);
    const fed = program('feed', 0, sentences, 4);
    await sleep(5000);
    await first.kill('SIGKILL');
    const again = run('exact', 'a', settings);
    await sleep(4000);
    await broker.restart();
    await fed;
    await running(again);
    const output = await program('read', sentences * wordsPerSentence, matching, patienceMs);
    const found = JSON.parse(output.match(/^RESULT (.*)$/m)![1]!);
    const { counts, joined } = expected();
    assert.deepEqual(differences(found.joined, joined), []);
    assert.deepEqual(differences(found.counts, counts), []);
  }).timeout(300_000);
});
