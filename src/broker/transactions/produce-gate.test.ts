import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/errors.ts';
import { settled } from '../../util/testing/virtual-clock.ts';
import {
  CLASSIC,
  identityOf,
  init,
  place,
  startTransactions,
  type TestTransactions,
  V2,
} from './coordinator.fixture.ts';
import { ProduceGate } from './produce-gate.ts';
import type { ProducerIdentity } from './transaction.ts';

describe('ProduceGate', () => {
  let broker: TestTransactions;
  let gate: ProduceGate;
  let producer: ProducerIdentity;

  beforeEach(async () => {
    broker = await startTransactions();
    gate = new ProduceGate(broker.transactions);
    producer = identityOf(await init(broker));
  });
  afterEach(() => broker.transactions.close());

  function write(partition: number, addsPartitions: boolean, identity = producer) {
    return { ...identity, transactionalId: 'tx', partitions: [place('t', partition)], addsPartitions };
  }

  it('lets classic clients write to partitions that they have added, at once', async () => {
    assert.equal(gate.admit(write(0, false)), ErrorCode.TRANSACTION_ABORTABLE);
    await broker.transactions.addPartitions('tx', producer, [place('t', 0)], CLASSIC);
    assert.equal(gate.admit(write(0, false)), ErrorCode.NONE);
    assert.equal(gate.admit(write(1, false)), ErrorCode.TRANSACTION_ABORTABLE);
    const old = { ...producer, producerEpoch: -1 };
    assert.equal(gate.admit(write(0, false, old)), ErrorCode.PRODUCER_FENCED);
    const other = { ...producer, producerId: 7n };
    assert.equal(gate.admit(write(0, false, other)), ErrorCode.INVALID_PRODUCER_ID_MAPPING);
  });

  it('adds partitions for newer clients, and keeps the order of what waits and what need not', async () => {
    broker.log.hold();
    const order: string[] = [];
    const go = (name: string, partition: number) => {
      const admitted = gate.admit(write(partition, true));
      if (admitted instanceof Promise) void admitted.then((error) => order.push(`${name}:${error}`));
      else order.push(`${name}:${admitted}`);
    };
    go('first', 0);
    go('second', 0);
    await settled();
    assert.deepEqual(order, []);
    const released = broker.log.release();
    // Written by now, but the first has not gone on yet.
    go('third', 0);
    await released;
    assert.deepEqual(order, ['first:0', 'second:0', 'third:0']);
    go('fourth', 0);
    assert.equal(order.at(-1), 'fourth:0', 'nothing to wait for');
    go('fifth', 1);
    await settled();
    assert.equal(order.at(-1), 'fifth:0');
  });

  it('waits for the end of the transaction before', async () => {
    assert.equal(await gate.admit(write(0, true)), ErrorCode.NONE);
    broker.partitions.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    const ended = await broker.transactions.end('tx', { ...producer, commit: true, version: V2 });
    const admitted = gate.admit(write(1, true, identityOf(ended)));
    broker.partitions.failure = null;
    await broker.clock.advance(60);
    assert.equal(await admitted, ErrorCode.NONE);
  });

  it('gives up when that takes too long', async () => {
    await gate.admit(write(0, true));
    broker.partitions.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    const ended = await broker.transactions.end('tx', { ...producer, commit: true, version: V2 });
    const admitted = gate.admit(write(1, true, identityOf(ended)));
    await broker.clock.advance(200);
    assert.equal(await admitted, ErrorCode.CONCURRENT_TRANSACTIONS);
  });

  it('lets nothing pass what is told to come again', async () => {
    await gate.admit(write(0, true));
    broker.partitions.failure = ErrorCode.KAFKA_STORAGE_ERROR;
    const ended = await broker.transactions.end('tx', { ...producer, commit: true, version: V2 });
    const next = identityOf(ended);
    const [first, second] = [gate.admit(write(1, true, next)), gate.admit(write(1, true, next))];
    await broker.clock.advance(120);
    broker.partitions.failure = null;
    await broker.clock.advance(70);
    assert.deepEqual(await Promise.all([first, second]), [
      ErrorCode.CONCURRENT_TRANSACTIONS,
      ErrorCode.CONCURRENT_TRANSACTIONS,
    ]);
    await broker.clock.advance(1_000);
    assert.equal(await gate.admit(write(1, true, next)), ErrorCode.NONE);
  });
});
