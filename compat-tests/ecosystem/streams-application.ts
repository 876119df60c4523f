import { join } from 'node:path';
import { listOffsetsRequest } from '../../src/protocol/generated/list-offsets-request.ts';
import { listOffsetsResponse } from '../../src/protocol/generated/list-offsets-response.ts';
import type { Broker } from '../harness/broker.ts';
import { Child, runCommand, until } from '../harness/child.ts';
import { javaCommand } from '../harness/paths.ts';
import { WireClient } from '../harness/wire-client.ts';

const LATEST = -1n;
const PROGRAM_TIMEOUT_MS = 120_000;

/** The counts that a word goes through, and each join once; see StreamsCheck.java for what is fed. */
export function expected(sentences: number): {
  counts: Record<string, string[]>;
  joined: Record<string, string[]>;
} {
  const counts: Record<string, string[]> = {};
  const joined: Record<string, string[]> = {};
  for (let i = 0; i < sentences; i++) {
    for (const word of ['all', `w${i % 17}`, `v${i % 5}`]) {
      counts[word] ??= [];
      counts[word].push(`${counts[word].length + 1}`);
    }
    if (i % 2 === 0) joined[`k${i}`] = [`l${i}/r${i}`];
  }
  return { counts, joined };
}

/** The first keys whose values are not as they should be, said shortly. */
export function differences(found: Record<string, string[]>, wanted: Record<string, string[]>): string[] {
  const keys = [...new Set([...Object.keys(found), ...Object.keys(wanted)])];
  const wrong = keys.filter((key) => `${found[key]}` !== `${wanted[key]}`);
  const short = (values: string[] = []) => `${values.length} values ending in ${values.slice(-3)}`;
  return wrong
    .slice(0, 5)
    .map((key) => `${key}: ${short(found[key])}, not ${short(wanted[key])} (${wrong.length} wrong)`);
}

/** StreamsCheck.java: what feeds and reads, and instances of the application. */
export class StreamsApplication {
  readonly #broker: Broker;
  readonly #dir: string;
  readonly #instances: Child[] = [];

  /** State directories are in `dir`. */
  constructor(broker: Broker, dir: string) {
    this.#broker = broker;
    this.#dir = dir;
  }

  /** Resolves to the output; rejects with it when the program fails. */
  program(mode: string, ...args: (string | number)[]): Promise<string> {
    const words = [mode, this.#broker.bootstrap, ...args.map(String)];
    return runCommand([...javaCommand('StreamsCheck', 256), ...words], PROGRAM_TIMEOUT_MS);
  }

  /** Starts an instance, `member` of the application, with the state of its former life. */
  run(application: string, member: string, settings: string[]): Child {
    const args = [
      'run',
      this.#broker.bootstrap,
      application,
      join(this.#dir, application, member),
      ...settings,
    ];
    const child = new Child([...javaCommand('StreamsCheck', 256), ...args]);
    this.#instances.push(child);
    return child;
  }

  async running(child: Child): Promise<void> {
    await until('the application runs', 60_000, () => {
      if (!child.running) throw new Error(`the application ended:\n${child.output.slice(-4000)}`);
      return child.output.includes('state RUNNING');
    });
  }

  /** Waits until so many records have been written to a topic of two partitions. */
  async processed(topic: string, count: number): Promise<void> {
    const client = await WireClient.connect(this.#broker.bootstrap);
    try {
      await until(`${count} records in ${topic}`, 90_000, async () => {
        const partitions = [0, 1].map((partitionIndex) => ({
          partitionIndex,
          currentLeaderEpoch: -1,
          timestamp: LATEST,
        }));
        const request = { replicaId: -1, topics: [{ name: topic, partitions }] };
        const response = await client.call([listOffsetsRequest, listOffsetsResponse], 7, request);
        const ends = response.topics[0]!.partitions.map(({ offset }) => Number(offset));
        return ends.reduce((sum, end) => sum + end, 0) >= count;
      });
    } finally {
      client.close();
    }
  }

  async killAll(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await Promise.all(this.#instances.splice(0).map((child) => child.kill(signal)));
  }
}
