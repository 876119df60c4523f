import { ErrorCode } from '../protocol/errors.ts';
import type { Logger } from '../util/logger.ts';

/** What one partition of a coordinator's topic holds. */
export interface CoordinatorShard {
  /** NONE while it serves, else what its callers are told. */
  readonly unavailable: ErrorCode;
  /** Reads it back and begins to serve; tries again later by itself. */
  load(): Promise<void>;
  /** Ends serving, for good: `unavailable` is NOT_COORDINATOR. */
  close(): void;
}

/** The internal topic in which a coordinator keeps its state. */
export interface CoordinatorTopic {
  readonly name: string;
  /** Its number of partitions, or null while it does not exist. */
  partitionCount(): number | null;
  /** Whether the log of a partition cannot be used before the next start. */
  isOffline(partition: number): boolean;
  /** Creates the topic unless it exists and returns its number of partitions. @throws an error with a Kafka `code` */
  ensure(): Promise<number>;
}

/** The shards of a coordinator, one for each partition of its topic, all of which this broker leads. */
export class CoordinatorShards<S extends CoordinatorShard> {
  readonly #topic: CoordinatorTopic;
  readonly #logger: Logger;
  readonly #create: (partition: number) => S;
  #shards: readonly S[] = [];
  #closed = false;
  #preparing: Promise<ErrorCode> | null = null;

  constructor(topic: CoordinatorTopic, logger: Logger, create: (partition: number) => S) {
    this.#topic = topic;
    this.#logger = logger;
    this.#create = create;
  }

  get all(): readonly S[] {
    return this.#shards;
  }

  /** Begins to load all shards if the topic exists; resolves when every one has been tried once. */
  async start(): Promise<void> {
    const count = this.#topic.partitionCount();
    if (count !== null) await this.#open(count);
  }

  /** Somebody else created the topic: it is served from now on, whether or not a client looks for its coordinator. */
  async topicCreated(): Promise<void> {
    // Who prepares opens it too, and waits for this.
    if (this.#shards.length === 0 && this.#preparing === null && !this.#closed) await this.start();
  }

  /**
   * Makes sure that there are shards, creating the topic with the first client.
   * Returns NONE or what a client that looks for its coordinator is told.
   */
  prepare(): Promise<ErrorCode> {
    if (this.#closed) return Promise.resolve(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    if (this.#shards.length > 0) return Promise.resolve(ErrorCode.NONE);
    // One at a time: the topic is known before its partitions can be read.
    this.#preparing ??= this.#prepare().finally(() => {
      this.#preparing = null;
    });
    return this.#preparing;
  }

  /**
   * What a client is told that looks for the coordinator of a key: NONE, when it is this broker. Creates the topic with the first client.
   */
  async find(key: string): Promise<ErrorCode> {
    const error = await this.prepare();
    if (error !== ErrorCode.NONE) return error;
    // As of a partition without a leader.
    return this.of(key) === ErrorCode.NOT_COORDINATOR ? ErrorCode.COORDINATOR_NOT_AVAILABLE : ErrorCode.NONE;
  }

  /** The log of a partition has failed: until the next start nobody coordinates what is in it. */
  resign(partition: number): void {
    this.#shards[partition]?.close();
  }

  /** The shard of a key, or the error that its clients get for now. */
  of(key: string): S | ErrorCode {
    if (this.#shards.length === 0) return ErrorCode.NOT_COORDINATOR;
    const shard = this.#shards[partitionOf(key, this.#shards.length)]!;
    return shard.unavailable === ErrorCode.NONE ? shard : shard.unavailable;
  }

  /** Nothing is served afterwards. */
  close(): void {
    this.#closed = true;
    for (const shard of this.#shards) shard.close();
    this.#shards = [];
  }

  async #prepare(): Promise<ErrorCode> {
    try {
      const count = await this.#topic.ensure();
      if (this.#shards.length === 0 && !this.#closed) await this.#open(count);
      return ErrorCode.NONE;
    } catch (error) {
      this.#logger.error({ err: error }, `${this.#topic.name} could not be created`);
      return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    }
  }

  async #open(count: number): Promise<void> {
    this.#shards = Array.from({ length: count }, (_, partition) => this.#create(partition));
    await Promise.all(this.#shards.map((shard, partition) => this.#load(shard, partition)));
  }

  async #load(shard: S, partition: number): Promise<void> {
    if (!this.#topic.isOffline(partition)) return shard.load();
    const fields = { topic: this.#topic.name, partition };
    this.#logger.error(fields, 'nobody coordinates what is in a partition that is offline');
    shard.close();
  }
}

/**
 * The partition that a key belongs to, as Kafka computes it: the absolute value of Java's String.hashCode, modulo the number of
 * partitions.
 */
export function partitionOf(key: string, partitionCount: number): number {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (31 * hash + key.charCodeAt(i)) | 0;
  // Java has no positive 2^31; Kafka's abs gives 0 for it.
  const positive = hash === -0x80000000 ? 0 : Math.abs(hash);
  return positive % partitionCount;
}
