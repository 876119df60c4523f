import assert from 'node:assert/strict';
import { PARTITIONS, SimulatedClient } from './simulated-client.ts';
import { SHARDS, World } from './world.ts';

const GROUPS = ['alpha', 'beta', 'gamma'];
const CLIENTS_PER_GROUP = 5;
const STEPS = 150;
/** Longer runs: KAFABRIC_SIMULATION_SECONDS=600. One seed again: KAFABRIC_SIMULATION_SEED=123. */
const SECONDS = Number(process.env.KAFABRIC_SIMULATION_SECONDS ?? 5);
const SEED = process.env.KAFABRIC_SIMULATION_SEED;

function makeClients(world: World): SimulatedClient[] {
  return GROUPS.flatMap((groupId) =>
    Array.from({ length: CLIENTS_PER_GROUP }, (_, i) => {
      // The last two claim the same instance id and fence each other.
      const instanceId = i >= 2 ? `instance-${Math.min(i, CLIENTS_PER_GROUP - 2)}` : null;
      return new SimulatedClient(world, `${groupId}-${i}`, groupId, instanceId);
    }),
  );
}

function disturb(world: World, clients: readonly SimulatedClient[]): void {
  const { random } = world;
  const client = random.pick(clients);
  const act = client.isUp ? random.next() : 1;
  if (act < 0.15) client.leave();
  else if (act < 0.3) client.kill();
  else if (act < 0.5) client.pause(random.integer(1_000, 40_000));
  else if (!client.isUp) client.start();
  for (const each of clients) if (random.chance(0.4)) each.commit();
  world.lossRate = random.chance(0.2) ? 0.3 : 0;
  world.lagRate = random.chance(0.3) ? 0.2 : 0;
  world.log.failureRate = random.chance(0.1) ? 0.5 : 0;
  world.log.slowRate = random.chance(0.2) ? 0.5 : 0;
}

function calm(world: World): void {
  world.lossRate = 0;
  world.lagRate = 0;
  world.log.failureRate = 0;
  world.log.slowRate = 0;
}

async function restart(world: World): Promise<void> {
  world.stopCoordinator(world.random.chance(0.5));
  await world.run(world.random.integer(0, 15_000));
  world.startCoordinator();
}

/** When nothing is disturbed any more, every group with members shares out all partitions. */
function assertShared(clients: readonly SimulatedClient[]): void {
  for (const groupId of GROUPS) {
    const members = clients.filter((client) => client.groupId === groupId && client.isUp);
    if (members.length === 0) continue;
    for (const { name, state } of members) assert.equal(state, 'stable', `${name} has not settled`);
    assert.equal(
      new Set(members.map(({ generation }) => generation)).size,
      1,
      `${groupId}: generations differ`,
    );
    const owned = members.flatMap(({ assignment }) => assignment).sort((a, b) => a - b);
    assert.deepEqual(
      owned,
      Array.from({ length: PARTITIONS }, (_, p) => p),
    );
  }
}

/** One life of the world; returns its fingerprint. */
async function simulate(seed: number): Promise<{ digest: string; commits: number; assignments: number }> {
  const world = new World(seed);
  const clients = makeClients(world);
  world.startCoordinator();
  for (let step = 0; step < STEPS; step++) {
    disturb(world, clients);
    await world.run(world.random.integer(0, 8_000));
    if (world.random.chance(0.03)) await restart(world);
  }
  // Those who are up settle.
  calm(world);
  await world.run(400_000);
  assertShared(clients);
  assert.equal(world.unanswered, 0, 'requests without an answer');
  // The end: the sessions of the silent run out and nothing is left but each shard's look for expired offsets.
  for (const client of clients) if (client.isUp) client.kill();
  await world.run(400_000);
  assert.equal(world.clock.pending, SHARDS, 'timers are left');
  for (const shard of world.coordinator!.shards)
    for (const group of shard.groups.values()) assert.equal(group.state, 'Empty');
  world.stopCoordinator(true);
  assert.equal(world.clock.pending, 0, 'timers are left after the end');
  const { commits, assignments } = world.checker;
  return { digest: world.digest(), commits, assignments };
}

describe('simulation of consumer groups', function () {
  this.timeout((SECONDS + 60) * 1000);

  it('repeats itself with the same seed', async () => {
    assert.deepEqual(await simulate(1), await simulate(1));
    assert.notEqual((await simulate(2)).digest, (await simulate(3)).digest);
  });

  it('keeps its promises whatever happens', async () => {
    const endMs = Date.now() + SECONDS * 1000;
    let commits = 0;
    let assignments = 0;
    for (let seed = SEED ? Number(SEED) : 100; Date.now() < endMs; seed++) {
      try {
        const result = await simulate(seed);
        commits += result.commits;
        assignments += result.assignments;
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
      if (SEED) break;
    }
    assert.ok(commits > 0 && assignments > 0, 'the simulation did nothing');
  });
});
