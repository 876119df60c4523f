import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { ErrorCode } from '../../../protocol/errors.ts';
import { createOffsetCommitRequest } from '../../../protocol/generated/offset-commit-request.ts';
import { createOffsetFetchRequest } from '../../../protocol/generated/offset-fetch-request.ts';
import { silentLogger } from '../../../util/logger.ts';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { settled, VirtualClock } from '../../../util/testing/virtual-clock.ts';
import type { GroupConfig } from '../config.ts';
import type { ConsumerConfig } from '../consumer/context.ts';
import { TestTopics, testConsumerConfig, testStreamsConfig } from '../coordinator.fixture.ts';
import { GroupCoordinator } from '../coordinator.ts';
import { commitOffsets } from '../offset-commit.ts';
import { fetchOffsets } from '../offset-fetch.ts';
import type { TopicNames } from '../ports.ts';
import { testShares } from '../share/share.fixture.ts';
import { Checker } from './checker.ts';
import { SimulatedLog } from './simulated-log.ts';

const SHARDS = 2;

const simulationConfig: GroupConfig = {
  minSessionTimeoutMs: 6_000,
  maxSessionTimeoutMs: 1_800_000,
  initialRebalanceDelayMs: 3_000,
  maxSize: 100,
  newMemberJoinTimeoutMs: 300_000,
  maxPendingMembers: 1_000,
  offsetMetadataMaxBytes: 4096,
  commitTimeoutMs: 5_000,
  offsetsRetentionMs: 7 * 24 * 3600_000,
  offsetsRetentionCheckIntervalMs: 600_000,
};

const CONSUMER_TIMES = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 3_000, assignmentIntervalMs: 1_000 };

const STREAMS_GROUP = {
  sessionTimeoutMs: 45_000,
  heartbeatIntervalMs: 3_000,
  assignmentIntervalMs: 1_000,
  initialRebalanceDelayMs: 3_000,
  standbyReplicas: 1,
};

const topicNames: TopicNames = { partitionCount: () => 100, idOf: () => null, nameOf: () => null };

interface Commit {
  readonly groupId: string;
  readonly generation: number;
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly partition: number;
}

export interface Connection {
  lastArrivalMs: number;
}

/** A coordinator that crashes, a log that fails, and a network that delays and loses: all from one seed. */
export class World {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly checker = new Checker();
  readonly log: SimulatedLog;
  readonly topics = new TestTopics();
  /** Probability that a request or an answer is lost. */
  lossRate = 0;
  /** Probability that a message arrives seconds later. */
  lagRate = 0;
  /** Probability that a request arrives twice, where that can be. */
  duplicationRate = 0;
  /** Requests that the coordinator has not answered. */
  unanswered = 0;
  #coordinator: GroupCoordinator | null = null;
  #life = 0;
  #failure: unknown = null;
  #lastOffset = 0n;
  #ids = 0;
  readonly #digest = createHash('sha256');
  readonly #consumer: Partial<ConsumerConfig>;

  constructor(seed: number, consumer: Partial<ConsumerConfig> = {}) {
    this.#consumer = consumer;
    this.random = new SeededRandom(seed);
    this.log = new SimulatedLog(this.clock, this.random);
  }

  get coordinator(): GroupCoordinator | null {
    return this.#coordinator;
  }

  trace(line: string): void {
    this.#digest.update(`${this.clock.now()} ${line}\n`);
  }

  /** A fingerprint of everything that happened. */
  digest(): string {
    return this.#digest.copy().digest('hex');
  }

