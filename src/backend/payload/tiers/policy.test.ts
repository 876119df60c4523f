import assert from 'node:assert/strict';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { type FileView, nextMove, type TierView } from './policy.ts';

interface File extends FileView {
  tier: number;
  bytes: number;
  modifiedMs: number;
  pin: number | null;
}

/** Tiers of one path each. */
function views(capacities: readonly number[], files: readonly File[]): TierView[] {
  return capacities.map((capacityBytes, tier) => {
    const usedBytes = files.filter((file) => file.tier === tier).reduce((sum, { bytes }) => sum + bytes, 0);
    return { capacityBytes, usedBytes, roomBytes: Math.max(0, capacityBytes - usedBytes) };
  });
}

function next(capacities: readonly number[], files: readonly File[], threshold = 0.5) {
  const move = nextMove(views(capacities, files), files, threshold);
  return move && { modifiedMs: move.file.modifiedMs, to: move.to };
}

function file(tier: number, modifiedMs: number, bytes = 10, pin: number | null = null): File {
  return { tier, modifiedMs, bytes, pin };
}

describe('nextMove', () => {
  it('moves the oldest down above the threshold, and nothing at it', () => {
    assert.equal(next([100, 1000], [file(0, 1, 50)]), null);
    assert.deepEqual(next([100, 1000], [file(0, 3, 20), file(0, 1, 20), file(0, 2, 20)]), {
      modifiedMs: 1,
      to: 1,
    });
  });

  it('moves the newest of all lower tiers up while that stays below the threshold', () => {
    const files = [file(0, 9, 30), file(1, 5), file(2, 7), file(2, 6)];
    assert.deepEqual(next([100, 100, 1000], files), { modifiedMs: 7, to: 0 });
    files[2]!.bytes = 21;
    // It does not fit below the threshold of the first tier; nothing older goes past it.
    assert.deepEqual(next([100, 100, 1000], files), { modifiedMs: 7, to: 1 });
  });

  it('passes over a tier that is full, and waits when all are', () => {
    const files = [file(0, 1, 60), file(1, 2, 95)];
    assert.deepEqual(next([100, 100, 1000], [...files]), { modifiedMs: 1, to: 2 });
    assert.equal(next([100, 100], files), null);
  });

  it('passes over what is too large for the tiers below', () => {
    const files = [file(0, 1, 60), file(0, 2, 20), file(0, 3, 10), file(1, 4, 950)];
    assert.deepEqual(next([100, 1000], files), { modifiedMs: 2, to: 1 });
  });

  it('leaves pinned files in their tier, and brings them there whatever the threshold', () => {
    assert.equal(next([100, 1000], [file(0, 1, 90, 0)]), null);
    assert.deepEqual(next([100, 1000], [file(0, 1, 60, 1)]), { modifiedMs: 1, to: 1 });
    assert.deepEqual(next([100, 1000], [file(0, 5, 60, 0), file(1, 1, 40, 0)]), { modifiedMs: 1, to: 0 });
    assert.equal(next([100, 1000], [file(0, 5, 70, 0), file(1, 1, 40, 0)]), null);
    // A pin to a tier that is not there is one to the last.
    assert.deepEqual(next([100, 1000], [file(0, 1, 10, 7)]), { modifiedMs: 1, to: 1 });
  });

  it('empties the directories of partitions, into the last tier if need be', () => {
    assert.deepEqual(next([100, 1000], [file(2, 1, 10)]), { modifiedMs: 1, to: 0 });
    assert.deepEqual(next([100, 1000], [file(0, 5, 45), file(1, 4, 800), file(2, 9, 10)]), {
      modifiedMs: 9,
      to: 1,
    });
    assert.deepEqual(next([100], [file(1, 1, 90)]), { modifiedMs: 1, to: 0 });
  });

  it('moves nothing with a threshold of -1', () => {
    assert.equal(next([100, 1000], [file(0, 1, 90), file(2, 2), file(1, 1, 10, 0)], -1), null);
  });

  it('comes to rest with the newest in front, whatever comes and goes', () => {
    for (let seed = 1; seed <= 300; seed++) {
      try {
        simulate(seed);
      } catch (error) {
        throw new Error(`with seed ${seed}`, { cause: error });
      }
    }
  });
});

/** Random tiers, thresholds, files and pins; after each change the moves are made until there is none. */
function simulate(seed: number): void {
  const random = new SeededRandom(seed);
  const capacities = Array.from(
    { length: random.integer(1, 4) },
    (_, tier) => random.integer(50, 300) * (tier + 1),
  );
  const threshold = random.pick([0, 0.3, 0.5, 0.9, 1]);
  const pins = random.chance(0.5);
  let files: File[] = [];
  for (let step = 0, now = 0; step < 60; step++) {
    if (random.chance(0.3)) files = files.filter(() => !random.chance(0.3));
    const bytes = random.integer(1, 40);
    const pin = pins && random.chance(0.2) ? random.integer(0, capacities.length - 1) : null;
    const tier = views(capacities, files).findIndex(
      ({ roomBytes }, at) => at >= (pin ?? 0) && bytes <= roomBytes,
    );
    if (tier >= 0) files.push({ tier, bytes, modifiedMs: ++now, pin });
    settle(capacities, files, threshold);
    assertAtRest(capacities, files, threshold);
  }
}

function settle(capacities: readonly number[], files: readonly File[], threshold: number): void {
  for (let moves = 0; ; moves++) {
    const move = nextMove(views(capacities, files), files, threshold);
    if (move === null) return;
    assert.ok(moves < 4 * files.length, 'files move to and fro');
    assert.notEqual(move.to, move.file.tier);
    assert.ok(move.file.pin === null || move.file.pin === move.to);
    move.file.tier = move.to;
    for (const { usedBytes, capacityBytes } of views(capacities, files))
      assert.ok(usedBytes <= capacityBytes);
  }
}

function assertAtRest(capacities: readonly number[], files: readonly File[], threshold: number): void {
  const tiers = views(capacities, files);
  const free = files.filter(({ pin }) => pin === null);
  for (let tier = 0; tier < capacities.length - 1; tier++) {
    const here = free.filter((each) => each.tier === tier);
    const { usedBytes } = tiers[tier]!;
    const limit = threshold * capacities[tier]!;
    if (usedBytes > limit)
      for (const { bytes } of here)
        assert.ok(
          tiers.slice(tier + 1).every(({ roomBytes }) => roomBytes < bytes),
          'a tier is too full although another has room',
        );
    const below = free.filter((each) => each.tier > tier);
    const newest = below.reduce<File | null>(
      (old, each) => (old && old.modifiedMs > each.modifiedMs ? old : each),
      null,
    );
    if (newest !== null)
      assert.ok(
        usedBytes + newest.bytes > limit || newest.bytes > tiers[tier]!.roomBytes,
        'the newest is not in front',
      );
  }
}
