import { ErrorCode } from '../../../protocol/errors.ts';
import { silentLogger } from '../../../util/logger.ts';
import { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { settled, VirtualClock } from '../../../util/testing/virtual-clock.ts';
import type { TransactionMarker } from '../../transaction-marker.ts';
import { TransactionCoordinator } from '../coordinator.ts';
import type { TransactionRecord } from '../ports.ts';
import { ProduceGate } from '../produce-gate.ts';
import { SimulatedLog } from './simulated-log.ts';
import { SimulatedPartition } from './simulated-partition.ts';

export const PARTITIONS = 3;
export const TOPIC = 'events';
const SHARDS = 2;
const REQUEST_TIMEOUT_MS = 2_000;

/** What a request finds in the broker. */
export interface Broker {
  readonly coordinator: TransactionCoordinator;
  readonly gate: ProduceGate;
  readonly partitions: readonly SimulatedPartition[];
}

/** A broker that crashes, logs that fail, and a network that delays and loses: all from one seed. */
export class World {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly partitions: SimulatedPartition[];
  readonly #logs: SimulatedLog<TransactionRecord>[];
  /** Probability that a request or an answer is lost. */
  lossRate = 0;
  /** Probability that a message arrives seconds later. */
  lagRate = 0;
  #broker: Broker | null = null;
  #life = 0;
  #producerIds = 0n;
  #starts = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    const { clock, random } = this;
    this.partitions = Array.from({ length: PARTITIONS }, () => new SimulatedPartition(clock, random));
    this.#logs = Array.from({ length: SHARDS }, () => new SimulatedLog(clock, random));
  }

  set failureRate(rate: number) {
    for (const log of [...this.#logs, ...this.partitions]) log.failureRate = rate;
  }

  start(): void {
    const { clock, partitions } = this;
    const epoch = this.#starts++;
    const coordinator = new TransactionCoordinator({
      clock,
      config: {
        maxTimeoutMs: 60_000,
        idExpirationMs: 3600_000,
        abortTimedOutIntervalMs: 1_000,
        removeExpiredIntervalMs: 600_000,
        verifiesPartitions: true,
      },
      logger: silentLogger,
      log: {
        append: async (partition, records) => {
          for (const record of records) await this.#logs[partition]!.append(record);
        },
        replay: async (partition, apply) => {
          await new Promise<void>((resolve) => clock.setTimer(this.random.integer(0, 50), resolve));
          for (const { key, value } of this.#logs[partition]!.durable) apply(key, value);
          return epoch;
        },
      },
      topic: {
        name: '__transaction_state',
        partitionCount: () => SHARDS,
        isOffline: () => false,
        ensure: async () => SHARDS,
      },
      partitions: {
        writeMarker: (_topic: string, partition: number, marker: TransactionMarker) =>
          partitions[partition]!.writeMarker(marker),
      },
      newProducerId: async () => this.#producerIds++,
    });
    this.#broker = { coordinator, gate: new ProduceGate(coordinator), partitions };
    void coordinator.start();
  }

  /** The process dies; what it was doing is never answered. */
  crash(): void {
    this.#life++;
    this.#broker?.coordinator.close();
    this.#broker = null;
    for (const log of [...this.#logs, ...this.partitions]) log.crash();
  }

  /**
   * Sends a request and waits for its answer; null when it does not come in time. `late`: the request may arrive after that, when the
   * client has gone on.
   */
  async request<T>(action: (broker: Broker) => Promise<T>, late: boolean): Promise<T | null> {
    return new Promise((resolve) => {
      let isOver = false;
      this.clock.setTimer(REQUEST_TIMEOUT_MS, () => {
        isOver = true;
        resolve(null);
      });
      if (this.random.chance(this.lossRate)) return;
      this.clock.setTimer(this.#delayMs(), () => {
        const broker = this.#broker;
        const life = this.#life;
        if (broker === null || (isOver && !late)) return;
        void action(broker).then((value) => {
          if (life !== this.#life || this.random.chance(this.lossRate)) return;
          this.clock.setTimer(this.#delayMs(), () => resolve(value));
        });
      });
    });
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.setTimer(ms, resolve));
  }

  async run(durationMs: number): Promise<void> {
    await this.clock.advance(durationMs);
    await settled();
  }

  /** The states of all transactional ids. */
  states(): string[] {
    const shards = this.#broker?.coordinator.shards ?? [];
    for (const { unavailable } of shards) if (unavailable !== ErrorCode.NONE) return ['unavailable'];
    return shards.flatMap(({ entries }) => Array.from(entries.values(), ({ current }) => current.state));
  }

  #delayMs(): number {
    return this.random.chance(this.lagRate) ? this.random.integer(100, 8_000) : this.random.integer(0, 3);
  }
}
