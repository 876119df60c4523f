import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, makeBroker, targetIsKafka } from './broker.ts';
import { type Client, type ClientKind, clientKinds, requireToolchain, startClient } from './client.ts';
import { runGatewayCommand } from './command-line.ts';
import { readMetric } from './metrics.ts';
import { digest, type PlannedRecord, plannedValue, recordOf } from './payload.ts';

/**
 * A gateway, a client that knows nothing of where payload is, and what that has produced to a topic of one partition: for tests of the places of
 * payload. The gateway may be replaced by one with other settings over the same data.
 */
export class PayloadScene {
  readonly topic: string;
  /** For all that the test has on disk; removed at `end`. */
  readonly dir: string;
  /** What was produced, in order. */
  readonly planned: PlannedRecord[] = [];
  readonly #kind: ClientKind;
  #broker: Broker | null = null;
  #client: Client | null = null;
  #settings: Record<string, string> = {};

  /** `name`: of the directory, and of the topic. */
  constructor(name: string, kind: ClientKind = anyKind()) {
    this.topic = name;
    this.#kind = kind;
    this.dir = mkdtempSync(join(tmpdir(), `kafabric-${name}-`));
  }

  /** Skips a suite that is about the gateway when the target is another one, or when there is no client. */
  static require(context: Mocha.Context): void {
    if (targetIsKafka) context.skip();
    requireToolchain(context, anyKind().setup);
  }

  get broker(): Broker {
    return this.#broker!;
  }

  get client(): Client {
    return this.#client!;
  }

  /** Settings of the gateway, and of commands about it. */
  get settings(): Record<string, string> {
    return { 'log.dirs': this.broker.dataDir, ...this.#settings };
  }

  /** Starts a gateway over the data of the one before, in whose place it is, and a client. `listeners`: beside that of the client. */
  async start(settings: Record<string, string>, listeners: readonly string[] = []): Promise<void> {
    await this.stop();
    this.#settings = settings;
    this.#broker = await makeBroker({ dir: this.dir, overrides: settings, listeners });
    await this.#broker.start();
    this.#client = startClient(this.#kind, this.#broker.bootstrap);
  }

  /** Ends the gateway and the client. */
  async stop(): Promise<void> {
    await this.#client?.stop();
    await this.#broker?.stop();
  }

  /** As `stop`, and removes the files. */
  async end(): Promise<void> {
    await this.stop();
    rmSync(this.dir, { recursive: true });
  }

  async createTopic(configs: Record<string, string> = {}): Promise<void> {
    await this.client.call('create', { topic: this.topic, partitions: 1, configs });
  }

  deleteTopic(): Promise<null> {
    return this.client.call('delete', { topic: this.topic });
  }

  /** One record of each size, each acknowledged before the next. */
  async produce(sizes: readonly number[]): Promise<void> {
    for (const size of sizes) {
      const seed = this.planned.length;
      const record = recordOf(null, size, seed);
      await this.client.call('produce', {
        ...{ topic: this.topic, partition: 0, codec: 'none', acks: -1 },
        records: [record],
      });
      this.planned.push(record);
    }
  }

  /** Reads the topic, which must hold what is expected, in order: all by default. */
  async consume(expected: readonly PlannedRecord[] = this.planned): Promise<void> {
    const topics = [{ topic: this.topic, ends: [this.planned.length] }];
    const seen = await this.client.call('consume', { topics });
    assert.deepEqual(
      seen.map((record) => record.digest),
      expected.map((record) => digest(plannedValue(record)!)),
    );
  }

  /** `name`: behind `kafabric_`, with its labels. */
  metric(name: string): Promise<number> {
    return readMetric(this.broker.metricsUrl!, `kafabric_${name}`);
  }

  /** A command about the gateway; resolves to its output. */
  command(...words: string[]): Promise<string> {
    return runGatewayCommand(words, this.settings);
  }

  /** `kafabric payload verify`, of a gateway that does not run, finds all records, and nothing else. */
  async verify(): Promise<void> {
    const report = await this.command('payload', 'verify');
    assert.match(report, new RegExp(`${this.planned.length} extents, .*: in order`));
  }
}

function anyKind(): ClientKind {
  return clientKinds.find(({ name }) => name === 'franz-go') ?? clientKinds[0]!;
}
