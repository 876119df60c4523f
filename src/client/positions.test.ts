import assert from 'node:assert/strict';
import { Positions } from './positions.ts';
import type { Reading } from './record-fetcher.ts';

const reading = (): Reading =>
  ({
    ...{ handle: { name: 't' }, partition: 0, leaderEpoch: 3 },
    ...{ acknowledged: null, committed: null, revoked: false },
  }) as Reading;

describe('positions of a consumer', () => {
  it('are lost by events that are acknowledged when their partition is another member’s', () => {
    const positions = new Positions();
    const mine = reading();
    positions.begin([mine]);
    positions.lose();
    positions.release();
    assert.equal(positions.takeLost(), false, 'nothing of it was acknowledged');
    positions.acknowledge(mine, 5n);
    assert.equal(positions.takeLost(), true);
    assert.equal(positions.takeLost(), false);
  });

  it('are not lost by events from before the consumer went back', () => {
    const positions = new Positions();
    const [lost, before, now] = [reading(), reading(), reading()];
    positions.begin([lost]);
    positions.lose();
    positions.release();
    positions.begin([before]);
    positions.release();
    positions.forgetLost();
    positions.begin([now]);
    positions.acknowledge(lost, 3n);
    positions.acknowledge(before, 5n);
    assert.equal(positions.takeLost(), false);
    assert.deepEqual(positions.due().offsets, []);
    positions.acknowledge(now, 0n);
    assert.deepEqual(positions.due().offsets, [{ topic: 't', partition: 0, offset: 1n, leaderEpoch: 3 }]);
  });

  it('are not committed of a topic that is gone', () => {
    const positions = new Positions();
    const [gone, stays] = [reading(), { ...reading(), partition: 1 }];
    positions.begin([gone, stays]);
    for (const one of [gone, stays]) positions.acknowledge(one, 5n);
    const dropped = positions.drop((one) => one === gone);
    assert.deepEqual(dropped, [{ topic: 't', partition: 0 }]);
    positions.acknowledge(gone, 6n);
    assert.deepEqual([gone.revoked, stays.revoked], [true, false]);
    assert.deepEqual(positions.due().offsets, [{ topic: 't', partition: 1, offset: 6n, leaderEpoch: 3 }]);
    positions.add([reading()]);
    assert.deepEqual(positions.due().offsets.length, 1, 'its successor begins anew');
    assert.deepEqual(positions.partitions, [
      { topic: 't', partition: 1 },
      { topic: 't', partition: 0 },
    ]);
  });
});
