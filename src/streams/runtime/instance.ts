import { createHash } from 'node:crypto';
import type { TopicPartition } from '../records.ts';
import { MemoryBudget, MemoryValues } from '../stores/value-storage.ts';
import type { Topology } from '../topology.ts';
import { deleteRecords } from '../transport/admin.ts';
import type { Cluster } from '../transport/cluster.ts';
import { isId } from '../transport/errors.ts';
import { Member } from '../transport/member.ts';
import { assignTasks } from './assignment.ts';
import { Feeder } from './feeder.ts';
import { type Layout, prepare, tasksOf } from './layout.ts';
import type { StreamsMetrics } from './metrics.ts';
import type { AppState, Settings } from './options.ts';
import { RunningTask } from './running-task.ts';
import type { Signal } from './signal.ts';
import { StateDirectory } from './state-directory.ts';
import type { TaskEnvironment } from './task.ts';

/** Records that a task processes before it is another's turn. */
const TURN_RECORDS = 200;
/** After so long of processing, heartbeats and commits get their turn: functions may be slow. */
const ROUND_MS = 50;
const IDLE_MS = 500;
const PURGE_MS = 30_000;

export interface Clusters {
  /** For writing, committing and looking up. */
  readonly writing: Cluster;
  /** For fetches, which wait. */
  readonly reading: Cluster;
  /** For the group, whose joins wait. */
  readonly group: Cluster;
}

export interface Owner {
  closing(): boolean;
  entered(state: AppState): void;
}

/** The tasks of one instance: joins the group, runs what it is given, commits. After an error `abandon`, then `run` again. */
export class Instance {
  readonly #topology: Topology;
  readonly #settings: Settings;
  readonly #metrics: StreamsMetrics;
  readonly #clusters: Clusters;
  readonly #signal: Signal;
  readonly #owner: Owner;
  readonly #budget: MemoryBudget;
  #directory: StateDirectory | null = null;
  readonly #tasks = new Map<string, RunningTask>();
  #layout: Layout | null = null;
  #member: Member | null = null;
  /** Counts turns: a round begins with the task behind the last one of the round before. */
  #turns = 0;
  #committedAt = 0;
  #purgedAt = 0;
  #purging = false;

  constructor(
    topology: Topology,
    settings: Settings,
    metrics: StreamsMetrics,
    clusters: Clusters,
    signal: Signal,
    owner: Owner,
  ) {
    this.#topology = topology;
    this.#settings = settings;
    this.#metrics = metrics;
    this.#clusters = clusters;
    this.#signal = signal;
    this.#owner = owner;
    this.#budget = new MemoryBudget(settings.stateMaxBytes);
  }

