import assert from 'node:assert/strict';
import { TransactionVersion } from '../transaction.ts';
import { type Attempt, SimulatedProducer } from './simulated-producer.ts';
import { World } from './world.ts';

/** Longer runs: KAFABRIC_TRANSACTION_SEEDS=500. One seed again: KAFABRIC_TRANSACTION_SEED=123. */
const SEEDS = Number(process.env.KAFABRIC_TRANSACTION_SEEDS ?? 12);
const SEED = process.env.KAFABRIC_TRANSACTION_SEED;
const STEPS = 60;

function disturb(world: World): void {
  const { random } = world;
  world.lossRate = random.chance(0.3) ? 0.15 : 0;
  world.lagRate = random.chance(0.3) ? 0.15 : 0;
  world.failureRate = random.chance(0.15) ? 0.1 : 0;
}

function calm(world: World): void {
  world.lossRate = 0;
  world.lagRate = 0;
  world.failureRate = 0;
}

async function simulate(seed: number): Promise<{ world: World; attempts: Attempt[] }> {
  const world = new World(seed);
  const { random } = world;
  world.start();
  const versions = [TransactionVersion.classic, TransactionVersion.epochPerTransaction];
  // Two instances of one id fence each other; their protocols may differ.
  const producers = ['a', 'a', 'b', 'c', 'd'].map(
    (id, i) => new SimulatedProducer(world, id, `${id}${i}`, random.pick(versions)),
  );
  const failures: unknown[] = [];
  const runs = producers.map((producer) => producer.run().catch((error: unknown) => failures.push(error)));
  for (let step = 0; step < STEPS; step++) {
    disturb(world);
    await world.run(random.integer(1, 2_000));
    if (!random.chance(0.3)) continue;
    world.crash();
    await world.run(random.integer(0, 3_000));
    world.start();
  }
  calm(world);
  for (const producer of producers) producer.stop();
  await world.run(600_000);
  await Promise.all(runs);
  assert.deepEqual(failures, []);
  return { world, attempts: producers.flatMap(({ attempts }) => attempts) };
}

function check(world: World, attempts: readonly Attempt[]): { committed: number; aborted: number } {
  for (const partition of world.partitions) assert.equal(partition.isUnstable, false, 'a transaction hangs');
  for (const state of world.states()) assert.match(state, /^(Empty|Complete.*)$/);
  const outcomes = world.partitions.map((partition) => partition.outcomes());
  let committed = 0;
  let aborted = 0;
  for (const { tag, confirmed, end } of attempts) {
    const found = outcomes.map((outcome) => outcome.get(tag) ?? { committed: 0, aborted: 0 });
    const commits = found.reduce((sum, one) => sum + one.committed, 0);
    const aborts = found.reduce((sum, one) => sum + one.aborted, 0);
    assert.ok(commits === 0 || aborts === 0, `${tag} is committed in part`);
    if (end === 'committed') {
      committed++;
      assert.equal(aborts, 0, `${tag} was committed`);
      found.forEach((one, partition) => {
        const expected = confirmed.filter((index) => index === partition).length;
        assert.equal(one.committed, expected, `${tag} in partition ${partition}`);
      });
    } else if (end !== 'commit') {
      if (end === 'aborted') aborted++;
      assert.equal(commits, 0, `${tag} was not committed`);
    } else if (commits > 0) {
      assert.equal(commits, confirmed.length, `${tag} is committed as a whole`);
    }
  }
  return { committed, aborted };
}

describe('transaction simulation', () => {
  it('commits all or nothing, whatever crashes, fails, is lost, late or fenced', async () => {
    let committed = 0;
    let aborted = 0;
    const seeds = SEED === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(SEED)];
    for (const seed of seeds) {
      try {
        const { world, attempts } = await simulate(seed);
        const counts = check(world, attempts);
        committed += counts.committed;
        aborted += counts.aborted;
      } catch (error) {
        throw new Error(`KAFABRIC_TRANSACTION_SEED=${seed}`, { cause: error });
      }
    }
    assert.ok(committed > 20 * seeds.length, `only ${committed} transactions were committed`);
    assert.ok(aborted > 5 * seeds.length, `only ${aborted} transactions were aborted`);
  });
});
