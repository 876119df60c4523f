import assert from 'node:assert/strict';
import { Cluster, type TopicInfo } from './cluster.ts';

/** Of which a topic is known with one partition, while it has two by now. */
class Stale extends Cluster {
  asked = 0;

  override async topic(name: string, fresh = false): Promise<TopicInfo> {
    if (fresh) this.asked++;
    const partitions = Array.from({ length: fresh ? 2 : 1 }, (_, index) => ({
      ...{ index, leader: 5, leaderEpoch: 0 },
      ...{ replicas: [], isr: [], offline: [] },
    }));
    return { name, id: 'id', partitions };
  }
}

describe('leaders of partitions', () => {
  it('are asked for again when a partition was added since', async () => {
    const cluster = new Stale({} as never);
    assert.equal(await cluster.leaderOf('t', 0), 5);
    assert.equal(cluster.asked, 0);
    assert.equal(await cluster.leaderOf('t', 1), 5);
    await assert.rejects(cluster.leaderOf('t', 2), { code: 'INVALID_ARGUMENT' });
    assert.equal(cluster.asked, 2);
  });
});
