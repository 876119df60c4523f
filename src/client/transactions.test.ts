import assert from 'node:assert/strict';
import { ErrorCode } from '../protocol/errors.ts';
import type { Cluster } from './cluster.ts';
import type { OffsetsToCommit } from './consumer.ts';
import type { Delivery } from './delivery.ts';
import { Transactions } from './transactions.ts';

/** A coordinator of everything, that takes offsets when the test says so. */
class FakeCluster {
  readonly epochsOfOffsets: number[] = [];
  /** As whom a producer began. */
  readonly begunAs: bigint[] = [];
  /** Whether it has forgotten the id by the time at which a transaction ends. */
  isForgetful = false;
  isLoading = true;
  ends = 0;
  #epoch = 0;

  async coordinator(kind: string) {
    return { call: async (_: unknown, __: unknown, body: Body) => this.#answer(kind, body) };
  }

  forgetCoordinator(): void {}

  #answer(kind: string, body: Body): object {
    if ('committed' in body) {
      this.ends++;
      if (this.isForgetful) return { errorCode: ErrorCode.INVALID_PRODUCER_ID_MAPPING };
    } else if (kind === 'transaction') {
      this.begunAs.push(body.producerId);
    }
    if (kind === 'transaction') return { errorCode: 0, producerId: 1n, producerEpoch: this.#epoch++ };
    const errorCode = this.isLoading ? ErrorCode.COORDINATOR_LOAD_IN_PROGRESS : ErrorCode.NONE;
    if (!this.isLoading) this.epochsOfOffsets.push(body.producerEpoch);
    return { topics: [{ partitions: [{ errorCode }] }] };
  }
}

interface Body {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

const consumer = {
  offsetsToCommit: (): OffsetsToCommit => ({
    identity: { groupId: 'g', memberId: 'm', generation: 1 },
    offsets: [{ topic: 't', partition: 0, offset: 5n }],
    handedOver() {},
  }),
};

function transactionsOf(cluster: FakeCluster, hasSent: boolean): Transactions {
  const delivery = { hasSent, restart() {}, abandon() {}, idle: async () => {} };
  return new Transactions({
    cluster: cluster as unknown as Cluster,
    transactionalId: 'id',
    transactionTimeoutMs: 1000,
    timeoutMs: 10_000,
    delivery: delivery as unknown as Delivery,
  });
}

describe('transactions', () => {
  it('do not take offsets that were sent in one before, which was ended meanwhile', async () => {
    const cluster = new FakeCluster();
    const transactions = transactionsOf(cluster, false);
    await transactions.begin();
    const sent = assert.rejects(transactions.sendOffsets(consumer), { code: 'INVALID_ARGUMENT' });
    await new Promise((resolve) => setTimeout(resolve, 10));
    await transactions.abort();
    await transactions.begin();
    cluster.isLoading = false;
    await sent;
    assert.deepEqual(cluster.epochsOfOffsets, []);
    await transactions.sendOffsets(consumer);
    await transactions.commit();
    assert.deepEqual(cluster.epochsOfOffsets, [1]);
  });

  it('that the gateway has forgotten with their id can be aborted, and the next begin as the same producer', async () => {
    const cluster = new FakeCluster();
    const transactions = transactionsOf(cluster, true);
    await transactions.begin();
    cluster.isForgetful = true;
    await assert.rejects(transactions.commit(), { code: 'ABORTABLE' });
    await transactions.abort();
    cluster.isForgetful = false;
    await transactions.begin();
    await transactions.commit();
    assert.deepEqual(cluster.begunAs, [-1n, 1n]);
  });

  it('end without a word to the gateway when it has heard nothing of them', async () => {
    for (const hasSent of [false, true]) {
      const cluster = new FakeCluster();
      const transactions = transactionsOf(cluster, hasSent);
      await transactions.begin();
      transactions.check();
      await transactions.commit();
      assert.equal(cluster.ends, hasSent ? 1 : 0);
    }
  });
});
