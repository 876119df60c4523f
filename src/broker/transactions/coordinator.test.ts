import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { silentLogger } from '../../util/logger.ts';
import { settled } from '../../util/testing/virtual-clock.ts';
import {
  CLASSIC,
  identityOf,
  init,
  place,
  startTransactions,
  stateOf,
  type TestTransactions,
  V2,
} from './coordinator.fixture.ts';
import { TransactionShard } from './shard.ts';
import type { ProducerIdentity, TransactionVersion } from './transaction.ts';

async function begin(
  broker: TestTransactions,
  version: TransactionVersion,
  partitions = [place('t', 0), place('t', 1)],
): Promise<ProducerIdentity> {
  const producer = identityOf(await init(broker));
  const error = await broker.transactions.addPartitions('tx', producer, partitions, version);
  assert.equal(error, ErrorCode.NONE);
  return producer;
}

describe('TransactionCoordinator', () => {
  it('commits: prepares, writes a marker to every partition, completes', async () => {
    for (const version of [CLASSIC, V2]) {
      const broker = await startTransactions();
      const producer = await begin(broker, version);
      assert.equal(stateOf(broker), 'Ongoing');
      const ended = identityOf(await broker.transactions.end('tx', { ...producer, commit: true, version }));
      await settled();
      const epoch = version === V2 ? 1 : 0;
      assert.deepEqual(ended, { producerId: 100n, producerEpoch: epoch });
      assert.deepEqual(broker.partitions.notes, [`t-0:100/${epoch}:commit`, `t-1:100/${epoch}:commit`]);
      assert.equal(stateOf(broker), 'CompleteCommit');
      broker.transactions.close();
    }
  });

  it('answers a repeated end as the first, and another end with an error', async () => {
    for (const version of [CLASSIC, V2]) {
      const broker = await startTransactions();
      const producer = await begin(broker, version);
      const end = (commit: boolean) => broker.transactions.end('tx', { ...producer, commit, version });
      const first = await end(true);
      await settled();
      assert.deepEqual(await end(true), first);
      assert.equal((await end(false)).errorCode, ErrorCode.INVALID_TXN_STATE);
      assert.equal(broker.partitions.notes.length, 2);
      broker.transactions.close();
    }
  });

  it('takes no end for a repeated one whose next epoch another producer has', async () => {
    const broker = await startTransactions();
    const { transactions } = broker;
    const fenced = identityOf(await init(broker));
    const next = await begin(broker, CLASSIC);
    assert.deepEqual(next, { ...fenced, producerEpoch: 1 });
    const ends = { commit: false, version: CLASSIC };
    assert.equal((await transactions.end('tx', { ...next, ...ends })).errorCode, ErrorCode.NONE);
    await settled();
    assert.equal(stateOf(broker), 'CompleteAbort');
    const late = await transactions.end('tx', { ...fenced, ...ends, version: V2 });
    assert.equal(late.errorCode, ErrorCode.PRODUCER_FENCED);
    transactions.close();
  });

  it('with an epoch for each transaction, an empty one can be aborted but not committed', async () => {
    const broker = await startTransactions();
    const producer = identityOf(await init(broker));
    const refused = await broker.transactions.end('tx', { ...producer, commit: true, version: V2 });
    assert.equal(refused.errorCode, ErrorCode.INVALID_TXN_STATE);
    const aborted = await broker.transactions.end('tx', { ...producer, commit: false, version: V2 });
    assert.deepEqual(identityOf(aborted), { producerId: 100n, producerEpoch: 1 });
    await settled();
    assert.equal(stateOf(broker), 'CompleteAbort');
    broker.transactions.close();
  });

  it('gives the next epoch to the next producer, which fences the one before and aborts its transaction', async () => {
    const broker = await startTransactions();
    const old = await begin(broker, CLASSIC);
    assert.equal((await init(broker)).errorCode, ErrorCode.CONCURRENT_TRANSACTIONS);
    await settled();
    assert.deepEqual(broker.partitions.notes, ['t-0:100/1:abort', 't-1:100/1:abort']);
    assert.deepEqual(identityOf(await init(broker)), { producerId: 100n, producerEpoch: 2 });
    const { transactions } = broker;
    assert.equal(
      await transactions.addPartitions('tx', old, [place('t', 0)], CLASSIC),
      ErrorCode.PRODUCER_FENCED,
    );
    const late = await transactions.end('tx', { ...old, commit: true, version: CLASSIC });
    assert.equal(late.errorCode, ErrorCode.PRODUCER_FENCED);
    transactions.close();
  });

  it('lets a producer go on with its identity, but not one that was fenced', async () => {
    const broker = await startTransactions();
    const first = identityOf(await init(broker));
    const second = identityOf(await init(broker, first));
    assert.equal(second.producerEpoch, 1);
    assert.deepEqual(identityOf(await init(broker, first)), second, 'repeated');
    await init(broker);
    assert.equal((await init(broker, second)).errorCode, ErrorCode.PRODUCER_FENCED);
    const stranger = { producerId: 5n, producerEpoch: 0 };
    assert.equal((await init(broker, stranger)).errorCode, ErrorCode.PRODUCER_FENCED);
    broker.transactions.close();
  });

  it('gives a new producer id when the epochs are used up', async () => {
    const broker = await startTransactions();
    let producer = identityOf(await init(broker));
    const entry = () => {
      const shard = broker.transactions.shardOf('tx');
      assert.ok(typeof shard !== 'number');
      return shard.entries.get('tx')!;
    };
    entry().current = { ...entry().current, producerEpoch: 32766 };
    producer = { ...producer, producerEpoch: 32766 };
    await broker.transactions.addPartitions('tx', producer, [place('t', 0)], V2);
    const request = { ...producer, commit: true, version: V2 };
    const ended = identityOf(await broker.transactions.end('tx', request));
    assert.deepEqual(ended, { producerId: 101n, producerEpoch: 0 });
    await settled();
    assert.deepEqual(broker.partitions.notes, ['t-0:100/32767:commit']);
    assert.deepEqual(identityOf(await broker.transactions.end('tx', request)), ended, 'repeated');
    entry().current = { ...entry().current, producerEpoch: 32766 };
    assert.deepEqual(identityOf(await init(broker)), { producerId: 102n, producerEpoch: 0 });
    broker.transactions.close();
  });

  it('takes no longer for each of many partitions that are added', async function () {
    // What copies all of them for each takes minutes.
    this.timeout(10_000);
    const broker = await startTransactions();
    const many = Array.from({ length: 200_000 }, (_, index) => place('t', index % 10_000));
    await begin(broker, CLASSIC, many);
    const shard = broker.transactions.shardOf('tx');
    assert.ok(typeof shard !== 'number');
    assert.equal(shard.entries.get('tx')!.current.partitions.get('t')!.size, 10_000);
    broker.transactions.close();
  });

  it('lets nobody else in while a step is written, and takes none that could not be written', async () => {
    const broker = await startTransactions();
    const producer = identityOf(await init(broker));
    const { transactions, log } = broker;
    log.hold();
    const adding = transactions.addPartitions('tx', producer, [place('t', 0)], CLASSIC);
    const busy = ErrorCode.CONCURRENT_TRANSACTIONS;
    assert.equal(await transactions.addPartitions('tx', producer, [place('t', 1)], CLASSIC), busy);
    assert.equal((await init(broker)).errorCode, busy);
    const early = await transactions.end('tx', { ...producer, commit: true, version: CLASSIC });
    assert.equal(early.errorCode, busy);
    log.failure = ErrorCode.NOT_ENOUGH_REPLICAS;
    await log.release();
    assert.equal(await adding, ErrorCode.COORDINATOR_NOT_AVAILABLE);
    assert.equal(stateOf(broker), 'Empty');
    log.failure = null;
    assert.equal(await transactions.addPartitions('tx', producer, [place('t', 1)], CLASSIC), ErrorCode.NONE);
    transactions.close();
  });

  it('adds partitions behind others that are being added, and waits for nothing else', async () => {
    const broker = await startTransactions();
    const producer = identityOf(await init(broker));
    const { transactions, log, clock } = broker;
    const add = (partition: number) =>
      transactions.addPartitionsInTurn('tx', producer, [place('t', partition)], CLASSIC);
    log.hold();
    const all = Promise.all([add(0), add(1), add(5)]);
    await log.release();
    assert.deepEqual(await all, [ErrorCode.NONE, ErrorCode.NONE, ErrorCode.NONE]);
    for (const partition of [0, 1, 5])
      assert.equal(transactions.verify('tx', producer, place('t', partition)), ErrorCode.NONE);
    log.hold();
    const slow = Promise.all([add(2), add(3)]);
    await clock.advance(100);
    await log.release();
    assert.deepEqual(await slow, [ErrorCode.NONE, ErrorCode.CONCURRENT_TRANSACTIONS]);
    broker.partitions.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    await transactions.end('tx', { ...producer, commit: true, version: CLASSIC });
    assert.equal(await add(4), ErrorCode.CONCURRENT_TRANSACTIONS);
    transactions.close();
  });

  it('goes on after a restart with what was prepared, and with what is open', async () => {
    const broker = await startTransactions();
    const producer = await begin(broker, V2);
    broker.partitions.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    await broker.transactions.end('tx', { ...producer, commit: true, version: V2 });
    await settled();
    assert.equal(stateOf(broker), 'PrepareCommit');
    const next = { ...producer, producerEpoch: 1 };
    const add = (who: ProducerIdentity) => broker.transactions.addPartitions('tx', who, [place('t', 0)], V2);
    assert.equal(await add(producer), ErrorCode.PRODUCER_FENCED);
    assert.equal(await add(next), ErrorCode.CONCURRENT_TRANSACTIONS);
    broker.partitions.failure = null;
    const again = await startTransactions(broker);
    assert.deepEqual(again.partitions.notes, ['t-0:100/1:commit', 't-1:100/1:commit']);
    assert.equal(stateOf(again), 'CompleteCommit');
    await again.transactions.addPartitions('tx', next, [place('t', 0)], V2);
    const third = await startTransactions(again);
    assert.equal(stateOf(third), 'Ongoing');
    assert.equal(third.transactions.verify('tx', next, place('t', 0)), ErrorCode.NONE);
    third.transactions.close();
  });

  it('writes a marker again until it is written, and not where somebody newer was', async () => {
    const broker = await startTransactions();
    const producer = await begin(broker, CLASSIC);
    broker.partitions.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    await broker.transactions.end('tx', { ...producer, commit: false, version: CLASSIC });
    await broker.clock.advance(5_000);
    assert.equal(stateOf(broker), 'PrepareAbort');
    assert.equal((await init(broker)).errorCode, ErrorCode.CONCURRENT_TRANSACTIONS);
    broker.partitions.failure = ErrorCode.INVALID_PRODUCER_EPOCH;
    await broker.clock.advance(5_000);
    assert.equal(stateOf(broker), 'CompleteAbort');
    broker.transactions.close();
  });

  it('aborts a transaction that takes longer than its time-out', async () => {
    const broker = await startTransactions();
    const producer = await begin(broker, V2);
    await broker.clock.advance(30_000);
    assert.equal(stateOf(broker), 'Ongoing');
    await broker.clock.advance(10_000);
    assert.equal(stateOf(broker), 'CompleteAbort');
    assert.deepEqual(broker.partitions.notes, ['t-0:100/1:abort', 't-1:100/1:abort']);
    const late = await broker.transactions.end('tx', { ...producer, commit: true, version: V2 });
    assert.equal(late.errorCode, ErrorCode.INVALID_TXN_STATE);
    broker.transactions.close();
  });

  it('lets a producer whose transaction timed out go on when it aborts it, or says who it is', async () => {
    const broker = await startTransactions();
    const { transactions } = broker;
    const timeOut = async (version: TransactionVersion, producer: ProducerIdentity) => {
      assert.equal(await transactions.addPartitions('tx', producer, [place('t', 0)], version), 0);
      await broker.clock.advance(40_000);
      assert.equal(stateOf(broker), 'CompleteAbort');
    };
    const first = identityOf(await init(broker));
    await timeOut(V2, first);
    assert.equal(await transactions.addPartitions('tx', first, [], V2), ErrorCode.PRODUCER_FENCED);
    const second = identityOf(await transactions.end('tx', { ...first, commit: false, version: V2 }));
    assert.deepEqual(second, { producerId: 100n, producerEpoch: 1 });
    await timeOut(CLASSIC, second);
    const late = await transactions.end('tx', { ...second, commit: false, version: CLASSIC });
    assert.equal(late.errorCode, ErrorCode.PRODUCER_FENCED);
    const third = identityOf(await init(broker, second));
    assert.deepEqual(third, { producerId: 100n, producerEpoch: 2 });
    assert.equal(await transactions.addPartitions('tx', third, [place('t', 0)], CLASSIC), ErrorCode.NONE);
    transactions.close();
  });

  it('gives a new producer id also when the last epoch served to fence', async () => {
    const broker = await startTransactions();
    await begin(broker, V2);
    const shard = broker.transactions.shardOf('tx');
    assert.ok(typeof shard !== 'number');
    const entry = shard.entries.get('tx')!;
    entry.current = { ...entry.current, producerEpoch: 32766 };
    await broker.clock.advance(40_000);
    assert.deepEqual(broker.partitions.notes, ['t-0:100/32767:abort', 't-1:100/32767:abort']);
    assert.equal(stateOf(broker), 'CompleteAbort');
    assert.deepEqual(identityOf(await init(broker)), { producerId: 101n, producerEpoch: 1 });
    broker.transactions.close();
  });

  it('fences nobody when that could not be written', async () => {
    const broker = await startTransactions();
    const producer = await begin(broker, CLASSIC);
    broker.log.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    for (let tries = 0; tries < 3; tries++)
      assert.equal((await init(broker)).errorCode, ErrorCode.NOT_COORDINATOR);
    broker.log.failure = null;
    const { transactions } = broker;
    assert.equal(await transactions.addPartitions('tx', producer, [place('t', 2)], CLASSIC), ErrorCode.NONE);
    await init(broker);
    await settled();
    assert.deepEqual(
      broker.partitions.notes.sort(),
      [0, 1, 2].map((index) => `t-${index}:100/1:abort`),
    );
    transactions.close();
  });

  it('forgets ids that nobody uses, also after a restart', async () => {
    const broker = await startTransactions();
    await init(broker);
    await broker.transactions.initProducer({ transactionalId: 'other', timeoutMs: 60_000, expected: null });
    await broker.clock.advance(3600_000 - 1);
    assert.equal(stateOf(broker), 'Empty');
    await broker.clock.advance(600_001);
    assert.equal(stateOf(broker), 'none');
    const again = await startTransactions(broker);
    assert.equal(stateOf(again), 'none');
    assert.equal(stateOf(again, 'other'), 'none');
    again.transactions.close();
  });

  it('keeps an id that is used while others are forgotten', async () => {
    const broker = await startTransactions();
    const others = Array.from({ length: 2_000 }, (_, i) => ({ transactionalId: `other ${i}` }));
    for (const { transactionalId } of others)
      await broker.transactions.initProducer({ transactionalId, timeoutMs: 60_000, expected: null });
    const producer = identityOf(await init(broker));
    broker.log.hold();
    await broker.clock.advance(3600_000);
    const added = broker.transactions.addPartitions('tx', producer, [place('t', 0)], V2);
    await broker.log.release();
    assert.equal(await added, ErrorCode.NONE);
    assert.equal(stateOf(broker, 'other 0'), 'none');
    assert.equal(stateOf(broker, 'other 1999'), 'none');
    assert.equal(stateOf(broker), 'Ongoing');
    broker.transactions.close();
  });

  it('leaves nothing of what was read when the log fails meanwhile', async () => {
    const { clock, log, partitions, transactions } = await startTransactions();
    const request = { transactionalId: 'tx', timeoutMs: 30_000, expected: null };
    assert.equal((await transactions.initProducer(request)).errorCode, ErrorCode.NONE);
    transactions.close();
    const shard = new TransactionShard({
      ...{ partition: 0, clock, log, partitions, logger: silentLogger, metrics: transactions.metrics },
      newProducerId: async () => 0n,
    });
    const loading = shard.load();
    shard.close();
    await loading;
    assert.equal(shard.entries.size, 0);
  });

  it('refuses time-outs that are too long, or none', async () => {
    const { transactions } = await startTransactions();
    for (const timeoutMs of [0, -1, 60_001]) {
      const request = { transactionalId: 'tx', timeoutMs, expected: null };
      const refused = await transactions.initProducer(request);
      assert.equal(refused.errorCode, ErrorCode.INVALID_TRANSACTION_TIMEOUT);
    }
    transactions.close();
  });
});
