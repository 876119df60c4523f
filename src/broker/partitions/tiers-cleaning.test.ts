import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { BATCH_BYTES, TierFixture } from './tiers.fixture.ts';

const SEGMENT_LIMIT = 3 * BATCH_BYTES + 16_384;
/** What the end of a file and the map of its pieces may take beside what is live. */
const SLACK_BYTES = 32 << 10;

describe('Space in storage tiers of what no record refers to', () => {
  let tiers: TierFixture;

  beforeEach(() => {
    tiers = new TierFixture();
  });
  afterEach(() => tiers.end());

  const partition = () => tiers.broker!.partitions.find('t', 0)!;
  const used = () => tiers.broker!.tiers.tiers.map(({ paths }) => paths[0]!.usedBytes);
  const held = (path: string) => {
    const { size, blocks } = statSync(path);
    return Math.min(size, blocks * 512);
  };

  it('is given back, and counted by them; files that are moved keep what they gave back', async () => {
    let threshold = -1;
    const setup = {
      sizes: [[10 * SEGMENT_LIMIT], [-1]],
      settings: () => ({ threshold, bytesPerSecond: -1 }),
    };
    await tiers.start(setup);
    await tiers.produce(6);
    await partition().deleteRecordsBefore(2n);
    partition().payloads.endSegment();
    await partition().payloads.reclaimBefore(2n);
    const before = used()[0]!;
    await partition().payloads.clean(0.8);
    const { segments, bytes } = await partition().payloads.clean(0.8);
    assert.equal(segments, 1);
    assert.ok(bytes > 2 * BATCH_BYTES - SLACK_BYTES);
    assert.equal(used()[0], before - bytes);
    assert.equal(partition().payloads.totalBytes, used()[0]);
    assert.ok(held(tiers.file(0, 0)) < BATCH_BYTES + SLACK_BYTES);
    tiers.checkSpace();
    await tiers.check(2);
    // Everything goes to the second tier.
    threshold = 0;
    await tiers.settle();
    assert.equal(tiers.payload(0).length, 0);
    assert.ok(held(tiers.file(1, 0)) < BATCH_BYTES + SLACK_BYTES);
    await tiers.check(2);
    // What the file takes there is asked for once more.
    await partition().payloads.clean(0.8);
    assert.equal(used()[1], held(tiers.file(1, 0)) + statSync(tiers.file(1, 1)).size);
    tiers.checkSpace();
    await tiers.stop();
    await tiers.start(setup);
    assert.equal(used()[1], held(tiers.file(1, 0)) + statSync(tiers.file(1, 1)).size);
    tiers.checkSpace();
    await tiers.check(2);
  });
});
