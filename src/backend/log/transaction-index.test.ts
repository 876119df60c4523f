import assert from 'node:assert/strict';
import { testBatch, testMarker } from './testing/batches.ts';
import { LogFixture } from './testing/log-fixture.ts';
import { type AbortedTransaction, TransactionIndex } from './transaction-index.ts';

function aborted(
  producerId: number,
  firstOffset: number,
  lastOffset: number,
  lastStableOffset: number,
): AbortedTransaction {
  return {
    producerId: BigInt(producerId),
    firstOffset: BigInt(firstOffset),
    lastOffset: BigInt(lastOffset),
    lastStableOffset: BigInt(lastStableOffset),
  };
}

describe('TransactionIndex', () => {
  it('has the layout of Kafka', () => {
    const index = new TransactionIndex(0n);
    index.append(aborted(1, 2, 3, 4));
    const fields = ['0000', '0000000000000001', '0000000000000002', '0000000000000003', '0000000000000004'];
    assert.equal(Buffer.from(index.content()).toString('hex'), fields.join(''));
  });

  it('finds the transactions of a range, and says when later segments can have no more', () => {
    const index = new TransactionIndex(0n);
    index.append(aborted(1, 5, 8, 2));
    index.append(aborted(2, 2, 12, 13));
    const found: AbortedTransaction[] = [];
    assert.equal(index.collect(0n, 3n, found), false);
    assert.deepEqual(found, [aborted(2, 2, 12, 13)]);
    found.length = 0;
    assert.equal(index.collect(9n, 20n, found), true);
    assert.deepEqual(found, [aborted(2, 2, 12, 13)]);
    found.length = 0;
    index.collect(13n, 20n, found);
    assert.deepEqual(found, []);
  });

  it('forgets what is truncated, and refuses damage', () => {
    const index = new TransactionIndex(3n);
    index.append(aborted(1, 1, 4, 5));
    index.append(aborted(1, 6, 9, 10));
    assert.ok(index.isValid());
    const bytes = index.content().slice();
    assert.equal(new TransactionIndex(3n, bytes.subarray(0, 40)).isValid(), false);
    assert.equal(new TransactionIndex(5n, bytes).isValid(), false);
    const newer = bytes.slice();
    newer[1] = 1;
    assert.equal(new TransactionIndex(3n, newer).isValid(), false);
    index.truncateTo(9n);
    assert.equal(index.count, 1);
  });
});

describe('transaction index of a log', () => {
  const txn = (producerId: bigint, baseSequence: number) =>
    testBatch([{ value: 'v'.repeat(200) }], { producerId, producerEpoch: 0, baseSequence, attributes: 0x10 });
  const abort = (producerId: bigint) => testMarker(false, 0, { producerId, producerEpoch: 0 });

  /** Two transactions over several segments; both are aborted in the last. */
  async function filled() {
    const fixture = new LogFixture(7, { segmentBytes: 600, indexIntervalBytes: 100 });
    const log = await fixture.open();
    log.becomeLeader(0);
    for (let i = 0; i < 4; i++) {
      log.append(txn(1n, i));
      log.append(txn(2n, i));
    }
    log.append(abort(2n), 'coordinator');
    await log.append(abort(1n), 'coordinator').written;
    return { fixture, log };
  }
  const all = [aborted(1, 0, 9, 10), aborted(2, 1, 8, 0)];

  it('is written when the log is closed, and read at the next start', async () => {
    const { fixture, log } = await filled();
    assert.ok(log.segmentCount > 2);
    assert.deepEqual(log.abortedTransactions(0n, 10n), all);
    assert.deepEqual(log.abortedTransactions(0n, 1n), all.slice(0, 1));
    const again = await fixture.reopen();
    assert.deepEqual(again.abortedTransactions(0n, 10n), all);
    assert.equal(again.firstUnstableOffset, null);
  });

  it('is found again after a crash, or when its file is damaged', async () => {
    const { fixture } = await filled();
    const crashed = await fixture.crash({ power: false });
    assert.deepEqual(crashed.abortedTransactions(0n, 10n), all);
    await fixture.manager.close();
    const [name] = (await fixture.files.mount().list(crashed.directory))!
      .map((entry) => entry.name)
      .filter((entry) => entry.endsWith('.txnindex'));
    assert.ok(name);
    await fixture.files.mount().replaceFile(`${crashed.directory}/${name}`, new Uint8Array(35));
    const repaired = await fixture.open();
    assert.deepEqual(repaired.abortedTransactions(0n, 10n), all);
    const again = await fixture.reopen();
    assert.deepEqual(again.abortedTransactions(0n, 10n), all, 'it was written again');
  });

  it('forgets transactions whose end is truncated', async () => {
    const { log } = await filled();
    await log.truncateTo(9n);
    assert.deepEqual(log.abortedTransactions(0n, 9n), all.slice(1));
    assert.equal(log.firstUnstableOffset, 0n);
  });
});
