import assert from 'node:assert/strict';
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Bucket } from '../../backend/payload/tiers/s3/bucket.ts';
import type { ObjectScrubber } from '../../backend/payload/tiers/s3/object-scrubber.ts';
import { ObjectError } from '../../backend/payload/tiers/s3/objects.ts';
import { MemoryObjects, TestBuckets } from '../../backend/payload/tiers/s3/testing.ts';
import { systemClock } from '../../util/clock.ts';
import { checkPayload } from '../verify/payload-check.ts';
import { TierFixture, type TierSetup, TOPIC_ID } from './tiers.fixture.ts';

const MIB = 1 << 20;

describe('Payload in the tier S3', () => {
  let tiers: TierFixture;
  let buckets: TestBuckets;
  let objects: MemoryObjects;
  let bucket: Bucket;
  let threshold: number;
  /** Clocks are ahead by so much. */
  let aheadMs: number;

  beforeEach(() => {
    tiers = new TierFixture();
    buckets = new TestBuckets();
    objects = new MemoryObjects();
    threshold = 0;
    aheadMs = 0;
  });
  afterEach(async () => {
    await tiers.end();
    await buckets.end();
  });

  async function start(setup: Partial<TierSetup> = {}, upFor = Number.POSITIVE_INFINITY): Promise<void> {
    bucket = await buckets.open(objects);
    objects.upFor = upFor;
    await tiers.start({
      sizes: [[100 * MIB]],
      settings: () => ({ threshold, bytesPerSecond: -1 }),
      bucket,
      clock: { ...systemClock, now: () => Date.now() + aheadMs },
      ...setup,
    });
  }

  const inBucket = () => [...objects.objects.keys()].filter((key) => key.endsWith('.payload')).sort();
  /** Numbers of the segments that are there. */
  const segments = () => inBucket().map((key) => Number(/\/(\d{20})\./.exec(key)![1]));
  const path = () => tiers.broker!.tiers.paths.find((each) => each.bucket !== null)!;
  const first = () => tiers.broker!.partitions.find('t', 0)!;

  /** The object store is asked again, as after some seconds. */
  async function comeBack(): Promise<void> {
    objects.upFor = Number.POSITIVE_INFINITY;
    objects.refused = null;
    objects.lost = null;
    aheadMs += 60_000;
    await path().measure();
    while (path().error !== null) await setTimeout(1);
    aheadMs += 60_000; // what failed may be moved again
  }

  async function assertUnavailable(offset: bigint): Promise<void> {
    const { result } = await tiers.broker!.fetch('t', 0, offset, { maxBytes: 1 });
    assert.equal(result.errorCode, 56); // KAFKA_STORAGE_ERROR
  }

  it('moves there when it is complete, in parts, and is read from there, also after a restart', async () => {
    await start();
    await tiers.produce(7);
    await tiers.settle();
    assert.deepEqual(segments(), [0, 1]);
    assert.deepEqual(tiers.payload(0), ['00000000000000000002.payload']);
    assert.match(inBucket()[0]!, /^here\/t-0\.A+BQ\/0{20}\.\d{13}\.[0-9a-f]{8}\.payload$/);
    assert.equal(objects.begun.size, 0);
    await tiers.check();
    tiers.checkSpace();
    await tiers.stop();
    await start();
    assert.equal(path().files.size, 2);
    await tiers.check();
    await tiers.produce(3);
    await tiers.check();
  });

  it('takes no new payload, also of topics that are pinned to it', async () => {
    threshold = -1;
    await start({ config: { 'payload.tier': 'second' } });
    await tiers.produce(4);
    assert.deepEqual(segments(), []);
    threshold = 0.5;
    await tiers.settle();
    assert.deepEqual(segments(), [0]);
    await tiers.check();
  });

  it('comes back when there is room, and what is left is removed', async () => {
    await start();
    await tiers.produce(7);
    await tiers.settle();
    threshold = 0.5;
    await tiers.settle();
    assert.deepEqual(segments(), []);
    assert.equal(tiers.payload(0).length, 3);
    assert.equal(path().usedBytes, 0);
    tiers.checkSpace();
    await tiers.check();
  });

  it('reads from the beginning on ahead, and otherwise only what it needs', async () => {
    await start();
    await tiers.produce(4);
    await tiers.settle();
    await first()
      .payloads.read({ segmentId: 0, position: 0, length: 1, headerCrc: 0, batchCrc: 0 })
      .catch(() => {});
    objects.downloads.length = 0;
    bucket.windows.forget(inBucket()[0]!);
    await tiers.broker!.fetch('t', 0, 1n, { maxBytes: 1 });
    assert.equal(objects.downloads.length, 1);
    assert.ok(objects.downloads[0]!.length < 310_000);
    await tiers.broker!.fetch('t', 0, 0n, { maxBytes: 1 });
    assert.equal(objects.downloads[1]!.length, MIB);
    await tiers.broker!.fetch('t', 0, 2n, { maxBytes: 1 });
    assert.equal(objects.downloads.length, 2);
  });

  it('gives out nothing that was damaged on its way, nor what is damaged', async () => {
    await start();
    await tiers.produce(4);
    await tiers.settle();
    objects.damagedDownloads = 1;
    await tiers.check();
    assert.equal(objects.damagedDownloads, 0);
    const [key] = inBucket();
    objects.damage(key!);
    bucket.windows.forget(key!);
    await assertUnavailable(0n);
    assert.equal(path().error, null);
  });

  it('keeps the original until the object is whole', async () => {
    await start();
    await tiers.produce(4);
    for (const operation of ['beginUpload', 'uploadPart', 'completeUpload', 'info']) {
      objects.refused = operation;
      await tiers.settle();
      assert.notEqual(path().error, null, operation);
      assert.equal(tiers.payload(0).length, 2, operation);
      await tiers.check();
      await comeBack();
    }
    objects.lost = 'completeUpload';
    await tiers.settle();
    assert.equal(tiers.payload(0).length, 2);
    await comeBack();
    assert.equal(objects.begun.size, 0);
    await tiers.settle();
    assert.deepEqual(tiers.payload(0), ['00000000000000000001.payload']);
    await path().measure();
    while (bucket.removals.size > 0) await setTimeout(1);
    assert.deepEqual(segments(), [0]); // and no second one of an answer that was lost
    await tiers.check();
  });

  it('keeps the original when an object is not what was sent', async () => {
    await start();
    await tiers.produce(4);
    objects.damagedUploads = 1;
    await tiers.settle();
    assert.equal(tiers.payload(0).length, 2);
    assert.equal(path().error, null);
    assert.equal(tiers.broker!.tiers.migrator.movesOf(1).failures, 1);
    assert.deepEqual(segments(), []);
    aheadMs += 120_000;
    await tiers.settle();
    assert.deepEqual(segments(), [0]);
    await tiers.check();
  });

  it('asks for no checksum that the object store does not keep', async () => {
    objects.keepsChecksums = false;
    await start();
    await tiers.produce(4);
    await tiers.settle();
    assert.deepEqual(segments(), [0]);
  });

  describe('is checked', () => {
    let scrubber: ObjectScrubber;

    beforeEach(async () => {
      await start();
      await tiers.produce(10);
      await tiers.settle();
      assert.deepEqual(segments(), [0, 1, 2]);
      scrubber = tiers.broker!.tiers.scrubber!;
      scrubber.start();
    });

    it('as a whole, in the thread of the object store', async () => {
      await scrubber.round();
      assert.deepEqual({ ...scrubber.counters, bytes: 0 }, { rounds: 1, bytes: 0, damaged: 0, replaced: 0 });
      assert.ok(scrubber.counters.bytes >= 9 * 300_000);
      assert.equal(objects.downloads.length, 0);
    });

    it('and damage is reported', async () => {
      objects.damage(inBucket()[1]!);
      await scrubber.round();
      assert.equal(scrubber.counters.damaged, 1);
      objects.objects.delete(inBucket()[2]!);
      await scrubber.round();
      assert.equal(scrubber.counters.damaged, 1 + 1 + 3);
      assert.equal(path().error, null);
    });

    it('and an object that is whole takes the place of one that is not', async () => {
      const damaged = inBucket()[1]!;
      const twin = damaged.replace(/\w{8}\.payload$/, 'ffffffff.payload');
      objects.objects.set(twin, Buffer.from(objects.objects.get(damaged)!));
      objects.damage(damaged);
      await scrubber.round();
      assert.deepEqual([scrubber.counters.damaged, scrubber.counters.replaced], [0, 1]);
      assert.equal(inBucket()[1], twin);
      assert.equal(objects.objects.has(damaged), false);
      tiers.checkSpace();
      await tiers.check();
    });

    it('and what is gone meanwhile is not missed', async () => {
      objects.onOperation = (operation) => {
        if (operation !== 'checksums') return;
        objects.onOperation = () => {};
        void first().deleteRecordsBefore(9n);
        for (const key of inBucket()) objects.objects.delete(key);
      };
      await scrubber.round();
      assert.equal(scrubber.counters.damaged, 0);
    });

    it('and an outage is no damage', async () => {
      objects.upFor = 1;
      await scrubber.round();
      assert.deepEqual([scrubber.counters.damaged, scrubber.counters.rounds], [0, 0]);
      assert.notEqual(path().error, null);
    });
  });

  it('is unavailable while the object store is away, and everything else goes on', async () => {
    await start();
    await tiers.produce(7);
    await tiers.settle();
    objects.upFor = 0;
    await assertUnavailable(0n);
    assert.match(path().error!, /^the object store s3:\/\/payload\/here is out of use: .*down/);
    await tiers.produce(6);
    await tiers.settle();
    assert.equal(tiers.payload(0).length, 3);
    await comeBack();
    await tiers.settle();
    assert.equal(tiers.payload(0).length, 1);
    await tiers.check();
  });

  it('is known, and there again, when the object store is away at the start', async () => {
    await start();
    await tiers.produce(7);
    await tiers.settle();
    await tiers.stop();
    await start({}, 0);
    await assertUnavailable(0n);
    const { payloadErrors, unreachablePayloads } = tiers.broker!.partitions.metrics;
    assert.deepEqual([payloadErrors, unreachablePayloads], [0, 1]);
    await tiers.produce(1);
    assert.equal(first().payloads.totalBytes > 7 * 300_000, true);
    await comeBack();
    await tiers.check();
    threshold = 0.9;
    await tiers.settle();
    assert.deepEqual(segments(), []);
    await tiers.check();
    await tiers.stop();
    await start();
    await tiers.check();
  });

  it('is known when the object store is back before partitions are opened', async () => {
    await start();
    await tiers.produce(7);
    await tiers.settle();
    await tiers.stop();
    objects.onOperation = () => {
      objects.onOperation = () => {};
      setImmediate(() => {
        aheadMs += 60_000;
      });
      throw new ObjectError('EHOSTDOWN', 'away');
    };
    await start();
    while (path().error !== null) await setTimeout(1);
    await tiers.check();
    await tiers.stop();
    await start();
    assert.deepEqual(segments(), [0, 1]);
    await tiers.check();
  });

  it('of topics that were deleted goes when the object store is back that was away at the start', async () => {
    await start();
    await tiers.produce(4);
    await tiers.settle();
    const gone = `here/gone-0.BBBBBBBBBBBBBBBBBBBBBQ/${'0'.repeat(20)}.1.00000000.payload`;
    objects.objects.set(gone, Buffer.alloc(9));
    await tiers.stop();
    await start({}, 0);
    assert.equal(inBucket().length, 2);
    await comeBack();
    while (bucket.removals.size > 0) await setTimeout(1);
    assert.deepEqual(segments(), [0]);
    await tiers.check();
  });

  it('is out of use while the object store refuses, and credentials are looked for anew', async () => {
    await start();
    await tiers.produce(4);
    await tiers.settle();
    await tiers.stop();
    objects.refused = 'list';
    await start();
    assert.match(path().error!, /out of use: list: refused/);
    await assertUnavailable(0n);
    assert.equal(objects.renewals, 0);
    await comeBack();
    assert.equal(objects.renewals, 1);
    await tiers.check();
  });

  it('stays there, and in use, when the object store refuses to remove it', async () => {
    await start();
    await tiers.produce(10);
    await tiers.settle();
    objects.refused = 'remove';
    await first().deleteRecordsBefore(3n);
    await tiers.settle();
    assert.deepEqual(segments(), [0, 1, 2]);
    assert.equal(bucket.removals.size, 1);
    assert.equal(path().error, null);
    await tiers.check(3);
    const now = Date.now() + 60_000;
    await bucket.removals.retry(now);
    objects.refused = null;
    await bucket.removals.retry(now + 900); // too soon after the last attempt
    assert.deepEqual(segments(), [0, 1, 2]);
    await bucket.removals.retry(now + 60_000);
    assert.deepEqual(segments(), [1, 2]);
  });

  it('loses what logs lose, at once or when the object store is back', async () => {
    await start();
    await tiers.produce(10);
    await tiers.settle();
    assert.deepEqual(segments(), [0, 1, 2]);
    await first().deleteRecordsBefore(3n);
    await tiers.settle();
    assert.deepEqual(segments(), [1, 2]);
    objects.upFor = 0;
    await assertUnavailable(3n);
    await first().deleteRecordsBefore(6n);
    await tiers.settle();
    assert.deepEqual(segments(), [1, 2]);
    await comeBack();
    await path().measure();
    while (bucket.removals.size > 0) await setTimeout(1);
    assert.deepEqual(segments(), [2]);
    await tiers.check(6);
  });

  it('goes with its topic, and after a crash with the next start', async () => {
    await start();
    await tiers.produce(4);
    await tiers.settle();
    await tiers.broker!.tiers.removePartition('t', TOPIC_ID, 0);
    assert.deepEqual(segments(), []);
    await objects.write(
      `here/gone-0.BBBBBBBBBBBBBBBBBBBBBQ/${'0'.repeat(20)}.1.00000000.payload`,
      Buffer.alloc(9),
    );
    await objects.beginUpload('here/x');
    await tiers.stop();
    await start();
    assert.deepEqual(inBucket(), []);
    assert.equal(objects.begun.size, 0);
  });

  it('uses the copy in the bucket when a move was interrupted, and removes what nobody refers to', async () => {
    await start();
    await tiers.produce(4);
    await tiers.settle();
    const [key] = inBucket();
    const twin = key!.replace(/\w{8}\.payload$/, 'ffffffff.payload');
    objects.objects.set(twin, objects.objects.get(key!)!);
    objects.objects.set(key!.replace('0'.repeat(20), '7'.padStart(20, '0')), Buffer.alloc(10));
    await tiers.stop();
    await start();
    assert.deepEqual(segments(), [0]);
    await tiers.check();
  });

  it('leaves alone a bucket that is not the one that it was', async () => {
    await start();
    await tiers.produce(4);
    await tiers.settle();
    await tiers.stop();
    const mine = new Map(objects.objects);
    objects.objects.clear();
    await start();
    assert.match(path().error!, /has no tier\.properties now; .*another bucket/);
    await assertUnavailable(0n);
    await tiers.stop();
    objects.objects.set(
      'here/tier.properties',
      Buffer.from(
        mine
          .get('here/tier.properties')!
          .toString()
          .replace(/cluster\.id=.*/, 'cluster.id=another'),
      ),
    );
    await start();
    assert.match(path().error!, /belongs to node 1 of cluster another/);
    assert.equal(objects.objects.size, 1);
    for (const [key, bytes] of mine) objects.objects.set(key, bytes);
    await comeBack();
    await tiers.check();
  });

  it('is verified, and repaired', async () => {
    await start();
    await tiers.produce(7);
    await tiers.settle();
    await tiers.stop();
    const verify = async (repair = false) => {
      const checked = await buckets.open(objects);
      const paths = { directories: [tiers.logs], tiers: [[tiers.path(0)], [checked.url]] };
      const all = { openStores: null, topics: null, readPayload: true };
      try {
        return await checkPayload({ store: buckets.files, bucket: checked, ...paths, ...all, repair });
      } finally {
        checked.close();
        objects.upFor = Number.POSITIVE_INFINITY;
      }
    };
    const clean = await verify(true);
    assert.deepEqual([clean.problems, clean.outage, clean.extents], [[], null, 7]);
    const [zero, one] = inBucket();
    objects.damage(zero!);
    objects.objects.set(one!.replace(/\w{8}\.payload$/, 'ffffffff.payload'), objects.objects.get(one!)!);
    const report = await verify(true);
    assert.deepEqual(
      report.problems.map(({ kind, offset, repaired }) => [kind, offset, repaired]),
      [
        ['copy', null, true],
        ['damaged', '0', false],
      ],
    );
    assert.deepEqual(segments(), [0, 1]);
    objects.refused = 'read';
    assert.match((await verify()).outage!, /s3:\/\/payload\/here: .*refused/);
    objects.refused = null;
    // What could not be looked at is not damaged.
    objects.download = () => Promise.reject(new ObjectError('ENOSPC', 'no room in the cache'));
    await assert.rejects(verify(), /no room in the cache/);
  });

  it('refuses a cache directory that is used for something else', async () => {
    await start();
    await assert.rejects(buckets.open(objects), { code: 'EBUSY' });
    await tiers.stop();
    renameSync(tiers.path(0), join(buckets.directory, 'mine'));
    await assert.rejects(buckets.open(objects), /storage\.s3\.cache\.dir: .* holds mine/);
    renameSync(join(buckets.directory, 'mine'), tiers.path(0));
    assert.ok(readdirSync(tiers.path(0)).length > 0);
  });
});
