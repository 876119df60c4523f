import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { CoordinatorShards, type CoordinatorTopic } from '../coordinator-shards.ts';
import { keyText, type PartitionState, type SharePartitionKey } from './partition-state.ts';
import type { StateLog } from './state-log.ts';
import { ShareStateShard, type StateConfig, type StateWrite } from './state-shard.ts';

export interface ShareStateCoordinatorOptions {
  readonly clock: Clock;
  readonly config: StateConfig;
  readonly logger: Logger;
  readonly log: StateLog;
  readonly topic: CoordinatorTopic;
}

/**
 * The share coordinator of this broker: it leads every partition of __share_group_state, one shard each. Its methods reject with an
 * ApiError, also while what they need is being loaded.
 */
export class ShareStateCoordinator {
  readonly #shards: CoordinatorShards<ShareStateShard>;
  #started: Promise<void> = Promise.resolve();

  constructor(options: ShareStateCoordinatorOptions) {
    const { clock, config, logger, log, topic } = options;
    this.#shards = new CoordinatorShards(
      topic,
      logger,
      (partition) => new ShareStateShard({ partition, clock, config, logger, log }),
    );
  }

  /** Begins to load all states if the topic exists; resolves when every shard has been tried once. */
  start(): Promise<void> {
    this.#started = this.#shards.start();
    return this.#started;
  }

  /** Resolves when everything that is stored was read, or could not be at the first attempt. */
  loaded(): Promise<void> {
    return this.#started;
  }

  /** Makes sure that there are shards. Returns NONE or what a client is told that looks for the coordinator of a share partition. */
  find(key: string): Promise<ErrorCode> {
    return this.#shards.find(key);
  }

  /** See `CoordinatorShards.topicCreated`. */
  topicCreated(): Promise<void> {
    return this.#shards.topicCreated();
  }

  /** See `CoordinatorShards.resign`. */
  resign(partition: number): void {
    this.#shards.resign(partition);
  }

  close(): void {
    this.#shards.close();
  }

  /** How many share partitions have a state. */
  get size(): number {
    let size = 0;
    for (const shard of this.#shards.all) size += shard.size;
    return size;
  }

  /** Begins a state, or begins it anew in a later epoch. Resolves when it is written. */
  async initialize(key: SharePartitionKey, stateEpoch: number, startOffset: bigint): Promise<void> {
    const error = await this.#shards.prepare();
    if (error !== ErrorCode.NONE) throw new ApiError(error);
    await this.#shardOf(key).initialize(key, stateEpoch, startOffset);
  }

  /** The state, for the leader of this epoch. */
  async read(key: SharePartitionKey, leaderEpoch: number): Promise<PartitionState> {
    return this.#shardOf(key).read(key, leaderEpoch);
  }

  /** Resolves when it is written. */
  async write(key: SharePartitionKey, write: StateWrite): Promise<void> {
    await this.#shardOf(key).write(key, write);
  }

  /** What is known of the state, or null if there is none. */
  summary(key: SharePartitionKey): PartitionState | null {
    return this.#shardOf(key).summary(key);
  }

  /** Resolves when it is written that there is none. */
  async delete(key: SharePartitionKey): Promise<void> {
    await this.#shardOf(key).delete(key);
  }

  #shardOf(key: SharePartitionKey): ShareStateShard {
    const shard = this.#shards.of(keyText(key));
    if (typeof shard === 'number') throw new ApiError(shard);
    return shard;
  }
}
