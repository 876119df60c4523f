import assert from 'node:assert/strict';
import type { PartitionPayloads } from '../../backend/payload/partition-payloads.ts';
import type { ReleasedExtent } from '../../native/compaction.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { PayloadRelease } from './payload-release.ts';

const extent = (baseOffset: bigint): ReleasedExtent => ({ baseOffset, segmentId: 0, position: 0, length: 1 });

describe('releasing payload that compaction has given up', () => {
  let clock: VirtualClock;
  let released: bigint[];
  let failures: number;
  let release: PayloadRelease;

  beforeEach(() => {
    clock = new VirtualClock();
    released = [];
    failures = 0;
    const payloads: Pick<PartitionPayloads, 'release'> = {
      async release(extents) {
        if (failures-- > 0) throw new Error('no space');
        released.push(...extents.map(({ baseOffset }) => baseOffset));
      },
    };
    release = new PayloadRelease(payloads as PartitionPayloads, clock);
  });

  it('is tried again when it fails', async () => {
    failures = 2;
    release.add([extent(1n)], 1000);
    await clock.advance(2500);
    assert.deepEqual(released, []);
    await clock.advance(600);
    assert.deepEqual(released, [1n]);
    assert.equal(clock.pending, 0);
  });

  it('is done at once at the end, and not any more afterwards', async () => {
    release.add([extent(1n)], 1000);
    release.add([extent(2n)], 2000);
    await release.close();
    assert.deepEqual(released, [1n, 2n]);
    // A round of compaction may end after the partition; its topic may be there anew soon.
    release.add([extent(3n)], 1000);
    await clock.advance(10_000);
    assert.deepEqual(released, [1n, 2n]);
    assert.equal(clock.pending, 0);
  });

  it('does not begin anew when it fails at the end', async () => {
    failures = 1;
    release.add([extent(1n)], 1000);
    await release.close();
    await clock.advance(10_000);
    assert.deepEqual(released, []);
  });
});
