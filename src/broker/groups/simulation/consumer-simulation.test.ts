import assert from 'node:assert/strict';
import { topicId } from '../coordinator.fixture.ts';
import { OwnershipChecker } from './ownership-checker.ts';
import { SimulatedConsumer } from './simulated-consumer.ts';
import { SHARDS, World } from './world.ts';

const GROUPS = ['alpha', 'beta'];
const CONSUMERS_PER_GROUP = 5;
const TOPICS: Readonly<Record<string, number>> = { events: 7, audits: 3 };
const SUBSCRIPTIONS = [['events'], ['events', 'audits'], ['audits'], ['events', 'missing']];
const STEPS = 150;
/** As the simulation of the classic protocol. */
const SECONDS = Number(process.env.KAFABRIC_SIMULATION_SECONDS ?? 5);
const SEED = process.env.KAFABRIC_SIMULATION_SEED;

interface Life {
  readonly world: World;
  readonly checker: OwnershipChecker;
  readonly consumers: readonly SimulatedConsumer[];
}

function begin(seed: number): Life {
  const world = new World(seed);
  const checker = new OwnershipChecker();
  for (const [topic, count] of Object.entries(TOPICS)) world.topics.set(topic, count);
  const consumers = GROUPS.flatMap((groupId) =>
    Array.from({ length: CONSUMERS_PER_GROUP }, (_, i) => {
      // The last two claim the same instance id and fence each other.
      const instanceId = i >= 2 ? `instance-${Math.min(i, CONSUMERS_PER_GROUP - 2)}` : null;
      const topics = world.random.pick(SUBSCRIPTIONS);
      return new SimulatedConsumer(world, checker, { name: `${groupId}-${i}`, groupId, instanceId, topics });
    }),
  );
  for (const consumer of consumers) checker.add(consumer);
  world.startCoordinator();
  return { world, checker, consumers };
}

function disturb({ world, consumers }: Life): void {
  const { random } = world;
  const consumer = random.pick(consumers);
  const act = random.next();
  if (!consumer.isUp) consumer.start();
  else if (act < 0.15) consumer.leave();
  else if (act < 0.3) consumer.kill();
  else if (act < 0.45) consumer.pause(random.integer(1_000, 70_000));
  else if (act < 0.6) consumer.subscribe(random.pick(SUBSCRIPTIONS));
  world.lossRate = random.chance(0.2) ? 0.3 : 0;
  world.lagRate = random.chance(0.3) ? 0.2 : 0;
  world.duplicationRate = random.chance(0.3) ? 0.3 : 0;
  world.log.failureRate = random.chance(0.1) ? 0.5 : 0;
  world.log.slowRate = random.chance(0.2) ? 0.5 : 0;
}

function calm({ world }: Life): void {
  world.lossRate = 0;
  world.lagRate = 0;
  world.duplicationRate = 0;
  world.log.failureRate = 0;
  world.log.slowRate = 0;
}

async function restart(world: World): Promise<void> {
  world.stopCoordinator(world.random.chance(0.5));
  await world.run(world.random.integer(0, 15_000));
  world.startCoordinator();
}

/** When nothing is disturbed any more, every partition of every topic that somebody subscribes to has one owner. */
function assertShared({ consumers, world }: Life): void {
  for (const groupId of GROUPS) {
    const members = consumers.filter((consumer) => consumer.groupId === groupId && consumer.isUp);
    if (members.length === 0) continue;
    const shard = world.coordinator!.shardOf(groupId);
    assert.ok(typeof shard !== 'number');
    assert.equal(shard.groups.get(groupId)?.state, 'Stable', `${groupId} has not settled`);
    const subscribed = new Set(members.flatMap(({ topics }) => topics));
    const expected = [...subscribed].flatMap((topic) =>
      Array.from({ length: TOPICS[topic] ?? 0 }, (_, partition) => `${topicId(topic)}:${partition}`),
    );
    const owned = members.flatMap((member) => [...member.owned]);
    assert.deepEqual(owned.sort(), expected.sort(), `${groupId}: partitions without an owner, or with two`);
    assert.equal(new Set(members.map(({ epoch }) => epoch)).size, 1, `${groupId}: epochs differ`);
  }
}

/** What is read back is what was. */
async function assertReplayed({ world }: Life): Promise<void> {
  const state = () =>
    world.coordinator!.shards.flatMap(({ groups }) =>
      Array.from(groups.values(), (group) => {
        assert.ok(group.type === 'consumer');
        const { groupId, groupEpoch, assignmentEpoch, assignmentTimestampMs, metadataHash } = group;
        const members = [...group.members()].sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
        const targets = members.map(({ memberId }) => group.targetOf(memberId));
        return {
          groupId,
          groupEpoch,
          assignmentEpoch,
          assignmentTimestampMs,
          metadataHash,
          members,
          targets,
        };
      }),
    );
  const before = state();
  world.stopCoordinator(true);
  world.startCoordinator();
  await world.run(1_000);
  assert.deepEqual(state(), before);
}

/** One life of the world; returns its fingerprint. */
async function simulate(seed: number): Promise<{ digest: string; assignments: number }> {
  const life = begin(seed);
  const { world, consumers } = life;
  for (let step = 0; step < STEPS; step++) {
    disturb(life);
    await world.run(world.random.integer(0, 8_000));
    if (world.random.chance(0.03)) await restart(world);
  }
  // Those who are up settle.
  calm(life);
  await world.run(400_000);
  assertShared(life);
  await assertReplayed(life);
  assertShared(life);
  assert.equal(world.unanswered, 0, 'requests without an answer');
  for (const consumer of consumers) if (consumer.isUp) consumer.kill();
  await world.run(400_000);
  assert.equal(world.clock.pending, SHARDS, 'timers are left');
  for (const shard of world.coordinator!.shards)
    for (const group of shard.groups.values()) assert.equal(group.state, 'Empty');
  world.stopCoordinator(true);
  assert.equal(world.clock.pending, 0, 'timers are left after the end');
  return { digest: world.digest(), assignments: life.checker.assignments };
}

describe('simulation of the consumer protocol', function () {
  this.timeout((SECONDS + 60) * 1000);

  it('repeats itself with the same seed', async () => {
    assert.deepEqual(await simulate(1), await simulate(1));
    assert.notEqual((await simulate(2)).digest, (await simulate(3)).digest);
  });

  it('keeps its promises whatever happens', async () => {
    const endMs = Date.now() + SECONDS * 1000;
    let assignments = 0;
    for (let seed = SEED ? Number(SEED) : 100; Date.now() < endMs; seed++) {
      try {
        assignments += (await simulate(seed)).assignments;
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
      if (SEED) break;
    }
    assert.ok(assignments > 0, 'the simulation did nothing');
  });
});
