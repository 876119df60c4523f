import assert from 'node:assert/strict';
import { sleep } from '../harness/child.ts';
import type { Client } from '../harness/client.ts';
import { digest, plannedValue, type SeenRecord } from '../harness/payload.ts';

export interface RetainedTopicOptions {
  /** Its retention.bytes; -1: it keeps all. */
  keptBytes: number;
  /** Of its records, one after the other: small and large, so that some are diverted. */
  sizes?: readonly number[];
  /** Between two records. */
  pauseMs?: number;
  configs?: Record<string, string>;
}

/** A topic of one partition that keeps its newest records only: those that are there are as they were acknowledged, and enough of them. */
export class RetainedTopic {
  readonly topic: string;
  /** Of what was there when it was read last. */
  firstOffset = 0;
  readonly #client: Client;
  readonly #keptBytes: number;
  readonly #sizes: readonly number[];
  readonly #pauseMs: number;
  /** Of acknowledged records, by offset. */
  readonly #digests = new Map<number, string>();
  readonly #failures: string[] = [];
  #next = 0;
  #isPaused = false;
  #running: Promise<void> = Promise.resolve();

  private constructor(client: Client, topic: string, options: RetainedTopicOptions) {
    this.#client = client;
    this.topic = topic;
    this.#keptBytes = options.keptBytes;
    this.#sizes = options.sizes ?? [1_000, 500_000, 70_000, 300_000];
    this.#pauseMs = options.pauseMs ?? 30;
  }

  static async start(client: Client, topic: string, options: RetainedTopicOptions): Promise<RetainedTopic> {
    const configs = {
      'retention.bytes': String(options.keptBytes),
      'segment.bytes': '1048576',
      ...options.configs,
    };
    await client.call('create', { topic, partitions: 1, configs });
    const retained = new RetainedTopic(client, topic, options);
    retained.resume();
    return retained;
  }

  /** Records that were acknowledged so far. */
  get acknowledged(): number {
    return this.#digests.size;
  }

  resume(): void {
    this.#isPaused = false;
    this.#running = this.#run();
  }

  /** Resolves when all that was sent is acknowledged. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    for (; !this.#isPaused; this.#next++) {
      const n = this.#next;
      const record = {
        key: null,
        size: this.#sizes[n % this.#sizes.length]!,
        seed: n % 100_000,
        headers: [],
        timestamp: Date.now(),
      };
      try {
        const { baseOffset } = await this.#client.call('produce', {
          ...{ topic: this.topic, partition: 0, codec: 'none', acks: -1 },
          records: [record],
        });
        this.#digests.set(baseOffset, digest(plannedValue(record)!));
      } catch (error) {
        this.#failures.push(String(error));
      }
      await sleep(this.#pauseMs);
    }
  }

  /** Of a load that rests. */
  async verify(): Promise<void> {
    const end = Math.max(...this.#digests.keys()) + 1;
    let seen = await this.#consume(end);
    // What was removed while it was read is not there when it is read once more.
    if (hasGaps(seen)) seen = await this.#consume(end);
    assert.deepEqual(this.#failures, [], `${this.topic}: records are sent again until they are through`);
    this.firstOffset = seen[0]!.offset;
    assert.deepEqual(
      seen.map((record) => [record.offset, record.digest]),
      seen.map((_, i) => [this.firstOffset + i, this.#digests.get(this.firstOffset + i)]),
      this.topic,
    );
    const kept = seen.reduce((sum, { size }) => sum + size, 0);
    assert.ok(
      this.firstOffset === 0 || (this.#keptBytes >= 0 && kept >= this.#keptBytes),
      `${this.topic}: only ${kept} bytes are left`,
    );
  }

  #consume(end: number): Promise<SeenRecord[]> {
    return this.#client.call('consume', { topics: [{ topic: this.topic, ends: [end] }] });
  }
}

function hasGaps(seen: readonly SeenRecord[]): boolean {
  return seen[seen.length - 1]!.offset - seen[0]!.offset !== seen.length - 1;
}