  /** Runs until the owner closes. @param committed called after each commit */
  async run(committed: () => void): Promise<void> {
    const { stateDir, applicationId } = this.#settings;
    if (stateDir !== null) this.#directory ??= await StateDirectory.make(stateDir, applicationId);
    this.#layout ??= await prepare(this.#clusters.writing, this.#topology, this.#settings);
    const member = this.#join();
    while (!this.#owner.closing()) {
      this.#owner.entered('rebalancing');
      const layout = this.#layout;
      const partitions = await member.join([...this.#tasks.keys()], (owned) => {
        const assigned = assignTasks([...layout.tasks.keys()], owned);
        return new Map(
          [...assigned].map(([id, tasks]) => [
            id,
            tasks.flatMap((task) => [...layout.tasks.get(task)!.inputs]),
          ]),
        );
      });
      this.#metrics.rebalances.inc();
      if (await this.#adopt(layout, partitions, member)) {
        this.#owner.entered('running');
        await this.#work(member, committed);
      }
      await this.#commit(member);
    }
    for (const task of this.#tasks.values()) task.close();
    this.#tasks.clear();
  }

  #join(): Member {
    const { applicationId, sessionTimeoutMs, heartbeatMs, rebalanceTimeoutMs } = this.#settings;
    this.#member ??= new Member(this.#clusters.group, {
      groupId: applicationId,
      topics: this.#layout!.sources,
      sessionTimeoutMs,
      heartbeatMs,
      rebalanceTimeoutMs,
      topology: createHash('sha256').update(this.#topology.describe()).digest('hex'),
      changed: () => this.#signal.give(),
    });
    return this.#member;
  }

  /** Closes the tasks that are others' now, opens those that are new, and restores their state. @returns false when it was interrupted */
  async #adopt(layout: Layout, partitions: readonly TopicPartition[], member: Member): Promise<boolean> {
    const planned = tasksOf(layout, partitions);
    const wanted = new Set(planned.map(({ id }) => id));
    for (const [id, task] of this.#tasks) {
      if (wanted.has(id)) continue;
      task.close();
      this.#tasks.delete(id);
    }
    const interrupted = () => this.#owner.closing() || member.rejoinNeeded;
    const context = {
      settings: this.#settings,
      environment: this.#environment(layout),
      cluster: this.#clusters.writing,
      reading: this.#clusters.reading,
      interrupted,
    };
    const fresh = planned.filter(({ id }) => !this.#tasks.has(id));
    const opening = fresh.map(async (task) =>
      this.#tasks.set(task.id, await RunningTask.open(task, context)),
    );
    await all(opening);
    this.#metrics.tasks.set(this.#tasks.size);
    await all([...this.#tasks.values()].map((task) => task.restore()));
    return !interrupted();
  }

  #environment(layout: Layout): TaskEnvironment {
    return {
      applicationId: this.#settings.applicationId,
      badRecords: this.#settings.badRecords,
      budget: this.#budget,
      metrics: this.#metrics,
      partitionsOf: (topic) => layout.partitions.get(topic)!,
      values: (task, store) => this.#directory?.open(task, store) ?? new MemoryValues(this.#budget, store),
    };
  }

  /** Processes and commits until the group rebalances or the owner closes. */
  async #work(member: Member, committed: () => void): Promise<void> {
    const { commitIntervalMs, logger } = this.#settings;
    const feeder = new Feeder(this.#clusters.reading, logger, () => this.#signal.give());
    while (!member.rejoinNeeded && !this.#owner.closing()) {
      const tasks = [...this.#tasks.values()];
      feeder.kick(tasks);
      const processed = await this.#round(tasks);
      const due = this.#committedAt + commitIntervalMs - performance.now();
      if (due <= 0 && tasks.some(({ dirty }) => dirty)) {
        await this.#commit(member);
        committed();
      }
      this.#measure(tasks);
      // Others of the process get their turn, and answers that have arrived.
      if (processed > 0) await new Promise((resolve) => setImmediate(resolve));
      else await this.#signal.wait(due > 0 ? Math.min(due, IDLE_MS) : IDLE_MS);
    }
  }

  /** Gives each task a turn, as far as there is time. @returns how many records were processed */
  async #round(tasks: readonly RunningTask[]): Promise<number> {
    const untilMs = performance.now() + ROUND_MS;
    let processed = 0;
    for (let i = 0; i < tasks.length && (processed === 0 || performance.now() < untilMs); i++)
      processed += await tasks[this.#turns++ % tasks.length]!.process(TURN_RECORDS, untilMs);
    return processed;
  }

  #measure(tasks: readonly RunningTask[]): void {
    this.#metrics.stateBytes.set(this.#budget.used);
    this.#metrics.buffered.set(tasks.reduce((sum, { buffered }) => sum + buffered, 0));
  }

  async #commit(member: Member): Promise<void> {
    this.#committedAt = performance.now();
    const dirty = [...this.#tasks.values()].filter((task) => task.dirty);
    await all(
      dirty.map(async (task) => {
        const end = this.#metrics.commitSeconds.startTimer();
        await task.commit(member.identity);
        end();
        this.#metrics.commits.inc();
      }),
    );
    this.#purge();
  }

  /** Deletes what has been processed from repartition topics, now and then: nobody else reads them. */
  #purge(): void {
    if (this.#purging || performance.now() - this.#purgedAt < PURGE_MS) return;
    this.#purgedAt = performance.now();
    const offsets = [...this.#tasks.values()]
      .flatMap(({ inputs }) => [...inputs.values()])
      .filter(({ topic, position }) => this.#layout!.repartitionTopics.has(topic) && position > 0)
      .map(({ topic, partition, position: offset }) => ({ topic, partition, offset }));
    if (offsets.length === 0) return;
    this.#purging = true;
    deleteRecords(this.#clusters.writing, offsets)
      .catch((error) =>
        this.#settings.logger.debug({ error: error.message }, 'repartition topics are not purged yet'),
      )
      .finally(() => {
        this.#purging = false;
      });
  }

  /**
   * Drops all tasks and what they have not committed.
   * @param error because of which: where that was a topic that is not there, the next run looks at all of them again
   * @param tell whether open transactions are aborted, so that nobody waits for their time-out: not when they will be taken over soon
   */
  async abandon(error: unknown, tell: boolean): Promise<void> {
    if (isId(error, 'UNKNOWN_TOPIC_OR_PARTITION', 'UNKNOWN_TOPIC_ID')) this.#layout = null;
    const tasks = [...this.#tasks.values()];
    this.#tasks.clear();
    this.#metrics.tasks.set(0);
    for (const task of tasks) task.close();
    if (tell) await Promise.allSettled(tasks.map((task) => task.abort()));
    for (const cluster of Object.values(this.#clusters) as Cluster[]) cluster.forget();
  }

  /** Leaves the group. */
  async leave(): Promise<void> {
    await this.#member?.leave().catch(() => undefined);
    await this.#directory?.remove();
  }
}

/** Rejects when one does, once all have ended. */
async function all(promises: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises))
    if (result.status === 'rejected') throw result.reason;
}
