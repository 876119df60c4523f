import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { type Command, Option } from 'commander';
import type { Client, TopicHandle } from '../../client/index.ts';
import { MAX_TIMER_MS } from '../../util/clock.ts';
import { sinkOf, sourceOf } from './bench-memory.ts';
import { interrupt, interruptible } from './interruption.ts';
import { part, whole } from './number-options.ts';
import { Progress } from './progress.ts';
import { jsonOf, type PathOptions, pathOf, reachOf, type Target, target, withPath } from './target.ts';

interface BenchOptions extends Target, PathOptions {
  topic?: string;
  partitions: number;
  events: number;
  size: number;
  metadataSize: number;
  batchSize: number;
  maxInFlight: number;
  lingerMs?: number;
  acks: 'all' | '1';
  /** The part of the events whose data is pulled, and the part of that. */
  interest: number;
  selectivity: number;
  processes: number;
}

interface Phase {
  phase: 'push' | 'pull';
  path: string;
  events: number;
  bytes: number;
  seconds: number;
  eventsPerSecond: number;
  megabytesPerSecond: number;
  /** Of the benchmark's processes, per 10^9 bytes moved. */
  cpuSecondsPerGB: number;
}

const MAX_PROCESSES = 256;
/** Two of the largest events, which are pushed and then pulled in the same memory. */
const MOST_MEMORY = 2 ** 32;
const GIGABYTE = 1e9;

/** `kafabric direct-bench`: pushes events and pulls them again, in one process or several, and says how fast. */
export function addDirectBenchCommand(program: Command): void {
  withPath(target(program.command('direct-bench')), ['mapped'])
    .description('measure pushes and pulls of the direct API against a running gateway')
    .option('--topic <name>', 'an existing topic that is empty; new ones, removed at the end, when absent')
    .addOption(
      new Option('--partitions <n>', 'of a new topic')
        .argParser(whole(1, 2 ** 31 - 1))
        .default(1)
        .conflicts('topic'),
    )
    .option('--events <n>', 'events that each process pushes and pulls', whole(1), 1000)
    .option('--size <bytes>', 'data of one event', whole(0, 2 ** 31 - 1), 1_000_000)
    .option('--metadata-size <bytes>', 'metadata of one event, at least', whole(0, 2 ** 28), 0)
    .option('--batch-size <n>', 'events of one batch at most', whole(1), 128)
    .option('--max-in-flight <n>', 'batches of a partition under way at once, 1 to 5', whole(1, 5), 5)
    .option(
      '--linger-ms <ms>',
      'how long a batch waits for more events; adaptive when absent',
      whole(0, MAX_TIMER_MS),
    )
    .addOption(new Option('--acks <acks>', 'when a push counts').choices(['all', '1']).default('all'))
    .option('--interest <part>', 'part of the events whose data is pulled, 0 to 1', part, 1)
    .option('--selectivity <part>', 'part of each such event that is pulled, 0 to 1', part, 1)
    .option(
      '--processes <n>',
      'processes, each with a topic of its own, that push and then pull together',
      whole(1, MAX_PROCESSES),
      1,
    )
    .action(async (options: BenchOptions) => {
      if (options.processes > 1 && options.topic !== undefined)
        throw new Error('--topic and --processes: each process needs a topic of its own');
      const signal = interruptible();
      const show = (phase: Phase) =>
        process.stdout.write(`${options.json ? jsonOf(phase) : textOf(phase)}\n`);
      if (options.processes > 1) await benchTogether(options, show, signal);
      else if (process.send === undefined) await bench({ options, signal, show, go: async () => {} });
      else {
        // The parent wants no more of it, or is no more.
        process.once('disconnect', interrupt);
        if (!process.connected) interrupt();
        await bench({ options, signal, show: toParent, go: () => parentsGo(signal) });
      }
    });
}

interface Run {
  readonly options: BenchOptions;
  /** Ends it, without what it has made. */
  readonly signal: AbortSignal;
  readonly show: (phase: Phase) => void;
  /** Resolves when a phase may begin. */
  readonly go: () => Promise<void>;
}

async function bench(run: Run): Promise<void> {
  const { options, signal, show } = run;
  const { partitions } = options;
  // Other commands need not load it.
  const { Client } = await import('../../client/index.ts');
  const reach = await reachOf(options);
  const client = await Client.connect({ ...reach, signal, ...pathOf(options), sharedMaxBytes: MOST_MEMORY });
  const name = options.topic ?? `direct-bench-${randomBytes(4).toString('hex')}`;
  try {
    const topic =
      options.topic === undefined
        ? await client.createTopic(name, { partitions, configs: { 'max.message.bytes': '2147483647' } })
        : await client.openTopic(name);
    show(await push(client, topic, run));
    show(await pull(client, topic, run));
  } finally {
    if (options.topic === undefined) await client.deleteTopic(name).catch(() => undefined);
    client.close();
  }
}

/** How data moves, with the provider where that is libfabric. */
function named(path: string, { provider }: Client): string {
  return path === 'fabric' ? `${path} ${provider}` : path;
}

/** Begins to measure when all are ready. */
async function push(client: Client, topic: TopicHandle, { options, signal, go }: Run): Promise<Phase> {
  const { events, size, metadataSize, batchSize, maxInFlight, lingerMs, acks } = options;
  const producer = topic.producer({
    batchSize,
    maxInFlight,
    acks: acks === '1' ? 1 : 'all',
    ...(lingerMs === undefined ? {} : { lingerMs }),
  });
  const source = await sourceOf(client, size);
  const more = metadataSize > 0 ? { more: 'm'.repeat(metadataSize) } : {};
  const inUse: Promise<unknown>[] = [];
  await go();
  const progress = progressOf('pushed');
  const measured = begin();
  for (let i = 0; i < events; i++) {
    signal.throwIfAborted();
    const slot = i % source.slots;
    await inUse[slot];
    const pushed = producer.push({ i, ...more }, await source.next(slot));
    pushed.catch(seenLater);
    inUse[slot] = pushed;
    progress.add(size);
  }
  await Promise.all(inUse);
  const phase = measured('push', named(producer.path ?? client.path, client), events, events * size);
  await producer.close();
  source.release();
  return phase;
}

