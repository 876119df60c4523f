import { bytesOf, nameOf, type RawRecord, type TopicPartition } from '../records.ts';
import { committed, listOffsets } from '../transport/admin.ts';
import type { Cluster } from '../transport/cluster.ts';
import { BrokerError } from '../transport/errors.ts';
import { type Fetched, fetchFrom, type ReadOptions, type ReadPosition } from '../transport/reader.ts';
import { type GroupIdentity, Writer } from '../transport/writer.ts';
import type { PlannedTask } from './layout.ts';
import type { Settings } from './options.ts';
import { Task, type TaskEnvironment } from './task.ts';

/** Output that gathers before it is sent, in bytes. */
const MAX_OUTPUT_BYTES = 1 << 20;
/** Of a partition of which so many bytes wait nothing more is fetched. */
const MAX_BUFFERED_BYTES = 16 << 20;
const RESTORE: ReadOptions = { maxWaitMs: 100, maxBytes: 8 << 20, maxPartitionBytes: 4 << 20 };

interface Input extends TopicPartition {
  /** Where processing goes on. */
  position: number;
  /** Where fetching goes on. */
  fetchPosition: number;
  /** Whether the last fetch reached the end of what was there. */
  atEnd: boolean;
  queue: RawRecord[];
  /** Of the first in the queue that is not processed. */
  head: number;
  /** Of those that are not processed. */
  bytes: number;
}

/** A changelog that is being read. */
interface Changelog extends ReadPosition {
  offset: number;
  /** What it had when the task was taken over: since then nobody else writes to it. */
  readonly end: number;
}

export interface RunningTaskContext {
  readonly settings: Settings;
  readonly environment: TaskEnvironment;
  /** For writing, and for restoring state. */
  readonly cluster: Cluster;
  readonly reading: Cluster;
  /** Whether restoring is to pause. */
  interrupted(): boolean;
}

/** A task with its inputs and its writer. */
export class RunningTask {
  readonly id: string;
  readonly inputs: ReadonlyMap<string, Input>;
  readonly #task: Task;
  readonly #writer: Writer;
  readonly #context: RunningTaskContext;
  /** Those that are not read to their end. */
  #changelogs: Changelog[];
  #dirty = false;
  #closed = false;

  private constructor(
    task: Task,
    writer: Writer,
    inputs: Map<string, Input>,
    changelogs: Changelog[],
    context: RunningTaskContext,
  ) {
    this.id = task.id;
    this.inputs = inputs;
    this.#task = task;
    this.#writer = writer;
    this.#changelogs = changelogs;
    this.#context = context;
  }

  /** Takes the task over: fences whoever had it, then reads what was committed. It may run when `restore` has come to the end. */
  static async open(planned: PlannedTask, context: RunningTaskContext): Promise<RunningTask> {
    const { settings, cluster } = context;
    const { applicationId, exactlyOnce, transactionTimeoutMs, compression } = settings;
    const writer = new Writer(cluster, {
      transactionalId: exactlyOnce ? `${applicationId}-${planned.id}` : null,
      transactionTimeoutMs,
      compression,
    });
    await writer.start();
    const task = new Task(planned.subTopology, planned.partition, context.environment);
    try {
      const inputs = await openInputs(planned, task, context);
      return new RunningTask(task, writer, inputs, await openChangelogs(task, context), context);
    } catch (error) {
      task.close();
      throw error;
    }
  }

