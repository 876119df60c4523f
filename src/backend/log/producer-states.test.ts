import assert from 'node:assert/strict';
import { readBatchInfo, viewOf } from './batch.ts';
import { LogErrorCode } from './errors.ts';
import type { BatchInfo } from './ports.ts';
import type { AppendOrigin } from './producer-entry.ts';
import { decodeSnapshot, encodeSnapshot } from './producer-snapshot.ts';
import { ProducerStates } from './producer-states.ts';
import { testBatch, testMarker } from './testing/batches.ts';
import type { AbortedTransaction } from './transaction-index.ts';

const MAX_SEQUENCE = 0x7fffffff;

/** A batch of `count` records, of producer 7 unless given. */
function batch(
  baseOffset: number,
  sequence: number,
  count = 1,
  epoch = 0,
  attributes = 0,
  producerId = 7,
): BatchInfo {
  const records = Array.from({ length: count }, () => ({ value: 'v', timestamp: 1000 + baseOffset }));
  const bytes = testBatch(records, {
    baseOffset: BigInt(baseOffset),
    producerId: BigInt(producerId),
    producerEpoch: epoch,
    baseSequence: sequence,
    attributes,
  });
  return readBatchInfo(viewOf(bytes), 0, 0);
}

function marker(
  baseOffset: number,
  commit: boolean,
  coordinatorEpoch: number,
  epoch = 0,
  producerId = 7,
): BatchInfo {
  const identity = {
    baseOffset: BigInt(baseOffset),
    producerId: BigInt(producerId),
    producerEpoch: epoch,
  };
  return readBatchInfo(viewOf(testMarker(commit, coordinatorEpoch, identity)), 0, 0);
}

/** As `append`, of a marker; returns what it aborted. */
function end(states: ProducerStates, next: BatchInfo): readonly AbortedTransaction[] {
  const check = states.check([next], 'coordinator');
  assert.ok(!check.duplicate);
  return states.apply(check.changes, next.lastOffset + 1n);
}

function append(states: ProducerStates, next: BatchInfo, origin: AppendOrigin = 'client'): bigint | null {
  const check = states.check([next], origin);
  if (check.duplicate) return check.duplicate.firstOffset;
  states.apply(check.changes, next.lastOffset + 1n);
  return null;
}

const outOfOrder = { code: LogErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER };

