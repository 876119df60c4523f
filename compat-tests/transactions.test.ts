import assert from 'node:assert/strict';
import { type Broker, startBroker } from './harness/broker.ts';
import { patience, until } from './harness/child.ts';
import { type Client, clientKinds, requireClient, requireToolchain, startClient } from './harness/client.ts';
import { type PlannedRecord, recordOf, type SeenRecord } from './harness/payload.ts';
import { runTool } from './harness/tools.ts';

const partitions = 2;
const tested = ['java', 'confluent-kafka-javascript', 'kafkajs'];
const timeoutMs = 600_000;
/** Of a transaction that is left open; what is sent in it before has time on a slow machine. */
const soonMs = 8_000 * patience;

/** Java takes transactions as Kafka 4 has them, the others as before; both live on one broker. */
describe('transactions', () => {
  let broker: Broker;
  let helper: Client;

  before(async function () {
    const java = requireClient(this, 'java');
    broker = await startBroker({
      overrides: {
        'transaction.abort.timed.out.transaction.cleanup.interval.ms': '200',
        'transaction.state.log.num.partitions': '4',
        'offsets.topic.num.partitions': '4',
      },
    });
    helper = startClient(java, broker.bootstrap);
  });

  after(async () => {
    await helper?.stop();
    await broker?.stop();
  });

  /** Every third record is large enough to be diverted. */
  function records(key: string, count = 3): PlannedRecord[] {
    return Array.from({ length: count }, (_, i) => recordOf(`${key}-${i}`, i % 3 === 2 ? 70_000 : 100, i));
  }

  /** Writes a last record outside of transactions; its offset plus one is where reading ends. */
  async function last(topic: string, partition: number): Promise<number> {
    const args = { topic, partition, codec: 'none', acks: -1, records: records('last', 1) };
    return (await helper.call('produce', args)).baseOffset + 1;
  }

  async function keys(reader: Client, topic: string, isolation: 'read_uncommitted' | 'read_committed') {
    const ends = await Promise.all(Array.from({ length: partitions }, (_, index) => last(topic, index)));
    const seen = await reader.call('consume', { topics: [{ topic, ends }], isolation });
    return byPartition(seen.filter(({ key }) => !key!.startsWith('last')));
  }

  function byPartition(seen: readonly SeenRecord[]): string[][] {
    return Array.from({ length: partitions }, (_, index) =>
      seen.filter(({ partition }) => partition === index).map(({ key }) => key!),
    );
  }

  for (const kind of clientKinds.filter(({ name }) => tested.includes(name))) {
    describe(kind.name, () => {
      let client: Client;
      const name = (topic: string) => `txn-${kind.name}-${topic}`;
      const create = (topic: string) => helper.call('create', { topic, partitions, configs: {} });

      before(async function () {
        requireToolchain(this, kind.setup);
        client = startClient(kind, broker.bootstrap);
      });
      after(async () => {
        await client?.stop();
      });

      async function transaction(producer: string, topic: string, key: string, commit: boolean) {
        await client.call('begin', { producer });
        for (let partition = 0; partition < partitions; partition++)
          await client.call('send', { producer, topic, partition, records: records(key) });
        await client.call('end', { producer, commit });
      }

      it('committed records are read, aborted ones are not', async () => {
        const [first, second] = [name('first'), name('second')];
        await create(first);
        await create(second);
        const producer = 'p';
        await client.call('openTransactional', { producer, transactionalId: name('ends'), timeoutMs });
        await transaction(producer, first, 'a', true);
        await transaction(producer, first, 'b', false);
        await transaction(producer, second, 'c', false);
        // One transaction over two topics.
        await client.call('begin', { producer });
        for (const topic of [first, second])
          await client.call('send', { producer, topic, partition: 1, records: records('d') });
        await client.call('end', { producer, commit: true });
        await client.call('closeTransactional', { producer });
        const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((key) => records(key).map((record) => record.key!));
        assert.deepEqual(await keys(client, first, 'read_committed'), [a, [...a!, ...d!]]);
        assert.deepEqual(await keys(client, second, 'read_committed'), [[], d]);
        assert.deepEqual(await keys(helper, first, 'read_committed'), [a, [...a!, ...d!]]);
        assert.deepEqual(await keys(helper, first, 'read_uncommitted'), [
          [...a!, ...b!],
          [...a!, ...b!, ...d!],
        ]);
        assert.deepEqual(await keys(client, second, 'read_uncommitted'), [c, [...c!, ...d!]]);
      });

      it('a newer producer with the same id fences the older one', async () => {
        const topic = name('fenced');
        await create(topic);
        const transactionalId = name('fenced-id');
        await client.call('openTransactional', { producer: 'old', transactionalId, timeoutMs });
        await client.call('begin', { producer: 'old' });
        await client.call('send', { producer: 'old', topic, partition: 0, records: records('old') });
        await client.call('openTransactional', { producer: 'new', transactionalId, timeoutMs });
        await transaction('new', topic, 'new', true);
        const late = async () => {
          await client.call('send', { producer: 'old', topic, partition: 0, records: records('late') });
          await client.call('end', { producer: 'old', commit: true });
        };
        await assert.rejects(late);
        const expected = records('new').map(({ key }) => key!);
        assert.deepEqual(await keys(helper, topic, 'read_committed'), [expected, expected]);
        await client.call('closeTransactional', { producer: 'new' });
      });

      it('a transaction that takes too long is aborted', async () => {
        const topic = name('late');
        await create(topic);
        const producer = 'slow';
        await client.call('openTransactional', {
          producer,
          transactionalId: name('late-id'),
          timeoutMs: soonMs,
        });
        await client.call('begin', { producer });
        await client.call('send', { producer, topic, partition: 0, records: records('slow') });
        // Reading committed records gets past it only when it is aborted.
        assert.deepEqual(await keys(helper, topic, 'read_committed'), [[], []]);
        await assert.rejects(async () => {
          await client.call('send', { producer, topic, partition: 0, records: records('slower') });
          await client.call('end', { producer, commit: true });
        });
        assert.deepEqual(await keys(helper, topic, 'read_committed'), [[], []]);
      });

      it('offsets take effect with the transaction', async () => {
        const [input, output, group] = [name('input'), name('output'), name('group')];
        await create(input);
        await create(output);
        const producer = 'transformer';
        const committed = async () =>
          (await helper.call('committed', { group, topic: input, partition: 0 })).offset;
        await client.call('openTransactional', { producer, transactionalId: name('copy'), timeoutMs });
        for (const [offset, commit] of [
          [5, true],
          [9, false],
          [7, true],
        ] as const) {
          const before = await committed();
          await client.call('begin', { producer });
          await client.call('send', {
            producer,
            topic: output,
            partition: 0,
            records: records(`o${offset}`, 1),
          });
          await client.call('sendOffsets', { producer, group, topic: input, offsets: [[0, offset]] });
          assert.equal(await committed(), before, 'pending');
          await client.call('end', { producer, commit });
          // The markers of a transaction are written behind the answer to its end.
          if (commit)
            await until('the offset is committed', 20_000, async () => (await committed()) === offset);
          else assert.equal(await committed(), before);
        }
        await client.call('closeTransactional', { producer });
        assert.deepEqual(await keys(client, output, 'read_committed'), [['o5-0', 'o7-0'], []]);
      });
    });
  }

  function transactionsCommand(args: string): Promise<string> {
    const words = ['--bootstrap-server', broker.bootstrap, ...args.split(' ')];
    return runTool(helper, 'org.apache.kafka.tools.TransactionsCommand', words);
  }

  it('TransactionsCommand lists, describes and aborts', async () => {
    const topic = 'txn-tools';
    await helper.call('create', { topic, partitions, configs: {} });
    const producer = 'hanging';
    const transactionalId = 'txn-tools-id';
    await helper.call('openTransactional', { producer, transactionalId, timeoutMs });
    await helper.call('begin', { producer });
    await helper.call('send', { producer, topic, partition: 0, records: records('x') });
    const run = transactionsCommand;
    assert.match(await run('list'), /txn-tools-id\s+\d+\s+\d+\s+Ongoing/);
    assert.doesNotMatch(await run('list --transactional-id-pattern other.*'), /txn-tools-id/);
    assert.match(await run(`describe --transactional-id ${transactionalId}`), /Ongoing\s.*txn-tools-0/);
    assert.match(await run(`describe-producers --topic ${topic} --partition 0`), /\s0\s*$/m);
    // Its coordinator knows of it: it is open, but does not hang.
    const hanging = await run(`find-hanging --topic ${topic} --max-transaction-timeout 0`);
    assert.match(hanging, /^Topic\s+Partition\s+ProducerId/m);
    assert.doesNotMatch(hanging, /txn-tools/);
    await run(`abort --topic ${topic} --partition 0 --start-offset 0`);
    assert.deepEqual(await keys(helper, topic, 'read_committed'), [[], []]);
    await helper.call('closeTransactional', { producer });
  });

  it('TransactionsCommand ends the transaction of an id', async () => {
    const topic = 'txn-terminated';
    await helper.call('create', { topic, partitions, configs: {} });
    const producer = 'terminated';
    await helper.call('openTransactional', { producer, transactionalId: topic, timeoutMs });
    await helper.call('begin', { producer });
    await helper.call('send', { producer, topic, partition: 0, records: records('x') });
    await transactionsCommand(`forceTerminateTransaction --transactionalId ${topic}`);
    await until('it is ended', 30_000, async () =>
      /\sEmpty\s/.test(await transactionsCommand(`describe --transactional-id ${topic}`)),
    );
    await assert.rejects(helper.call('end', { producer, commit: true }));
    assert.deepEqual(await keys(helper, topic, 'read_committed'), [[], []]);
    await helper.call('closeTransactional', { producer });
  });
});
