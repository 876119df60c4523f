import assert from 'node:assert/strict';
import { describeSimulation } from '../../../util/testing/simulation.ts';
import { AcknowledgeType, type Acquired } from '../in-flight.ts';
import { SETTINGS, ShareWorld } from './share-world.ts';

const MEMBERS = ['a', 'b', 'c', 'd'];
const STEPS = 200;

const { ACCEPT, RELEASE, REJECT, RENEW } = AcknowledgeType;

/** What a member says of what it got: mostly that it is done, sometimes nothing at all. */
function work(world: ShareWorld, member: string, acquired: readonly Acquired[]): void {
  const { random } = world;
  for (const each of acquired) {
    const act = random.next();
    const type = act < 0.6 ? ACCEPT : act < 0.75 ? RELEASE : act < 0.85 ? REJECT : act < 0.92 ? RENEW : null;
    if (type === null) continue;
    world.acknowledge(member, partOf(world, each), type);
  }
}

function partOf({ random }: ShareWorld, range: Acquired): Acquired {
  if (random.chance(0.6)) return range;
  const size = Number(range.lastOffset - range.firstOffset) + 1;
  const from = random.below(size);
  const to = random.integer(from, size - 1);
  return {
    ...range,
    firstOffset: range.firstOffset + BigInt(from),
    lastOffset: range.firstOffset + BigInt(to),
  };
}

async function disturb(world: ShareWorld): Promise<void> {
  const { random } = world;
  if (random.chance(0.7)) world.produce();
  world.lossRate = random.chance(0.3) ? 0.3 : 0;
  world.duplicationRate = random.chance(0.3) ? 0.5 : 0;
  world.log.failureRate = random.chance(0.1) ? 0.5 : 0;
  for (const member of MEMBERS) {
    if (random.chance(0.6)) world.fetch(member, (acquired) => work(world, member, acquired));
    else if (random.chance(0.1)) world.leave(member);
  }
  await world.run(random.integer(0, 4_000));
  if (random.chance(0.04)) {
    world.crash();
    await world.start();
  }
  await world.reopen();
}

/** Everybody works as they should until nothing is left. */
async function settle(world: ShareWorld): Promise<void> {
  world.lossRate = 0;
  world.duplicationRate = 0;
  world.log.failureRate = 0;
  await world.run(SETTINGS.lockDurationMs + 5_000);
  await world.reopen();
  for (let round = 0; round < 2_000 && world.share!.inFlight.startOffset < world.end; round++) {
    for (const member of MEMBERS)
      world.fetch(member, (acquired) => {
        for (const each of acquired) world.acknowledge(member, each, ACCEPT);
      });
    await world.run(3_000);
  }
}

/** One life of the world; returns its fingerprint. */
async function simulate(seed: number) {
  const world = new ShareWorld(seed);
  await world.start();
  for (let step = 0; step < STEPS; step++) await disturb(world);
  await settle(world);
  assert.equal(world.share!.inFlight.startOffset, world.end, 'records are left');
  assert.equal(world.share!.inFlight.acquiredCount, 0);
  world.checker.assertComplete(world.end);
  // What was stored says the same.
  world.crash();
  await world.start();
  assert.equal(world.share!.inFlight.startOffset, world.end);
  assert.ok(world.log.size < 2_000, `${world.log.size} records are kept`);
  world.crash();
  assert.equal(world.clock.pending, 0, 'timers are left after the end');
  const { accepted, redelivered } = world.checker;
  return { digest: world.digest(), happened: { accepted, redelivered } };
}

describeSimulation('share partitions', simulate);
