import assert from 'node:assert/strict';
import { topologyOf } from '../streams/streams.fixture.ts';
import { taskName } from '../streams/tasks.ts';
import { SimulatedStreamThread } from './simulated-stream-thread.ts';
import { TaskChecker } from './task-checker.ts';
import { SHARDS, World } from './world.ts';

const GROUPS = ['alpha', 'beta'];
const PROCESSES_PER_GROUP = 3;
const THREADS_PER_PROCESS = 2;
const STEPS = 150;
/** As the simulation of the classic protocol. */
const SECONDS = Number(process.env.KAFABRIC_SIMULATION_SECONDS ?? 5);
const SEED = process.env.KAFABRIC_SIMULATION_SEED;

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
async function simulate(seed: number): Promise<{ digest: string; assignments: number }> {
  const life = begin(seed);
  const { world, threads } = life;
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
  for (const thread of threads) if (thread.isUp) thread.kill();
  await world.run(400_000);
  assert.equal(world.clock.pending, SHARDS, 'timers are left');
  for (const shard of world.coordinator!.shards)
    for (const group of shard.groups.values()) assert.equal(group.state, 'Empty');
  world.stopCoordinator(true);
  assert.equal(world.clock.pending, 0, 'timers are left after the end');
  return { digest: world.digest(), assignments: life.checker.assignments };
}

describe('simulation of streams groups', function () {
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