  startCoordinator(): void {
    const coordinator = new GroupCoordinator({
      clock: this.clock,
      config: simulationConfig,
      logger: silentLogger,
      log: this.log,
      topic: {
        name: '__consumer_offsets',
        partitionCount: () => SHARDS,
        isOffline: () => false,
        ensure: async () => SHARDS,
      },
      consumer: { ...testConsumerConfig, maxSize: 100, timesOf: () => CONSUMER_TIMES, ...this.#consumer },
      streams: { ...testStreamsConfig, maxSize: 100, of: () => STREAMS_GROUP },
      topics: this.topics,
      share: testShares(),
      createTopics: async (topics) => {
        const outcomes = await this.topics.create(topics);
        for (const { name } of topics) this.#coordinator?.topicChanged(name);
        return outcomes;
      },
      randomId: () => `id-${this.#ids++}`,
    });
    this.#coordinator = coordinator;
    void coordinator.start();
    this.trace('coordinator starts');
  }

  /** It crashes or is stopped, and comes back some seconds later. */
  async restartCoordinator(): Promise<void> {
    this.stopCoordinator(this.random.chance(0.5));
    await this.run(this.random.integer(0, 15_000));
    this.startCoordinator();
  }

  /** Nothing is lost, late or slow any more. */
  calm(): void {
    this.lossRate = 0;
    this.lagRate = 0;
    this.duplicationRate = 0;
    this.log.failureRate = 0;
    this.log.slowRate = 0;
  }

  /** All clients die: the sessions of the silent run out, and nothing is left but each shard's look for expired offsets. */
  async end(clients: readonly { readonly isUp: boolean; kill(): void }[]): Promise<void> {
    assert.equal(this.unanswered, 0, 'requests without an answer');
    for (const client of clients) if (client.isUp) client.kill();
    await this.run(400_000);
    assert.equal(this.clock.pending, SHARDS, 'timers are left');
    for (const shard of this.coordinator!.shards)
      for (const group of shard.groups.values()) assert.equal(group.state, 'Empty');
    this.stopCoordinator(true);
    assert.equal(this.clock.pending, 0, 'timers are left after the end');
  }

  /** Ends the coordinator: cleanly, when everybody is answered, or by a crash, when nobody is. */
  stopCoordinator(isClean: boolean): void {
    this.trace(isClean ? 'coordinator stops' : 'coordinator crashes');
    if (!isClean) this.#life++;
    // A dead process has no timers either: closing is how they are taken away; its answers are dropped.
    this.#coordinator?.close();
    this.#coordinator = null;
    if (isClean) this.log.finish();
    else this.log.crash();
    if (!isClean) this.unanswered = 0;
  }

  /** Sends a request that nobody waits for. */
  send(action: (coordinator: GroupCoordinator) => unknown): void {
    this.request(
      async (coordinator) => action(coordinator),
      () => {},
    );
  }

  /**
   * Sends a request over the network and hands its answer to the client, unless either is lost. What goes through one
   * connection arrives in order.
   */
  request<T>(
    action: (coordinator: GroupCoordinator) => Promise<T>,
    answered: (value: T) => void,
    connection?: Connection,
  ): void {
    if (this.random.chance(this.lossRate)) return;
    const arrivesAtMs = Math.max(this.clock.now() + this.#delayMs(), connection?.lastArrivalMs ?? 0);
    if (connection !== undefined) connection.lastArrivalMs = arrivesAtMs;
    this.clock.setTimer(arrivesAtMs - this.clock.now(), () => {
      const coordinator = this.#coordinator;
      if (coordinator === null) return;
      const life = this.#life;
      this.unanswered++;
      action(coordinator).then(
        (value) => {
          if (life !== this.#life) return;
          this.unanswered--;
          if (this.random.chance(this.lossRate)) return;
          this.clock.setTimer(this.#delayMs(), () => answered(value));
        },
        (error: unknown) => {
          this.#failure ??= error;
        },
      );
    });
  }

  commit({ groupId, generation, memberId, instanceId, partition }: Commit): void {
    this.request(
      async (coordinator) => {
        const offset = ++this.#lastOffset;
        const newest = this.checker.newestGeneration(groupId);
        this.checker.attempting(groupId, partition, offset);
        const request = createOffsetCommitRequest({
          groupId,
          generationIdOrMemberEpoch: generation,
          memberId,
          groupInstanceId: instanceId,
          topics: [topicOf(partition, offset)],
        });
        const response = await commitOffsets(coordinator, topicNames, request, 9);
        const { errorCode } = response.topics[0]!.partitions[0]!;
        this.trace(`commit ${groupId} ${generation} ${errorCode}`);
        if (errorCode === ErrorCode.NONE)
          this.checker.committed(groupId, generation, newest, partition, offset);
        // After a time-out it may be written all the same.
        else if (errorCode !== ErrorCode.COORDINATOR_NOT_AVAILABLE) this.checker.refused(groupId, offset);
      },
      () => {},
    );
  }

  fetch(groupId: string, partition: number): void {
    this.request(
      async (coordinator) => {
        const request = createOffsetFetchRequest({
          groups: [
            {
              groupId,
              memberId: null,
              memberEpoch: -1,
              topics: [{ name: 'events', topicId: '', partitionIndexes: [partition] }],
            },
          ],
        });
        const group = fetchOffsets(coordinator, topicNames, request, 9).groups[0]!;
        if (group.errorCode === ErrorCode.NONE)
          this.checker.fetched(groupId, partition, group.topics[0]!.partitions[0]!.committedOffset);
      },
      () => {},
    );
  }

  #delayMs(): number {
    return this.random.chance(this.lagRate) ? this.random.integer(100, 15_000) : this.random.integer(0, 5);
  }

  /** Runs the world for a while. Rejects with the first broken promise. */
  async run(durationMs: number): Promise<void> {
    await this.clock.advance(durationMs);
    await settled();
    if (this.#failure !== null) throw this.#failure;
  }
}

function topicOf(partition: number, offset: bigint) {
  const part = {
    partitionIndex: partition,
    committedOffset: offset,
    committedLeaderEpoch: -1,
    committedMetadata: null,
  };
  return { name: 'events', topicId: '', partitions: [part] };
}