  /**
   * Reads the changelogs up to their ends. What a rebalance interrupts goes on when it is called again: whoever keeps the task
   * has its state so far.
   * @returns whether it came to the end
   */
  async restore(): Promise<boolean> {
    const { reading, environment } = this.#context;
    for (;;) {
      const open = this.#changelogs.filter(({ offset, end }) => offset < end);
      this.#changelogs = open;
      if (open.length === 0) return true;
      if (this.#context.interrupted()) return false;
      await reading.retry(async () => {
        for (const [leader, group] of await reading.byLeader(open)) {
          for (const fetched of await fetchFrom(reading, leader, group, RESTORE)) {
            const name = nameOf(fetched);
            if (fetched.error !== null) throw new BrokerError(fetched.error, `restore from ${name}`);
            for (const record of fetched.records) this.#task.restore(fetched.topic, record);
            environment.metrics.restored.inc(fetched.records.length);
            open.find((log) => nameOf(log) === name)!.offset = fetched.nextOffset;
          }
        }
      });
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether it has done what is not committed. */
  get dirty(): boolean {
    return this.#dirty;
  }

  get buffered(): number {
    let records = 0;
    for (const { queue, head } of this.inputs.values()) records += queue.length - head;
    return records;
  }

  wants(input: Input): boolean {
    const records = input.queue.length - input.head;
    return records < this.#context.settings.maxBufferedRecords && input.bytes < MAX_BUFFERED_BYTES;
  }

  /** Takes what a fetch from `offset` has brought. */
  feed(fetched: Fetched, offset: number): void {
    const input = this.inputs.get(nameOf(fetched));
    if (this.#closed || input === undefined || input.fetchPosition !== offset) return;
    input.queue = input.queue.slice(input.head);
    input.head = 0;
    for (const record of fetched.records) {
      input.queue.push(record);
      input.bytes += bytesOf(record);
    }
    input.fetchPosition = fetched.nextOffset;
    input.atEnd = fetched.atEnd;
    // What was left out (markers, aborted records) is committed with the next record.
    if (input.queue.length === 0) input.position = fetched.nextOffset;
  }

  /** The offset where fetching goes on is gone: it goes on where the topic begins or ends, after what has been fetched. */
  async reset(input: Input): Promise<void> {
    const which = this.#task.startOf(input.topic);
    const found = await listOffsets(this.#context.cluster, [input], which);
    if (this.#closed) return;
    input.fetchPosition = found.get(nameOf(input))!;
    input.atEnd = false;
    if (input.head === input.queue.length) input.position = input.fetchPosition;
  }

  /** The oldest record of all inputs; none while an input is empty whose next record may be older. */
  #next(): Input | null {
    let first: Input | null = null;
    for (const input of this.inputs.values()) {
      const record = input.queue[input.head];
      if (record === undefined) {
        if (!input.atEnd) return null;
      } else if (first === null || record.timestamp < first.queue[first.head]!.timestamp) first = input;
    }
    return first;
  }

  /**
   * @param untilMs when, by `performance.now`, no further record is begun; one is in any case
   * @returns how many records it has processed, at most `limit`. @throws as `Task.process`, and errors of writing
   */
  async process(limit: number, untilMs = Number.POSITIVE_INFINITY): Promise<number> {
    let done = 0;
    while (done < limit && (done === 0 || performance.now() < untilMs)) {
      const input = this.#next();
      if (input === null) break;
      const record = input.queue[input.head++]!;
      input.bytes -= bytesOf(record);
      this.#dirty = true;
      this.#task.process(record);
      input.position = input.head === input.queue.length ? input.fetchPosition : record.offset + 1;
      done++;
      if (this.#task.outputBytes >= MAX_OUTPUT_BYTES) await this.#writer.write(this.#task.takeOutput());
    }
    return done;
  }

  /** Makes what it has done count. */
  async commit(group: GroupIdentity): Promise<void> {
    if (!this.#dirty) return;
    await this.#writer.write(this.#task.takeOutput());
    const metadata = `t=${this.#task.streamTime}`;
    const offsets = [...this.inputs.values()].map(({ topic, partition, position }) => ({
      topic,
      partition,
      offset: position,
      metadata,
    }));
    await this.#writer.commit(group, offsets);
    this.#dirty = false;
  }

  /** Gives up what is not committed; the brokers are told, if they can be. */
  async abort(): Promise<void> {
    this.close();
    await this.#writer.abort();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#task.close();
  }
}

async function openInputs(
  planned: PlannedTask,
  task: Task,
  { settings, cluster }: RunningTaskContext,
): Promise<Map<string, Input>> {
  const offsets = await committed(cluster, settings.applicationId, planned.inputs);
  const inputs = new Map<string, Input>();
  for (const { topic, partition } of planned.inputs) {
    const name = nameOf({ topic, partition });
    const found = offsets.get(name) ?? null;
    const time = Number(/^t=(\d+)$/.exec(found?.metadata ?? '')?.[1] ?? -1);
    task.streamTime = Math.max(task.streamTime, time);
    const position =
      found?.offset ?? (await listOffsets(cluster, [{ topic, partition }], task.startOf(topic))).get(name)!;
    inputs.set(name, {
      topic,
      partition,
      position,
      fetchPosition: position,
      atEnd: false,
      queue: [],
      head: 0,
      bytes: 0,
    });
  }
  return inputs;
}

async function openChangelogs({ changelogs }: Task, { cluster }: RunningTaskContext): Promise<Changelog[]> {
  if (changelogs.length === 0) return [];
  const starts = await listOffsets(cluster, changelogs, 'earliest');
  const ends = await listOffsets(cluster, changelogs, 'latest');
  return changelogs.map((log) => ({ ...log, offset: starts.get(nameOf(log))!, end: ends.get(nameOf(log))! }));
}