async function pull(client: Client, topic: TopicHandle, { options, signal, go }: Run): Promise<Phase> {
  const { events, size, interest, selectivity } = options;
  const isWanted = (metadata: unknown) => (metadata as { i: number }).i < events * interest;
  const sink = await sinkOf(client, isWanted, Math.round(size * selectivity));
  const consumer = topic.consumer(sink.options);
  await go();
  const progress = progressOf('pulled');
  signal.addEventListener('abort', () => void consumer.close().catch(() => undefined), { once: true });
  const measured = begin();
  let bytes = 0;
  let left = events;
  const pullNext = async () => {
    while (left-- > 0) {
      const taken = await sink.take((await consumer.pull())!);
      bytes += taken;
      progress.add(taken);
    }
  };
  try {
    await Promise.all(Array.from({ length: sink.atOnce }, pullNext));
  } catch (error) {
    signal.throwIfAborted(); // it was closed for that
    throw error;
  }
  const phase = measured('pull', named(client.path, client), events, bytes);
  await consumer.close();
  sink.release();
  return phase;
}

function begin() {
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  return (phase: Phase['phase'], path: string, events: number, bytes: number): Phase => {
    const seconds = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    return phaseOf(phase, path, events, bytes, seconds, (user + system) / 1e6);
  };
}

function phaseOf(
  phase: Phase['phase'],
  path: string,
  events: number,
  bytes: number,
  seconds: number,
  cpuSeconds: number,
): Phase {
  return {
    phase,
    path,
    events,
    bytes,
    seconds,
    eventsPerSecond: events / seconds,
    megabytesPerSecond: bytes / seconds / 1e6,
    cpuSecondsPerGB: bytes > 0 ? cpuSeconds / (bytes / GIGABYTE) : 0,
  };
}

/** Whoever waits for a slot learns what became of its event. */
const seenLater = () => undefined;

/** Of several processes each would say its own. */
function progressOf(what: string): Progress {
  return new Progress(what, process.send === undefined);
}

/** In a process of several: the parent says when all are ready. */
function parentsGo(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    process.once('message', () => resolve());
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    tell(process, 'ready');
  });
}

function toParent(phase: Phase): void {
  tell(process, phase);
  // Or the channel would keep the process from its end.
  if (phase.phase === 'pull' && process.connected) process.disconnect();
}

/** To a process that may be gone: of that `disconnect` tells. */
function tell(other: NodeJS.Process | ChildProcess, message: unknown): void {
  if (other.connected) other.send!(message as object, undefined, undefined, () => {});
}

/** Runs processes that begin each phase together; a phase lasts as long as the slowest of them. */
async function benchTogether(
  { processes }: BenchOptions,
  show: (phase: Phase) => void,
  signal: AbortSignal,
): Promise<void> {
  const workers = Array.from({ length: processes }, () => new Worker());
  const next = () => Promise.all(workers.map((worker) => worker.next()));
  const end = () => {
    for (const worker of workers) worker.end();
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    for (const phase of ['push', 'pull'] as const) {
      await next();
      for (const worker of workers) worker.go();
      const all = (await next()) as Phase[];
      const sum = (value: (one: Phase) => number) => all.reduce((total, one) => total + value(one), 0);
      const cpuSeconds = sum(({ cpuSecondsPerGB, bytes }) => (cpuSecondsPerGB * bytes) / GIGABYTE);
      const seconds = Math.max(...all.map((one) => one.seconds));
      const [events, bytes] = [sum((one) => one.events), sum((one) => one.bytes)];
      show(phaseOf(phase, all[0]!.path, events, bytes, seconds, cpuSeconds));
    }
    await Promise.all(workers.map((worker) => worker.ended));
  } catch (error) {
    signal.throwIfAborted(); // they ended for that
    throw error;
  } finally {
    end();
  }
}

/** A process of the benchmark: it says that it is ready for a phase, is told to go, and says how that was. */
class Worker {
  readonly #child = fork(process.argv[1]!, [...process.argv.slice(2), '--processes', '1']);
  readonly #messages: unknown[] = [];
  readonly ended: Promise<void>;
  #wake: () => void = () => {};

  constructor() {
    this.#child.on('message', (message) => {
      this.#messages.push(message);
      this.#wake();
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', () => {
        this.#wake();
        resolve();
      });
    });
  }

  /** The next thing that it says. */
  async next(): Promise<unknown> {
    while (this.#messages.length === 0) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(
          `a process of the benchmark ended with ${this.#child.signalCode ?? this.#child.exitCode}`,
        );
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#messages.shift();
  }

  go(): void {
    tell(this.#child, 'go');
  }

  /** Removes what it has made, and ends, unless it has. */
  end(): void {
    if (this.#child.connected) this.#child.disconnect();
  }
}

function textOf(phase: Phase): string {
  const { phase: name, path, events, seconds, eventsPerSecond, megabytesPerSecond, cpuSecondsPerGB } = phase;
  return `${name} (${path}): ${events} events in ${seconds.toFixed(2)} s, ${eventsPerSecond.toFixed(0)}/s, ${megabytesPerSecond.toFixed(0)} MB/s, ${cpuSecondsPerGB.toFixed(2)} s of client CPU per GB`;
}
