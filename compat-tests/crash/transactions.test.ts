import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from '../harness/broker.ts';
import { sleep, until } from '../harness/child.ts';
import { type Client, clientKinds, requireToolchain, startClient } from '../harness/client.ts';
import { type PlannedRecord, recordOf } from '../harness/payload.ts';
import { dumpLogSegments, dumpTransactions, partitionDirs, verifyPayload } from './on-disk.ts';

const rounds = Number(process.env.KAFABRIC_CRASH_ROUNDS ?? 4);
const topics = ['txn-crash-a', 'txn-crash-b'];
const partitions = 2;
const group = 'txn-crash';

/** What became of a transaction, as far as the client knows. */
type Outcome = 'committed' | 'aborted' | 'unknown';

/** Writes one transaction after another, each with one record in every partition and an offset. */
class Writer {
  readonly outcomes: Outcome[] = [];
  /** Whose end was acknowledged. */
  #aborted = 0;
  readonly #client: Client;
  #stopping = false;
  #opened = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  async run(): Promise<void> {
    while (!this.#stopping) {
      const producer = `p${this.#opened++}`;
      try {
        await this.#client.call('openTransactional', {
          producer,
          transactionalId: 'txn-crash',
          timeoutMs: 10_000,
        });
        while (!this.#stopping) await this.#transaction(producer);
      } catch {
        // The broker is gone, or has forgotten something that it had not promised.
      }
      await this.#client.call('closeTransactional', { producer }).catch(() => {});
    }
  }

  stop(): void {
    this.#stopping = true;
  }

  /** Resolves when it has committed one more. */
  async commits(): Promise<void> {
    const committed = () => this.outcomes.filter((outcome) => outcome === 'committed').length;
    const before = committed();
    await until('a transaction is committed', 60_000, () => committed() > before);
  }

  /** Resolves when it has aborted one at least. */
  aborts(): Promise<void> {
    return until('a transaction is aborted', 60_000, () => this.#aborted > 0);
  }

  async #transaction(producer: string): Promise<void> {
    const number = this.outcomes.push('unknown') - 1;
    const commit = number % 4 !== 3;
    if (!commit) this.outcomes[number] = 'aborted';
    await this.#client.call('begin', { producer });
    for (const topic of topics)
      for (let partition = 0; partition < partitions; partition++)
        await this.#client.call('send', { producer, topic, partition, records: [record(number)] });
    const offsets: [number, number][] = [[0, number]];
    if (number % 3 === 0)
      await this.#client.call('sendOffsets', { producer, group, topic: topics[0]!, offsets });
    await this.#client.call('end', { producer, commit });
    if (commit) this.outcomes[number] = 'committed';
    else this.#aborted++;
  }
}

/** Some are large enough to be diverted. */
function record(number: number): PlannedRecord {
  const size = number % 5 === 0 ? 70_000 : 100;
  return recordOf(`${number}`, size, number % 1000);
}

describe(`kill -9 within transactions, ${rounds} rounds`, function () {
  this.timeout(300_000 + rounds * 60_000);
  const java = clientKinds.find((one) => one.name === 'java');
  let dir: string;
  let broker: Broker;

  for (const name of ['java', 'confluent-kafka-javascript']) {
    const kind = clientKinds.find((one) => one.name === name);
    if (!kind || !java) continue;
    it(`${name}: every transaction is there in all partitions or in none`, async function () {
      requireToolchain(this, kind.setup);
      requireToolchain(this, 'java');
      dir = mkdtempSync(join(tmpdir(), 'kafabric-txn-crash-'));
      const overrides = {
        'transaction.state.log.num.partitions': '2',
        'offsets.topic.num.partitions': '2',
        'transaction.abort.timed.out.transaction.cleanup.interval.ms': '500',
      };
      broker = await makeBroker({ dir, overrides });
      await broker.start();
      const client = startClient(kind, broker.bootstrap);
      const helper = startClient(java, broker.bootstrap);
      try {
        for (const topic of topics)
          await client.call('create', { topic, partitions, configs: { 'segment.bytes': '1048576' } });
        const writer = new Writer(client);
        const running = writer.run();
        for (let round = 1; round <= rounds; round++) {
          // A slow machine has time for its first; then it is killed at any moment.
          await writer.commits();
          await sleep(1000 + ((round * 7919) % 700));
          await broker.kill('SIGKILL');
          if (round % 2 === 0) await broker.startAndKill(200 + ((round * 4801) % 500));
          await broker.start();
        }
        await writer.aborts();
        await writer.commits();
        writer.stop();
        await running;
        await check(helper, writer.outcomes);
        await broker.kill('SIGTERM');
        const directories = topics.flatMap((topic) => partitionDirs(broker.dataDir, topic));
        await dumpLogSegments(directories);
        const stateDirectories = partitionDirs(broker.dataDir, '__transaction_state');
        const { aborted, states } = await dumpTransactions(directories, stateDirectories);
        assert.match(aborted, /producerId: \d+ firstOffset: \d+ lastOffset: \d+ lastStableOffset: \d+/);
        // Kafka's number for a transaction that is committed.
        assert.match(states, /"transactionStatus":4/);
        if (!targetIsKafka) await verifyPayload(broker.dataDir);
      } finally {
        await client.stop();
        await helper.stop();
        await broker.stop();
        rmSync(dir, { recursive: true, force: true });
      }
    });
  }
});

async function check(helper: Client, outcomes: readonly Outcome[]): Promise<void> {
  const seen: string[][] = [];
  for (const topic of topics) {
    const ends: number[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      const last = { topic, partition, codec: 'none', acks: -1, records: [{ ...record(1), key: 'last' }] };
      ends.push((await helper.call('produce', last)).baseOffset + 1);
    }
    const records = await helper.call('consume', { topics: [{ topic, ends }], isolation: 'read_committed' });
    for (let partition = 0; partition < partitions; partition++) {
      const here = records.filter((one) => one.partition === partition && one.key !== 'last');
      seen.push(here.map(({ key }) => key!));
    }
  }
  for (const keys of seen) assert.deepEqual(keys, seen[0], 'the same in every partition');
  const numbers = seen[0]!.map(Number);
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].sort((a, b) => a - b),
    'once and in order',
  );
  const found = new Set(numbers);
  outcomes.forEach((outcome, number) => {
    if (outcome === 'committed') assert.ok(found.has(number), `${number} was committed`);
    if (outcome === 'aborted') assert.ok(!found.has(number), `${number} was aborted`);
  });
  // The markers of a transaction are written behind the answer to its end, those of offsets perhaps after the others.
  const last = numbers.filter((number) => number % 3 === 0).at(-1) ?? -1;
  await until(`offset ${last} of the last committed transaction that had one`, 20_000, async () => {
    const { offset } = await helper.call('committed', { group, topic: topics[0]!, partition: 0 });
    assert.ok(offset <= last, `offset ${offset} of a transaction that was not committed`);
    return offset === last;
  });
}