describe('ProducerStates', () => {
  it('takes any first sequence of an unknown producer, then only the next', () => {
    const states = new ProducerStates();
    append(states, batch(0, 5, 2));
    assert.throws(() => append(states, batch(2, 6)), outOfOrder);
    assert.throws(() => append(states, batch(2, 8)), outOfOrder);
    assert.equal(append(states, batch(2, 7)), null);
  });

  it('takes no other first sequence than 0 of an unknown producer that begins anew with each transaction', () => {
    const states = new ProducerStates();
    assert.throws(() => append(states, batch(0, 5, 1, 0, 0x10), 'transaction'), outOfOrder);
    append(states, batch(0, 0, 1, 0, 0x10), 'transaction');
    assert.equal(append(states, batch(9, 0, 1, 0, 0x10), 'transaction'), 0n);
  });

  it('recognizes the last five batches when they come again, and no older one', () => {
    const states = new ProducerStates();
    for (let index = 0; index < 7; index++) append(states, batch(index * 2, index * 2, 2));
    for (let index = 2; index < 7; index++) {
      assert.equal(append(states, batch(99, index * 2, 2)), BigInt(index * 2));
    }
    assert.throws(() => append(states, batch(99, 2, 2)), outOfOrder);
    assert.throws(() => append(states, batch(99, 12, 1)), outOfOrder);
  });

  it('goes on at 0 after the largest sequence, also within a batch', () => {
    const states = new ProducerStates();
    append(states, batch(0, MAX_SEQUENCE));
    append(states, batch(1, 0));
    const wrapped = new ProducerStates();
    append(wrapped, batch(0, MAX_SEQUENCE, 3));
    assert.equal(append(wrapped, batch(3, 2)), null);
  });

  it('begins a new epoch at sequence 0 and refuses the old one', () => {
    const states = new ProducerStates();
    append(states, batch(0, 0, 3, 1));
    assert.throws(() => append(states, batch(3, 3, 1, 2)), outOfOrder);
    append(states, batch(3, 0, 1, 2));
    assert.throws(() => append(states, batch(4, 3, 1, 1)), { code: LogErrorCode.INVALID_PRODUCER_EPOCH });
    assert.equal(append(states, batch(4, 0, 1, 2)), 3n);
  });

  it('checks the sequences of several batches in one append', () => {
    const states = new ProducerStates();
    assert.throws(() => states.check([batch(0, 0), batch(1, 2)], 'client'), outOfOrder);
    assert.equal(states.size, 0);
    const check = states.check([batch(0, 0), batch(1, 1)], 'client');
    assert.ok(!check.duplicate && check.changes.entries.get(7n)?.batches.length === 2);
  });

  it('checks only the epoch of a coordinator, and nothing of a replica', () => {
    const states = new ProducerStates();
    append(states, batch(0, 0, 1, 3));
    assert.equal(append(states, batch(1, 9, 1, 3), 'coordinator'), null);
    const old = { code: LogErrorCode.INVALID_PRODUCER_EPOCH };
    assert.throws(() => append(states, batch(2, 0, 1, 2), 'coordinator'), old);
    assert.equal(append(states, batch(2, 0, 1, 2), 'replication'), null);
  });

  it('follows a transaction from its first batch to its marker', () => {
    const states = new ProducerStates();
    append(states, batch(0, 0, 1, 0, 0x10));
    append(states, batch(1, 1, 1, 0, 0x10));
    assert.equal(states.firstUnstableOffset, 0n);
    assert.throws(() => append(states, batch(2, 2)), { code: LogErrorCode.INVALID_TXN_STATE });
    assert.deepEqual(end(states, marker(2, true, 4)), []);
    assert.equal(states.firstUnstableOffset, 0n, 'its marker is not visible');
    states.markersVisible(2n);
    assert.equal(states.firstUnstableOffset, 0n);
    states.markersVisible(3n);
    assert.equal(states.firstUnstableOffset, null);
    assert.equal(states.get(7n)?.coordinatorEpoch, 4);
    const fenced = { code: LogErrorCode.TRANSACTION_COORDINATOR_FENCED };
    assert.throws(() => append(states, marker(3, false, 3), 'coordinator'), fenced);
  });

  it('says what was aborted, and how far the log was stable then', () => {
    const states = new ProducerStates();
    append(states, batch(0, 0, 2, 0, 0x10, 7));
    append(states, batch(2, 0, 1, 0, 0x10, 8));
    append(states, batch(3, 0, 1, 0, 0, 9));
    const [first] = end(states, marker(4, false, 0, 0, 8));
    assert.deepEqual(first, { producerId: 8n, firstOffset: 2n, lastOffset: 4n, lastStableOffset: 0n });
    const [second] = end(states, marker(5, false, 0, 0, 7));
    assert.deepEqual(second, { producerId: 7n, firstOffset: 0n, lastOffset: 5n, lastStableOffset: 6n });
    assert.deepEqual(end(states, marker(6, false, 0, 0, 7)), [], 'a marker that comes again aborts nothing');
  });

  it('keeps the oldest open transaction first, also after a snapshot in another order', () => {
    const states = new ProducerStates();
    append(states, batch(0, 0, 1, 0, 0x10, 1));
    append(states, batch(1, 0, 1, 0, 0x10, 2));
    append(states, batch(2, 1, 1, 0, 0x10, 1));
    assert.equal(states.firstUnstableOffset, 0n);
    const again = new ProducerStates();
    again.reset(states.entries().reverse(), 3n);
    assert.equal(again.firstUnstableOffset, 0n);
    end(again, marker(3, true, 0, 0, 1));
    again.markersVisible(4n);
    assert.equal(again.firstUnstableOffset, 1n);
  });

  it('forgets idle producers, unless they have an open transaction', () => {
    const states = new ProducerStates();
    append(states, batch(0, 0));
    states.expire(999n);
    assert.equal(states.size, 1);
    states.expire(1000n);
    assert.equal(states.size, 0);
    append(states, batch(1, 0, 1, 0, 0x10));
    states.expire(9999n);
    assert.equal(states.size, 1);
  });
});

describe('producer snapshot', () => {
  it('keeps what is needed of each producer', () => {
    const states = new ProducerStates();
    append(states, batch(10, MAX_SEQUENCE - 1, 3));
    append(states, batch(13, 1, 1, 0, 0x10));
    const [entry] = decodeSnapshot(encodeSnapshot(states.entries())) ?? [];
    assert.deepEqual(entry?.batches, states.entries()[0]?.batches.slice(-1));
    assert.equal(entry?.currentTxnFirstOffset, 13n);
    const again = new ProducerStates();
    again.reset(entry ? [entry] : [], 14n);
    assert.equal(again.firstUnstableOffset, 13n);
    assert.equal(append(again, batch(99, 1, 1, 0, 0x10)), 13n);
  });

  it('is refused when a bit is flipped, bytes are missing, or the version is another', () => {
    const states = new ProducerStates();
    append(states, batch(0, 0));
    const bytes = encodeSnapshot(states.entries());
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1;
      assert.equal(decodeSnapshot(damaged), null, `byte ${at}`);
    }
    assert.equal(decodeSnapshot(bytes.subarray(0, bytes.length - 1)), null);
    assert.equal(decodeSnapshot(new Uint8Array(0)), null);
  });
});
