import type { Logger } from '../../util/logger.ts';
import { nameOf } from '../records.ts';
import { type Cluster, NO_LEADER } from '../transport/cluster.ts';
import { BrokerError, isId, isRecoverable } from '../transport/errors.ts';
import { type Fetched, fetchFrom, type ReadOptions, type ReadPosition } from '../transport/reader.ts';
import type { RunningTask } from './running-task.ts';

const OPTIONS: ReadOptions = { maxWaitMs: 500, maxBytes: 8 << 20, maxPartitionBytes: 1 << 20 };
/** How long a fetch waits for records while others wait to be processed, whose partitions will soon be wanted again. */
const SHORT_WAIT_MS = 10;
const RETRY_MS = 200;

type Wanted = ReadonlyMap<string, { readonly task: RunningTask; readonly position: ReadPosition }>;

/** Fetches for all tasks, with one request at a time to each broker. */
export class Feeder {
  readonly #cluster: Cluster;
  readonly #logger: Logger;
  readonly #fed: () => void;
  readonly #busy = new Set<number>();
  #looking = false;
  #failure: unknown = null;

  /** @param fed called when something has arrived */
  constructor(cluster: Cluster, logger: Logger, fed: () => void) {
    this.#cluster = cluster;
    this.#logger = logger;
    this.#fed = fed;
  }

  /** Fetches what tasks want, where no fetch is under way. @throws what has made it fail for good */
  kick(tasks: readonly RunningTask[]): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#looking) return;
    const wanted = new Map<string, { task: RunningTask; position: ReadPosition }>();
    let maxWaitMs = OPTIONS.maxWaitMs;
    for (const task of tasks)
      for (const [name, input] of task.inputs) {
        const { topic, partition, fetchPosition } = input;
        if (task.wants(input))
          wanted.set(name, { task, position: { topic, partition, offset: fetchPosition } });
        else maxWaitMs = SHORT_WAIT_MS;
      }
    if (wanted.size === 0) return;
    this.#looking = true;
    void this.#start(wanted, { ...OPTIONS, maxWaitMs }).finally(() => {
      this.#looking = false;
    });
  }

  async #start(wanted: Wanted, options: ReadOptions): Promise<void> {
    try {
      const groups = await this.#byLeader([...wanted.values()].map(({ position }) => position));
      for (const [leader, positions] of groups) {
        if (this.#busy.has(leader)) continue;
        this.#busy.add(leader);
        void this.#fetch(leader, positions, wanted, options).finally(() => {
          this.#busy.delete(leader);
          this.#fed();
        });
      }
    } catch (error) {
      await this.#failed(error);
    }
  }

  /** Of topics that are gone by themselves: their fetch says so, and they hold up no others. */
  async #byLeader(positions: readonly ReadPosition[]): Promise<Map<number, ReadPosition[]>> {
    const gone = new Set<string>();
    for (const name of new Set(positions.map(({ topic }) => topic)))
      await this.#cluster.topic(name).catch((error: unknown) => {
        if (!isId(error, 'UNKNOWN_TOPIC_OR_PARTITION')) throw error;
        gone.add(name);
      });
    const groups = await this.#cluster.byLeader(positions.filter(({ topic }) => !gone.has(topic)));
    const none = positions.filter(({ topic }) => gone.has(topic));
    if (none.length > 0) groups.set(NO_LEADER, [...(groups.get(NO_LEADER) ?? []), ...none]);
    return groups;
  }

  async #fetch(
    leader: number,
    positions: readonly ReadPosition[],
    wanted: Wanted,
    options: ReadOptions,
  ): Promise<void> {
    const failures: unknown[] = [];
    try {
      for (const fetched of await fetchFrom(this.#cluster, leader, positions, options)) {
        const { task, position } = wanted.get(nameOf(fetched))!;
        if (fetched.error === null) task.feed(fetched, position.offset);
        else await this.#refused(task, fetched).catch((error) => failures.push(error));
      }
      if (failures.length > 0) throw failures.find((one) => !isRecoverable(one)) ?? failures[0];
    } catch (error) {
      await this.#failed(error);
    }
  }

  async #refused(task: RunningTask, fetched: Fetched): Promise<void> {
    if (fetched.error !== 'OFFSET_OUT_OF_RANGE')
      throw new BrokerError(fetched.error!, `fetch from ${nameOf(fetched)}`);
    this.#logger.warn({ partition: nameOf(fetched) }, 'the committed offset is no longer there');
    await task.reset(task.inputs.get(nameOf(fetched))!);
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#cluster.closed) return;
    if (!isRecoverable(error)) {
      this.#failure = error;
      return;
    }
    this.#logger.warn({ error: (error as Error).message }, 'fetching failed; trying again');
    this.#cluster.forget();
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
