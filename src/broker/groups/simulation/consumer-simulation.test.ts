import assert from 'node:assert/strict';
import { describeSimulation } from '../../../util/testing/simulation.ts';
import { topicId } from '../coordinator.fixture.ts';
import { OwnershipChecker } from './ownership-checker.ts';
import { SimulatedConsumer } from './simulated-consumer.ts';
import { World } from './world.ts';

const GROUPS = ['alpha', 'beta'];
const CONSUMERS_PER_GROUP = 5;
const TOPICS: Readonly<Record<string, number>> = { events: 7, audits: 3 };
const SUBSCRIPTIONS = [['events'], ['events', 'audits'], ['audits'], ['events', 'missing']];
const STEPS = 150;

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

/** A topic is deleted, or one of its name made, which has another id. */
function changeTopic({ world }: Life, topic: string): void {
  const count = world.topics.byName(topic) === null ? world.random.integer(1, 9) : 0;
  world.topics.set(topic, count, topicId(`${topic} ${world.topics.version}`));
  world.coordinator?.topicChanged(topic);
}

function disturb(life: Life): void {
  const { world, consumers } = life;
  const { random } = world;
  if (random.chance(0.08)) changeTopic(life, random.pick(Object.keys(TOPICS)));
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

/** When nothing is disturbed any more, every partition of every topic that somebody subscribes to has one owner. */
function assertShared({ consumers, world }: Life): void {
  for (const groupId of GROUPS) {
    const members = consumers.filter((consumer) => consumer.groupId === groupId && consumer.isUp);
    if (members.length === 0) continue;
    const shard = world.coordinator!.shardOf(groupId);
    assert.ok(typeof shard !== 'number');
    assert.equal(shard.groups.get(groupId)?.state, 'Stable', `${groupId} has not settled`);
    const subscribed = new Set(members.flatMap(({ topics }) => topics));
    const expected = [...subscribed].flatMap((name) => {
      const topic = world.topics.byName(name);
      return Array.from(
        { length: topic?.partitionCount ?? 0 },
        (_, partition) => `${topic?.id}:${partition}`,
      );
    });
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
async function simulate(seed: number) {
  const life = begin(seed);
  const { world, consumers } = life;
  for (let step = 0; step < STEPS; step++) {
    disturb(life);
    await world.run(world.random.integer(0, 8_000));
    if (world.random.chance(0.03)) await world.restartCoordinator();
  }
  // Those who are up settle.
  for (const topic of Object.keys(TOPICS)) if (world.topics.byName(topic) === null) changeTopic(life, topic);
  world.calm();
  await world.run(400_000);
  assertShared(life);
  await assertReplayed(life);
  assertShared(life);
  await world.end(consumers);
  return { digest: world.digest(), happened: { assignments: life.checker.assignments } };
}

describeSimulation('the consumer protocol', simulate);
