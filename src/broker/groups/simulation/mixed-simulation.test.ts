import assert from 'node:assert/strict';
import { describeSimulation } from '../../../util/testing/simulation.ts';
import { topicId } from '../coordinator.fixture.ts';
import { OwnershipChecker } from './ownership-checker.ts';
import { CONSUMER_FORM, PARTITIONS, SimulatedClient, TOPIC } from './simulated-client.ts';
import { SimulatedConsumer } from './simulated-consumer.ts';
import { World } from './world.ts';

const GROUPS = ['alpha', 'beta'];
const OF_EACH_PROTOCOL = 3;
const STEPS = 150;

interface Life {
  readonly world: World;
  readonly clients: readonly (SimulatedClient | SimulatedConsumer)[];
  readonly checker: OwnershipChecker;
}

function begin(seed: number): Life {
  // Groups that are converted in both directions, or keep members of the classic protocol alone.
  const world = new World(seed, { migrationPolicy: seed % 2 === 0 ? 'bidirectional' : 'upgrade' });
  const checker = new OwnershipChecker(false);
  world.topics.set(TOPIC, PARTITIONS);
  const clients = GROUPS.flatMap((groupId) =>
    Array.from({ length: OF_EACH_PROTOCOL }, (_, i) => {
      // A static member that is upgraded, or taken back, keeps its instance id.
      const instanceId = i === 0 ? null : `instance-${i}`;
      const name = `${groupId}-${i}`;
      const identity = { name: `${name}-consumer`, groupId, instanceId, topics: [TOPIC] };
      const consumer = new SimulatedConsumer(world, checker, identity);
      checker.add(consumer);
      return [new SimulatedClient(world, `${name}-classic`, groupId, instanceId, CONSUMER_FORM), consumer];
    }).flat(),
  );
  world.startCoordinator();
  return { world, clients, checker };
}

function disturb({ world, clients }: Life): void {
  const { random } = world;
  const client = random.pick(clients);
  const act = random.next();
  if (!client.isUp) client.start();
  else if (act < 0.3) client.leave();
  else if (act < 0.5) client.kill();
  else if (act < 0.6) client.pause(random.integer(1_000, 70_000));
  world.lossRate = random.chance(0.2) ? 0.3 : 0;
  world.lagRate = random.chance(0.3) ? 0.2 : 0;
  world.log.failureRate = random.chance(0.05) ? 0.5 : 0;
  world.log.slowRate = random.chance(0.2) ? 0.5 : 0;
}

function partitionsOf(client: SimulatedClient | SimulatedConsumer): string[] {
  if (client instanceof SimulatedConsumer) return [...client.owned];
  return client.assignment.map((partition) => `${topicId(TOPIC)}:${partition}`);
}

/** When nothing is disturbed any more, every partition has one owner, of whichever protocol. */
function assertShared({ clients }: Life): void {
  const all = Array.from({ length: PARTITIONS }, (_, partition) => `${topicId(TOPIC)}:${partition}`);
  for (const groupId of GROUPS) {
    const members = clients.filter((client) => client.groupId === groupId && client.isUp);
    if (members.length === 0) continue;
    const owned = members.flatMap(partitionsOf);
    assert.deepEqual(owned.sort(), all.sort(), `${groupId}: partitions without an owner, or with two`);
  }
}

/** One life of the world; returns its fingerprint. */
async function simulate(seed: number) {
  const life = begin(seed);
  const { world, clients, checker } = life;
  const happened = { classicAlone: 0, mixed: 0, assignments: 0 };
  for (let step = 0; step < STEPS; step++) {
    disturb(life);
    await world.run(world.random.integer(0, 8_000));
    for (const { groups } of world.coordinator!.shards)
      for (const group of groups.values())
        if (group.type === 'consumer' && group.classicSize > 0)
          happened[group.classicSize === group.size ? 'classicAlone' : 'mixed']++;
    if (world.random.chance(0.03)) await world.restartCoordinator();
  }
  // Those who are up settle.
  world.calm();
  await world.run(400_000);
  assertShared(life);
  world.stopCoordinator(true);
  world.startCoordinator();
  await world.run(100_000);
  assertShared(life);
  await world.end(clients);
  happened.assignments = checker.assignments;
  return { digest: world.digest(), happened };
}

describeSimulation('groups of both protocols', simulate);
