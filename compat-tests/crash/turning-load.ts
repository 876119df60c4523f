import assert from 'node:assert/strict';
import type { LoadOptions, Loads } from './load.ts';

/** A load without end on a disk that has one: when a topic has enough records, all of it is verified and deleted, and another one is begun. */
export class TurningLoad {
  /** Acknowledged records of topics that were deleted. */
  verified = 0;
  readonly #loads: Loads;
  readonly #name: string;
  readonly #options: Omit<LoadOptions, 'topic'>;
  #turn = 0;

  /** `name`: how its topics' names begin. */
  constructor(loads: Loads, name: string, options: Omit<LoadOptions, 'topic'>) {
    this.#loads = loads;
    this.#name = name;
    this.#options = options;
  }

  get topic(): string {
    return `${this.#name}-${this.#turn}`;
  }

  async start(): Promise<void> {
    this.#turn++;
    const { topic } = this;
    await this.#loads.client.call('create', { topic, partitions: this.#options.partitions, configs: {} });
    await this.#loads.start(this.#name, { topic, ...this.#options });
    await this.#loads.progress(this.#name, 0);
  }

  /** What has come since the last call, or everything, is there; returns how many records were acknowledged in this topic. */
  async verify(fromStart: boolean): Promise<number> {
    // No new records meanwhile, or a slow machine has more to compare each time.
    await this.#loads.pause(this.#name, true);
    const { problems, acknowledged } = await this.#loads.verify(this.#name, fromStart);
    await this.#loads.pause(this.#name, false);
    assert.deepEqual(problems, [], this.topic);
    assert.ok(acknowledged > 0, `${this.topic}: nothing was acknowledged`);
    return acknowledged;
  }

  async stop(): Promise<void> {
    await this.#loads.stop(this.#name);
  }

  async turn(): Promise<void> {
    await this.stop();
    this.verified += await this.verify(true);
    await this.delete();
    await this.start();
  }

  async delete(): Promise<void> {
    await this.#loads.client.call('delete', { topic: this.topic });
  }
}
