import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { silentLogger } from '../../../util/logger.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import { type MigrationPlan, Migrator } from './migrator.ts';
import { TierFile } from './tier-file.ts';
import { TierPath } from './tier-path.ts';

const MIB = 1 << 20;

describe('Migrator', () => {
  let clock: VirtualClock;
  let startMs: number;
  let waiting: TierFile[];
  let copiedAtMs: number[];
  let copiedBytes: number[];
  let removed: string[];
  let busy: boolean;

  beforeEach(() => {
    clock = new VirtualClock();
    startMs = clock.now();
    waiting = [];
    copiedAtMs = [];
    copiedBytes = [];
    removed = [];
    busy = false;
  });

  const pathOf = (tier: number) =>
    new TierPath({ path: `/tier-${tier}`, tier, sizeBytes: 1 << 30, clock, logger: silentLogger });

  function fileIn(at: TierPath, segmentId: number, bytes: number): TierFile {
    return new TierFile({
      segmentId,
      path: `${at.path}/${segmentId}`,
      ready: Promise.resolve(),
      at,
      owner: {
        pin: null,
        pathIn: () => `${at.path}/${segmentId}`,
        prepare: () => Promise.resolve(),
        segments: {
          complete() {},
          async move(_, { copy, publish, place }) {
            if (!(await copy(`${at.path}/${segmentId}`, () => true))) return false;
            await publish(`${at.path}/${segmentId}`);
            place.completed(bytes);
            return true;
          },
        },
      },
      state: 'complete',
      bytes,
      modifiedMs: 0,
      now: () => clock.now(),
    });
  }

  /** Moves files of these sizes from one tier to another. */
  function start(
    sizes: readonly number[],
    { threads = 1, bytesPerSecond = -1, ofTiers = [-1, -1] } = {},
  ): Migrator {
    const [from, to] = [pathOf(0), pathOf(1)];
    waiting = sizes.map((bytes, i) => fileIn(from, i, bytes));
    const plan: MigrationPlan = {
      nextMove: () => {
        const file = waiting.shift();
        return file === undefined ? null : { file, to: 1 };
      },
      arrive: (file) => fileIn(to, file.segmentId, file.bytes),
    };
    const migrator = new Migrator(plan, {
      files: {
        async copyRange(_from, _to, _position, length) {
          copiedAtMs.push(clock.now() - startMs);
          copiedBytes.push(length);
          return length;
        },
        publishCopy: async () => {},
        remove: async (path) => void removed.push(path),
      },
      clock,
      logger: silentLogger,
      settings: () => ({ threshold: 0.5, bytesPerSecond, tierBytesPerSecond: (tier) => ofTiers[tier]! }),
      threads,
      isBusy: () => busy,
    });
    migrator.look();
    return migrator;
  }

  async function run(migrator: Migrator, untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    while (migrator.running > 0) {
      await setImmediate();
      if (!clock.runNext(startMs + untilMs) && clock.pending > 0) return;
    }
  }

  it('keeps to the rate, however many files it copies at the same time', async () => {
    const migrator = start([8 * MIB, 6 * MIB], { threads: 2, bytesPerSecond: 4 * MIB });
    assert.equal(migrator.running, 2);
    await run(migrator);
    // Whichever file a step is of, it begins when those before are paid for.
    let before = 0;
    for (const [i, bytes] of copiedBytes.entries()) {
      assert.equal(copiedAtMs[i], (before / (4 * MIB)) * 1000);
      before += bytes;
    }
    assert.deepEqual(migrator.movesOf(1), { inBytes: 14 * MIB, outBytes: 0, failures: 0 });
    assert.deepEqual(migrator.movesOf(0), { inBytes: 0, outBytes: 14 * MIB, failures: 0 });
  });

  it('keeps to the lower of the rates of both tiers', async () => {
    await run(start([12 * MIB], { bytesPerSecond: 16 * MIB, ofTiers: [2 * MIB, 4 * MIB] }));
    assert.deepEqual(copiedAtMs, [0, 2000, 4000]);
    copiedAtMs = [];
    startMs = clock.now();
    await run(start([12 * MIB], { bytesPerSecond: 16 * MIB, ofTiers: [-1, MIB] }));
    assert.deepEqual(copiedAtMs, [0, 4000, 8000]);
  });

  it('moves no more files at the same time than there are threads', async () => {
    const migrator = start([MIB, MIB, MIB]);
    assert.deepEqual([migrator.running, waiting.length], [1, 2]);
    await run(migrator);
    assert.equal(copiedAtMs.length, 3);
  });

  it('begins no step while clients wait', async () => {
    const migrator = start([9 * MIB], { bytesPerSecond: 4 * MIB });
    await setImmediate();
    busy = true;
    await run(migrator, 10_000);
    assert.deepEqual(copiedAtMs, [0]);
    busy = false;
    await run(migrator);
    assert.equal(copiedAtMs.length, 3);
    assert.ok(copiedAtMs[1]! >= 10_000);
  });

  it('stops between two steps, and leaves nothing', async () => {
    const migrator = start([90 * MIB], { bytesPerSecond: MIB });
    await run(migrator, 6000);
    const stopped = migrator.stop();
    await run(migrator);
    await stopped;
    assert.equal(copiedAtMs.length, 2);
    assert.deepEqual(removed, ['/tier-1/0.moving', '/tier-1/0']);
    assert.equal(migrator.running, 0);
  });
});
