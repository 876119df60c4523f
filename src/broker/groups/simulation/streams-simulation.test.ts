import assert from 'node:assert/strict';
import { describeSimulation } from '../../../util/testing/simulation.ts';
import { topologyOf } from '../streams/streams.fixture.ts';
import { taskName } from '../streams/tasks.ts';
import { SimulatedStreamThread } from './simulated-stream-thread.ts';
import { TaskChecker } from './task-checker.ts';
import { World } from './world.ts';

const GROUPS = ['alpha', 'beta'];
const PROCESSES_PER_GROUP = 3;
const THREADS_PER_PROCESS = 2;
const STEPS = 150;

interface Life {
  readonly world: World;
  readonly checker: TaskChecker;
  readonly threads: readonly SimulatedStreamThread[];
  /** How many partitions `events` has. */
  partitions: number;
}

function begin(seed: number): Life {
  const world = new World(seed);
  const checker = new TaskChecker();
  const partitions = 5;
  world.topics.set('events', partitions);
  const threads = GROUPS.flatMap((groupId) => {
    const topology = topologyOf(
      { id: '0', sources: ['events'], sinks: [`${groupId}-words`] },
      { id: '1', repartitions: { [`${groupId}-words`]: 4 }, changelogs: [`${groupId}-counts`] },
    );
    return Array.from({ length: PROCESSES_PER_GROUP * THREADS_PER_PROCESS }, (_, i) => {
      const processId = `${groupId}-${Math.floor(i / THREADS_PER_PROCESS)}`;
      return new SimulatedStreamThread(world, checker, {
        name: `${groupId}-${i}`,
        groupId,
        processId,
        topology,
      });
    });
  });
  for (const thread of threads) checker.add(thread);
  world.startCoordinator();
  return { world, checker, threads, partitions };
}

function disturb(life: Life): void {
  const { world, threads } = life;
  const { random } = world;
  const thread = random.pick(threads);
  const act = random.next();
  if (!thread.isUp) thread.start();
  else if (act < 0.15) thread.leave();
  else if (act < 0.3) thread.kill();
  else if (act < 0.45) thread.pause(random.integer(1_000, 70_000));
  else if (act < 0.48) {
    world.topics.set('events', ++life.partitions);
    world.coordinator?.topicChanged('events');
  }
  world.lossRate = random.chance(0.2) ? 0.3 : 0;
  world.lagRate = random.chance(0.3) ? 0.2 : 0;
  world.duplicationRate = random.chance(0.3) ? 0.3 : 0;
  world.log.failureRate = random.chance(0.1) ? 0.5 : 0;
  world.log.slowRate = random.chance(0.2) ? 0.5 : 0;
}

/** When nothing is disturbed any more, every task is active once, and has a copy in another instance if there is one. */
function assertShared({ threads, world, partitions }: Life): void {
  for (const groupId of GROUPS) {
    const members = threads.filter((thread) => thread.groupId === groupId && thread.isUp);
    if (members.length === 0) continue;
    const shard = world.coordinator!.shardOf(groupId);
    assert.ok(typeof shard !== 'number');
    assert.equal(shard.groups.get(groupId)?.state, 'Stable', `${groupId} has not settled`);
    const tasks = (id: string, count: number) =>
      Array.from({ length: count }, (_, partition) => taskName(id, partition));
    const owned = members.flatMap((member) => [...member.owned.active]);
    const expected = [...tasks('0', partitions), ...tasks('1', 4)];
    assert.deepEqual(owned.sort(), expected.sort(), `${groupId}: tasks without a member, or with two`);
    const instances = new Set(members.map(({ processId }) => processId)).size;
    const copies = members.flatMap((member) => [...member.owned.standby]);
    assert.deepEqual(copies.sort(), instances > 1 ? tasks('1', 4) : [], `${groupId}: copies`);
    assert.equal(new Set(members.map(({ epoch }) => epoch)).size, 1, `${groupId}: epochs differ`);
  }
}

/** What is read back is what was. */
async function assertReplayed({ world }: Life): Promise<void> {
  const state = () =>
    world.coordinator!.shards.flatMap(({ groups }) =>
      Array.from(groups.values(), (group) => {
        assert.ok(group.type === 'streams');
        const { groupId, groupEpoch, assignmentEpoch, assignmentTimestampMs, metadataHash } = group;
        const { validatedTopologyEpoch, assignmentConfigs, topology } = group;
        const members = [...group.members()].sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
        const targets = members.map(({ memberId }) => group.targetOf(memberId));
        return {
          ...{ groupId, groupEpoch, assignmentEpoch, assignmentTimestampMs, metadataHash },
          ...{ validatedTopologyEpoch, assignmentConfigs, topology, members, targets },
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
  const { world, threads } = life;
  for (let step = 0; step < STEPS; step++) {
    disturb(life);
    await world.run(world.random.integer(0, 8_000));
    if (world.random.chance(0.03)) await world.restartCoordinator();
  }
  // Those who are up settle.
  world.calm();
  await world.run(400_000);
  assertShared(life);
  await assertReplayed(life);
  assertShared(life);
  await world.end(threads);
  return { digest: world.digest(), happened: { assignments: life.checker.assignments } };
}

describeSimulation('streams groups', simulate);
