import assert from 'node:assert/strict';
import { type Broker, startBroker } from '../harness/broker.ts';
import { Child, until } from '../harness/child.ts';
import { requireToolchain } from '../harness/client.ts';
import { javaCommand } from '../harness/paths.ts';
import { readTopic, writeTopic } from './programs.ts';

const patienceMs = 180_000;
const perRound = 20_000;
const IN = 'copier-in';
const OUT = 'copier-out';

/** Kafka's own program for its system tests of transactions: copies a partition in transactions, some of which it aborts. */
describe('TransactionalMessageCopier', function () {
  this.timeout(600_000);
  let broker: Broker;
  const copiers: Child[] = [];
  let fed = 0;

  before(async function () {
    for (const toolchain of ['java', 'kcat']) requireToolchain(this, toolchain);
    broker = await startBroker();
  });

  after(async () => {
    await Promise.all(copiers.map((copier) => copier.kill('SIGKILL')));
    await broker?.stop();
  });

  /** It ends when it has copied what was in the partition when it started. */
  function copy(partition: number, perTransaction: number): Child {
    const words = [
      ...['--broker-list', broker.bootstrap, '--consumer-group', `copiers-${partition}`],
      ...['--input-topic', IN, '--input-partition', `${partition}`, '--output-topic', OUT],
      ...['--transactional-id', `copier-${partition}`, '--transaction-size', `${perTransaction}`],
      ...['--transaction-timeout', '20000', '--enable-random-aborts', '--use-group-metadata'],
    ];
    const main = 'org.apache.kafka.tools.TransactionalMessageCopier';
    const child = new Child([...javaCommand(main, 128), ...words]);
    copiers.push(child);
    return child;
  }

  async function feed(count: number): Promise<void> {
    const records = Array.from({ length: count }, (_, i): [string, string] => [
      `key ${fed + i}`,
      `${fed + i}`,
    ]);
    await writeTopic(broker.bootstrap, IN, records);
    fed += count;
  }

  /** Waits until it has said so many times that a transaction is done. */
  async function hasDone(copier: Child, transactions: number): Promise<void> {
    await until(`${transactions} transactions`, patienceMs, () => {
      if (!copier.running) throw new Error(`it ended:\n${copier.output.slice(-4000)}`);
      return (copier.output.match(/"stage":"ProcessLoop"/g) ?? []).length >= transactions;
    });
  }

  async function succeeds(copier: Child): Promise<void> {
    await until('the copier has ended', patienceMs, () => !copier.running);
    const { code } = await copier.ended;
    assert.equal(code, 0, copier.output.slice(-4000));
  }

  async function assertCopied(): Promise<void> {
    const records = await readTopic(broker.bootstrap, OUT);
    assert.deepEqual(
      records.map(({ value }) => Number(value)).sort((a, b) => a - b),
      Array.from({ length: fed }, (_, i) => i),
    );
  }

  it('copies every record once, when copiers are killed and the gateway is too', async () => {
    await feed(perRound);
    const first = copy(0, 25);
    const second = copy(1, 25);
    await Promise.all([hasDone(first, 20), hasDone(second, 20)]);
    await first.kill('SIGKILL');
    const again = copy(0, 25);
    await hasDone(again, 20);
    await broker.kill('SIGKILL');
    await broker.start();
    await Promise.all([succeeds(second), succeeds(again)]);
    await assertCopied();
  });

  it('one that was stopped in its tracks is fenced by another with its transactional id', async () => {
    await feed(perRound);
    const older = copy(0, 1);
    await hasDone(older, 10);
    older.process.kill('SIGSTOP');
    await succeeds(copy(0, 100));
    // So that there is something for it: from an aborted transaction it goes back to what is committed, which may be all.
    await feed(100);
    older.process.kill('SIGCONT');
    await until('the older one has ended', patienceMs, () => !older.running);
    assert.notEqual((await older.ended).code, 0);
    assert.match(older.output, /ProducerFencedException|claimed by another process/);
    for (const partition of [0, 1]) await succeeds(copy(partition, 100));
    await assertCopied();
  });
});
