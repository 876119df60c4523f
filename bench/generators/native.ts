import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Load, type LoadOptions, type Report } from './load.ts';

export type NativeLoad = 'produce' | 'consume' | 'latency' | 'transactions' | 'group' | 'raw';

export interface NativeArguments {
  topic: string;
  /** librdkafka properties. */
  properties?: Record<string, string>;
  size?: number;
  seconds?: number;
  bytes?: number;
  records?: number;
  /** Keys that the records have in turn. */
  keys?: number;
  clients?: number;
  partitions?: number;
  entropy?: number;
  rate?: number;
  idle?: number;
  interval?: number;
  depth?: number;
  /** Seconds of a schedule that come before what is measured. */
  lead?: number;
  /** 1: a load with a schedule counts its requests, too. */
  count?: number;
  /** Records of a transaction. */
  transaction?: number;
  /** Seconds between commits. */
  commit?: number;
  /** Of the consumers of all hosts, those of this one: part 0 of 2. */
  part?: number;
  parts?: number;
  config?: string;
}

/** The arguments of the C program; undefined options keep its defaults. */
export function nativeCommand(
  program: string,
  what: string,
  bootstrap: string,
  { properties = {}, ...options }: NativeArguments,
): string[] {
  const own = Object.entries({ bootstrap, ...options })
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `${name}=${value}`);
  const theirs = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
  return [program, what, ...own, ...(theirs.length > 0 ? ['--', ...theirs] : [])];
}

/** Producer properties with which librdkafka is not the limit: large requests, a queue that is never empty. */
export function producerProperties(acks: string, compression = 'none'): Record<string, string> {
  return {
    acks,
    'compression.codec': compression,
    'linger.ms': '5',
    'batch.size': '1000000',
    'message.max.bytes': '100000000',
    'queue.buffering.max.messages': '1000000',
    'queue.buffering.max.kbytes': '131072',
  };
}

/** A consumer that never pauses fetching because its own queue is full. */
export const consumerProperties: Record<string, string> = {
  'fetch.message.max.bytes': '16777216',
  'queued.min.messages': '10000000',
  'queued.max.messages.kbytes': '1000000',
};

/** The C generator against one broker. */
export class NativeGenerator {
  readonly program: string;
  readonly #bootstrap: string;

  constructor(program: string, bootstrap: string) {
    this.program = program;
    this.#bootstrap = bootstrap;
  }

  load(what: NativeLoad, options: NativeArguments, events: LoadOptions = {}): Load {
    return new Load(nativeCommand(this.program, what, this.#bootstrap, options), events);
  }

  /** Starts a load at once and resolves to its figures. */
  async run(what: NativeLoad, options: NativeArguments): Promise<Report> {
    const load = this.load(what, options);
    await load.ready;
    load.go();
    return load.report;
  }

  async createTopics(names: string[], partitions: number, config: Record<string, string>): Promise<number> {
    return this.#admin('create', { topic: names.join(','), partitions, config: listOf(config) });
  }

  /** Replaces the configuration of a topic. */
  async configureTopic(topic: string, config: Record<string, string>): Promise<void> {
    await this.#admin('configure', { topic, config: listOf(config) });
  }

  async deleteTopics(names: string[]): Promise<void> {
    await this.#admin('delete', { topic: names.join(',') });
  }

  /** Takes so much memory and gives it back. */
  async touchMemory(bytes: number): Promise<void> {
    await promisify(execFile)(this.program, ['touch', `bytes=${Math.floor(bytes)}`]);
  }

  async #admin(what: string, options: NativeArguments): Promise<number> {
    const [program, ...args] = nativeCommand(this.program, what, this.#bootstrap, options);
    const { stdout } = await promisify(execFile)(program!, args);
    return (JSON.parse(stdout) as Report).seconds!;
  }
}

function listOf(config: Record<string, string>): string {
  return Object.entries(config)
    .map((entry) => entry.join('='))
    .join(',');
}
