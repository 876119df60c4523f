import assert from 'node:assert/strict';
import { ProtocolError } from '../../protocol/wire/errors.ts';
import { parseTransaction, transactionRecord, transactionTombstone } from './records.ts';
import {
  addPartitions,
  completed,
  initialize,
  newTransaction,
  prepareEnd,
  type Transaction,
} from './transaction.ts';

const V2 = 2;

function ongoing(): Transaction {
  const empty = initialize(newTransaction(9n, 1000, 5), null, null, 1000, 6) as Transaction;
  const partitions = [
    { topic: 'a', partition: 1 },
    { topic: 'b', partition: 0 },
    { topic: 'a', partition: 0 },
  ];
  return addPartitions(empty, empty, partitions, V2, 7) as Transaction;
}

describe('transaction records', () => {
  it('give back what was written', () => {
    const open = ongoing();
    const request = { ...open, commit: true, version: V2 as 2, nextProducerId: -1n };
    const prepared = prepareEnd(open, request, 8) as Transaction;
    for (const transaction of [open, prepared, completed(prepared, 9)]) {
      const { key, value } = transactionRecord('tx', transaction);
      const found = parseTransaction(key, value);
      // Not in the record: it tells a repeated InitProducerId, which a new coordinator need not.
      assert.deepEqual(found, {
        transactionalId: 'tx',
        transaction: { ...transaction, lastProducerEpoch: -1 },
      });
    }
    const { key, value } = transactionTombstone('tx');
    assert.deepEqual(parseTransaction(key, value), { transactionalId: 'tx', transaction: null });
  });

  it('refuse a state that Kafka does not have, and leave other records alone', () => {
    const { key, value } = transactionRecord('tx', ongoing());
    const unknown = value!.slice();
    // Version, producer id, epoch and time-out stand before it.
    unknown[2 + 8 + 2 + 4] = 99;
    assert.throws(() => parseTransaction(key, unknown), ProtocolError);
    const other = key.slice();
    other[1] = 7;
    assert.equal(parseTransaction(other, value), null);
  });
});
