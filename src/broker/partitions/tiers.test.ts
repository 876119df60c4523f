import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { StoreError } from '../../backend/payload/stores/messages.ts';
import { Store } from '../../native/store.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { forgetTier } from '../storage/forget-tier.ts';
import { BATCH_BYTES, TierFaults, TierFixture, TOPIC, TOPIC_ID } from './tiers.fixture.ts';

const MIB = 1 << 20;
/** What three batches take, with the gaps between them. */
const SEGMENT_LIMIT = 3 * BATCH_BYTES + 16_384;

describe('Payload in storage tiers', () => {
  let tiers: TierFixture;

  beforeEach(() => {
    tiers = new TierFixture();
  });
  afterEach(() => tiers.end());

  it('goes to the first tier while there is room, then to the next, and is refused when all are full', async () => {
    await tiers.start({ sizes: [[2 * SEGMENT_LIMIT], [SEGMENT_LIMIT]], threshold: -1 });
    await tiers.produce(9);
    assert.deepEqual(
      [0, 1].map((tier) => tiers.payload(tier).length),
      [2, 1],
    );
    await assert.rejects(tiers.produce(1), { code: ErrorCode.KAFKA_STORAGE_ERROR });
    await tiers.check();
    tiers.checkSpace();
    for (const { usedBytes, capacityBytes } of tiers.broker!.tiers.views())
      assert.ok(usedBytes <= capacityBytes);
    // Nothing of it is in the partition's own directory but the lists.
    await tiers.stop();
    assert.deepEqual(
      readdirSync(join(tiers.logs, 't-0', 'payload')).filter((name) => !name.endsWith('.extents')),
      [],
    );
  });

  it('begins a segment where there is room for more than one batch, and in a gap only when no tier has more', async () => {
    const config = { 'payload.segment.bytes': `${4 * MIB}` };
    await tiers.start({ sizes: [[BATCH_BYTES + 16_384], [2 * BATCH_BYTES + 16_384]], threshold: -1, config });
    await tiers.produce(2);
    const files = () => [0, 1].map((tier) => tiers.payload(tier).length);
    assert.deepEqual(files(), [0, 1]);
    await tiers.produce(1);
    assert.deepEqual(files(), [1, 1]);
    await tiers.check();
  });

  it('is shared by the paths of a tier', async () => {
    await tiers.start({
      sizes: [[-1, -1]],
      topics: [{ ...TOPIC, partitions: [0, 1].map((index) => ({ index, leaderEpoch: 0 })) }],
    });
    await tiers.produce(3);
    const { paths } = tiers.broker!.tiers.tiers[0]!;
    assert.deepEqual(paths.map(({ writing }) => writing).sort(), [0, 1]);
    await tiers.produce(9);
    assert.ok(paths.every(({ files }) => files.size > 0));
    await tiers.check();
  });

  it('moves the oldest down above the threshold and the newest up below it, and is found again', async () => {
    await tiers.start({ sizes: [[4 * MIB], [8 * MIB], [100 * MIB]] });
    await tiers.produce(12);
    await tiers.settle();
    await tiers.check();
    tiers.checkSpace();
    assert.deepEqual(
      tiers.payload(1),
      ['0', '1'].map((id) => `${id.padStart(20, '0')}.payload`),
    );
    const { moves } = tiers.broker!.tiers.migrator;
    assert.equal(moves.get(0)!.outBytes, moves.get(1)!.inBytes);
    const written = statSync(tiers.file(1, 0)).mtimeMs;
    await tiers.stop();

    await tiers.start({ sizes: [[4 * MIB], [8 * MIB], [100 * MIB]] });
    await tiers.check();
    assert.equal(statSync(tiers.file(1, 0)).mtimeMs, written);
    tiers.checkSpace();
    await tiers.produce(3);
    await tiers.broker!.partitions.find('t', 0)!.deleteRecordsBefore(12n);
    await tiers.broker!.partitions.find('t', 0)!.payloads.flush();
    await tiers.broker!.partitions.find('t', 0)!.payloads.reclaimBefore(12n);
    await tiers.settle();
    assert.equal(tiers.payload(1).length, 0);
    await tiers.check(12);
    tiers.checkSpace();
  });

  it('moves while it is read, and not while it is not wanted any more', async () => {
    const faults = new TierFaults();
    await tiers.start({ sizes: [[100 * MIB], [100 * MIB]], threshold: 0, faults });
    await tiers.produce(9);
    let open = () => {};
    faults.gate = new Promise((resolve) => {
      open = resolve;
    });
    const { migrator } = tiers.broker!.tiers;
    const partition = tiers.broker!.partitions.find('t', 0)!;
    // The first segment is complete by then.
    await partition.payloads.settled();
    migrator.look();
    assert.equal(migrator.running, 1);
    await tiers.check();
    await partition.deleteRecordsBefore(3n);
    await partition.payloads.reclaimBefore(3n);
    open();
    await tiers.settle();
    assert.deepEqual(tiers.payload(1), ['00000000000000000001.payload']);
    await tiers.check(3);
    tiers.checkSpace();
  });

  for (const [what, code, out] of [
    ['copy', 'ENOSPC', false],
    ['copy', 'EIO', true],
    ['publish', 'EIO', true],
    ['publish', 'ENOSPC', false],
  ] as const) {
    it(`stays where it is when a ${what} fails with ${code}`, async () => {
      const faults = new TierFaults();
      await tiers.start({ sizes: [[100 * MIB], [100 * MIB]], threshold: 0, faults });
      await tiers.produce(4);
      faults[what] = code;
      await tiers.settle();
      assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length], [2, 0]);
      await tiers.check();
      tiers.checkSpace();
      const [path] = tiers.broker!.tiers.tiers[1]!.paths;
      assert.equal(path!.error !== null, out);
      assert.equal(path!.roomBytes, 0);
      assert.equal(tiers.broker!.tiers.migrator.movesOf(1).failures, 1);
    });
  }

  it('leaves one file when the original cannot be removed', async () => {
    const faults = new TierFaults();
    const refusing = { on: false };
    await tiers.start({
      sizes: [[100 * MIB], [100 * MIB]],
      threshold: 0,
      faults,
      wrap: (store) => ({
        open: (path, options) => store.open(path, options),
        punch: (path, ranges) => store.punch(path, ranges),
        remove: (path) =>
          refusing.on
            ? Promise.reject(Object.assign(new Error('fault'), { code: 'EIO' }))
            : store.remove(path),
      }),
    });
    await tiers.produce(4);
    refusing.on = true;
    await tiers.settle();
    assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length], [2, 1]);
    await tiers.check();
    refusing.on = false;
    await tiers.stop();
    await tiers.start({ sizes: [[100 * MIB], [100 * MIB]], threshold: -1 });
    assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length], [1, 1]);
    await tiers.check();
    tiers.checkSpace();
  });

  it('removes what an interrupted move left', async () => {
    await tiers.start({ sizes: [[100 * MIB], [100 * MIB]], threshold: -1 });
    await tiers.produce(6);
    await tiers.stop();
    mkdirSync(join(tiers.path(1), `t-0.${TOPIC_ID}`));
    writeFileSync(`${tiers.file(1, 0)}.moving`, Buffer.alloc(1000));
    copyFileSync(tiers.file(0, 1), tiers.file(1, 1));
    await tiers.start({ sizes: [[100 * MIB], [100 * MIB]], threshold: -1 });
    assert.deepEqual(tiers.payload(0), ['00000000000000000000.payload']);
    assert.deepEqual(tiers.payload(1), ['00000000000000000001.payload']);
    await tiers.check();
    tiers.checkSpace();
  });

  it('stays in the tier to which its topic is pinned', async () => {
    await tiers.start({
      sizes: [[100 * MIB], [100 * MIB]],
      threshold: 0.5,
      config: { 'payload.tier': 'second' },
    });
    await tiers.produce(4);
    await tiers.settle();
    assert.deepEqual([tiers.payload(0).length, tiers.payload(1).length], [0, 2]);
    tiers.broker!.partitions.topicConfigChanged(TOPIC, tiers.config({ 'payload.tier': 'first' }));
    await tiers.settle();
    assert.deepEqual(tiers.payload(0), ['00000000000000000000.payload']);
    await tiers.check();
  });

  it('is all there when recovery after a crash could not read some of it at first', async () => {
    await tiers.start({ sizes: [[100 * MIB], [100 * MIB]], threshold: -1 });
    await tiers.produce(5);
    await tiers.broker!.crash();
    tiers.broker = null;
    let failures = 1;
    const { partitions } = await tiers.start({
      sizes: [[100 * MIB], [100 * MIB]],
      threshold: -1,
      wrap: (store) => ({
        punch: (path, ranges) => store.punch(path, ranges),
        remove: (path) => store.remove(path),
        open: async (path, options) => {
          const file = await store.open(path, options);
          return {
            append: (pieces, append) => file.append(pieces, append),
            sync: () => file.sync(),
            truncate: (size) => file.truncate(size),
            readRanges: (ranges) =>
              failures-- > 0 ? Promise.reject(new StoreError('EAGAIN', 'fault')) : file.readRanges(ranges),
            findChecked: (position, length) => file.findChecked(position, length),
            close: () => file.close(),
          };
        },
      }),
    });
    assert.ok(partitions.isOffline('t', 0));
    while (partitions.isOffline('t', 0)) await setTimeout(10);
    await tiers.check();
    await tiers.produce(1);
    await tiers.check();
    await tiers.settle();
    tiers.checkSpace();
  });

  it('is taken over from the directories of partitions', async () => {
    await tiers.start({ sizes: [] });
    await tiers.produce(4);
    await tiers.stop();
    await tiers.start({ sizes: [[100 * MIB], [100 * MIB]] });
    await tiers.produce(1);
    await tiers.check();
    await tiers.settle();
    assert.deepEqual(tiers.payload(0).length, 3);
    assert.ok(readdirSync(join(tiers.logs, 't-0', 'payload')).every((name) => name.endsWith('.extents')));
    await tiers.check();
    tiers.checkSpace();
  });

  it('does not move to where there is room again while its topic is removed', async () => {
    const faults = new TierFaults();
    await tiers.start({ sizes: [[4 * MIB], [100 * MIB]], faults });
    await tiers.produce(18);
    await tiers.settle();
    assert.ok(tiers.payload(1).length > 0);
    const { partitions, tiers: storage } = tiers.broker!;
    faults.beforeRemove = async (path) => {
      if (!path.startsWith(tiers.path(1))) return;
      storage.migrator.look();
      await storage.migrator.idle();
    };
    await partitions.topicDeleted(TOPIC);
    for (const tier of [0, 1]) assert.ok(!existsSync(join(tiers.path(tier), `t-0.${TOPIC_ID}`)));
    tiers.checkSpace();
  });

  it('is removed with its topic in every tier, also when a crash came between', async () => {
    await tiers.start({ sizes: [[100 * MIB], [100 * MIB]], threshold: 0 });
    await tiers.produce(6);
    await tiers.settle();
    await tiers.broker!.partitions.topicDeleted(TOPIC);
    for (const tier of [0, 1]) assert.ok(!existsSync(join(tiers.path(tier), `t-0.${TOPIC_ID}`)));
    tiers.checkSpace();
    await tiers.stop();

    const gone = join(tiers.path(1), 'u-3.AAAAAAAAAAAAAAAAAAAABg');
    mkdirSync(gone);
    writeFileSync(join(gone, '00000000000000000000.payload'), Buffer.alloc(1000));
    await tiers.start({
      sizes: [[100 * MIB], [100 * MIB]],
      topics: [{ ...TOPIC, name: 'v', id: 'AAAAAAAAAAAAAAAAAAAABw' }],
    });
    assert.ok(!existsSync(gone));
    tiers.checkSpace();
  });

  describe('with a directory that fails', () => {
    const SIZES = [[100 * MIB], [100 * MIB]];

    /** Of the record at the offset. */
    async function errorAt(offset: number): Promise<number> {
      return (await tiers.broker!.fetch('t', 0, BigInt(offset))).result.errorCode;
    }

    it('writes elsewhere, and goes on with acks=all', async () => {
      let failing = false;
      await tiers.start({
        sizes: [[-1], [-1]],
        threshold: -1,
        wrap: (store) => ({
          punch: (path, ranges) => store.punch(path, ranges),
          remove: (path) => store.remove(path),
          open: async (path, options) => {
            const file = await store.open(path, options);
            if (!path.startsWith(tiers.path(0))) return file;
            const fault = () =>
              Promise.reject(Object.assign(new Error('input/output error'), { code: 'EIO' }));
            return {
              append: (pieces, append) => {
                const appended = file.append(pieces, append);
                return failing ? { ...appended, done: Promise.resolve(appended.done).then(fault) } : appended;
              },
              sync: () => (failing ? fault() : file.sync()),
              truncate: (size) => (failing ? fault() : file.truncate(size)),
              readRanges: (ranges) => file.readRanges(ranges),
              findChecked: () => null,
              close: () => file.close(),
            };
          },
        }),
      });
      await tiers.produce(2);
      failing = true;
      await assert.rejects(tiers.produce(1), { code: ErrorCode.KAFKA_STORAGE_ERROR });
      assert.match(tiers.broker!.tiers.outage!, /tier-0-0 is out of use: input\/output error/);
      await tiers.produce(2);
      assert.equal(tiers.payload(1).length, 1);
      await tiers.check();
      failing = false;
    });

    it('does not take what is not mounted for lost, and has it again when it is', async () => {
      await tiers.start({ sizes: SIZES, threshold: 0 });
      await tiers.produce(7);
      await tiers.settle();
      assert.equal(tiers.payload(1).length, 2);
      await tiers.stop();
      renameSync(tiers.path(1), `${tiers.path(1)}-unmounted`);
      mkdirSync(tiers.path(1));

      await tiers.start({ sizes: SIZES, threshold: 0 });
      assert.match(tiers.broker!.tiers.outage!, /was the tier directory .* is its disk not mounted\?/);
      assert.equal(await errorAt(0), ErrorCode.KAFKA_STORAGE_ERROR);
      assert.equal(await errorAt(6), 0);
      assert.equal(tiers.broker!.partitions.find('t', 0)!.logStartOffset, 0n);
      await tiers.produce(2);
      await tiers.check(6);
      await tiers.stop();
      assert.deepEqual(readdirSync(tiers.path(1)), []);

      rmSync(tiers.path(1), { recursive: true });
      renameSync(`${tiers.path(1)}-unmounted`, tiers.path(1));
      await tiers.start({ sizes: SIZES, threshold: 0 });
      assert.equal(tiers.broker!.tiers.outage, null);
      await tiers.check();
      tiers.checkSpace();
    });

    it('cuts no log after a crash for payload that nobody can look at', async () => {
      await tiers.start({ sizes: SIZES, threshold: -1 });
      await tiers.produce(5);
      await tiers.broker!.crash();
      tiers.broker = null;
      renameSync(tiers.path(0), `${tiers.path(0)}-unmounted`);
      mkdirSync(tiers.path(0));
      await tiers.start({ sizes: SIZES, threshold: -1 });
      assert.equal(await errorAt(4), ErrorCode.KAFKA_STORAGE_ERROR);
      await tiers.produce(1);
      await tiers.check(5);
      await tiers.stop();
      rmSync(tiers.path(0), { recursive: true });
      renameSync(`${tiers.path(0)}-unmounted`, tiers.path(0));
      await tiers.start({ sizes: SIZES, threshold: -1 });
      await tiers.check();
      tiers.checkSpace();
    });

    it('refuses directories that are swapped, of others, or for something else', async () => {
      const sizes = [[-1], [-1], [-1]];
      await tiers.start({ sizes });
      await tiers.produce(1);
      await tiers.stop();
      const outage = async (change: () => void) => {
        change();
        await tiers.start({ sizes });
        const text = tiers.broker!.tiers.outage ?? '';
        await tiers.stop();
        return text;
      };
      const swap = () => {
        const [a, b] = [tiers.path(1), tiers.path(2)];
        renameSync(a, `${a}-x`);
        renameSync(b, a);
        renameSync(`${a}-x`, b);
      };
      assert.match(
        await outage(swap),
        /tier-1-0 is out of use: it is the tier directory .* are disks swapped/,
      );
      assert.equal(await outage(swap), '');
      const foreign = () => {
        rmSync(join(tiers.logs, 'payload-tiers.json'));
        rmSync(tiers.path(2), { recursive: true });
        mkdirSync(tiers.path(2));
        writeFileSync(
          join(tiers.path(2), 'tier.properties'),
          'version=1\ncluster.id=other\nnode.id=1\ndirectory.id=x\n',
        );
      };
      assert.match(await outage(foreign), /belongs to node 1 of cluster other/);
      const inUse = () => {
        rmSync(tiers.path(2), { recursive: true });
        mkdirSync(join(tiers.path(2), 'photos'), { recursive: true });
      };
      assert.match(await outage(inUse), /it holds photos .* an empty directory for itself/);
      const logDirectory = () =>
        copyFileSync(join(tiers.logs, 'meta.properties'), join(tiers.path(2), 'meta.properties'));
      assert.match(await outage(logDirectory), /it is a log directory/);
    });

    it('says what is missing of a directory that is configured no more, until it is empty', async () => {
      await tiers.start({ sizes: SIZES, threshold: -1 });
      await tiers.produce(4);
      await tiers.stop();
      await tiers.start({ sizes: [] });
      assert.match(
        tiers.broker!.tiers.outage!,
        /tier-0-0 \(.*\) may hold payload and is in none of storage\.tiers/,
      );
      assert.equal(await errorAt(0), ErrorCode.KAFKA_STORAGE_ERROR);
      await tiers.produce(1);
      await tiers.check(4);
      await tiers.stop();
      await tiers.start({ sizes: SIZES, threshold: -1 });
      await tiers.check();
      await tiers.broker!.partitions.topicDeleted(TOPIC);
      await tiers.stop();
      await tiers.start({ sizes: [], topics: [] });
      assert.equal(tiers.broker!.tiers.outage, null);
    });

    it('is given up by order, unless it is there, and new payload goes on', async () => {
      await tiers.start({ sizes: SIZES, threshold: -1 });
      await tiers.produce(4);
      const files = new Store({ threads: 1 });
      const forget = () => forgetTier([tiers.logs, join(tiers.logs, 'dead')], files, tiers.path(0));
      await assert.rejects(forget(), /is using this directory/);
      await tiers.stop();
      await assert.rejects(forget(), /tier-0-0 is there, and holds payload: nothing of it is lost/);
      rmSync(tiers.path(0), { recursive: true });
      await tiers.start({ sizes: SIZES, threshold: -1 });
      assert.match(tiers.broker!.tiers.outage ?? '', /tier-0-0 is out of use/);
      assert.equal(await errorAt(0), ErrorCode.KAFKA_STORAGE_ERROR);
      await tiers.stop();
      assert.deepEqual(await forget(), [join(tiers.logs, 'dead')]);
      await files.shutdown();
      await tiers.start({ sizes: [[-1]], threshold: -1 });
      assert.equal(tiers.broker!.tiers.outage, null);
      await tiers.produce(2);
      await tiers.check(4);
    });

    it('does not start when none can be used', async () => {
      mkdirSync(join(tiers.path(0), 'photos'), { recursive: true });
      await assert.rejects(tiers.start({ sizes: [[-1]] }), /no tier directory can be used: .* holds photos/);
    });
  });
});
