import assert from 'node:assert/strict';
import { describeSimulation } from '../../../util/testing/simulation.ts';
import { PARTITIONS, SimulatedClient, TOPIC } from './simulated-client.ts';
import { World } from './world.ts';

const GROUPS = ['alpha', 'beta', 'gamma'];
const CLIENTS_PER_GROUP = 5;
const STEPS = 150;

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
async function simulate(seed: number) {
  const world = new World(seed);
  world.topics.set(TOPIC, PARTITIONS);
  const clients = makeClients(world);
  world.startCoordinator();
  for (let step = 0; step < STEPS; step++) {
    disturb(world, clients);
    await world.run(world.random.integer(0, 8_000));
    if (world.random.chance(0.03)) await world.restartCoordinator();
  }
  // Those who are up settle.
  world.calm();
  await world.run(400_000);
  assertShared(clients);
  await world.end(clients);
  const { commits, assignments } = world.checker;
  return { digest: world.digest(), happened: { commits, assignments } };
}

describeSimulation('consumer groups', simulate);
