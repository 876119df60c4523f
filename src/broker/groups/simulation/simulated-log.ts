import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { SeededRandom } from '../../../util/testing/seeded-random.ts';
import type { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import type { OffsetsLog, OffsetsRecord, OffsetsReplay } from '../ports.ts';

interface Write {
  readonly records: readonly OffsetsRecord[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A log in memory whose writes take virtual time, may fail, and may or may not survive a crash. */
export class SimulatedLog implements OffsetsLog {
  /** Probability that a write, and with it those queued behind it, fails. */
  failureRate = 0;
  /** Probability that a write takes seconds. */
  slowRate = 0;
  readonly #clock: VirtualClock;
  readonly #random: SeededRandom;
  readonly #durable = new Map<number, OffsetsRecord[]>();
  readonly #queued = new Map<number, Write[]>();
  #life = 0;

  constructor(clock: VirtualClock, random: SeededRandom) {
    this.#clock = clock;
    this.#random = random;
  }

  get recordCount(): number {
    let count = 0;
    for (const records of this.#durable.values()) count += records.length;
    return count;
  }

  append(partition: number, records: readonly OffsetsRecord[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const queue = this.#queued.get(partition) ?? [];
      this.#queued.set(partition, queue);
      queue.push({ records, resolve, reject });
      if (queue.length === 1) this.#writeNext(partition);
    });
  }

  appendMarker(): Promise<void> {
    return Promise.reject(new ApiError(ErrorCode.UNSUPPORTED_VERSION, 'there are no transactions here'));
  }

  async replay(partition: number, { record }: OffsetsReplay): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.setTimer(this.#random.integer(0, 500), resolve));
    for (const { key, value } of this.#durable.get(partition) ?? []) record(key, value, null);
  }

  /** The process dies: of the writes under way some first ones survive, and nobody is told. */
  crash(): void {
    this.#life++;
    for (const [partition, queue] of this.#queued)
      for (const { records } of queue.slice(0, this.#random.integer(0, queue.length)))
        this.#keep(partition, records);
    this.#queued.clear();
  }

  /** The process ends in good order: the writes under way are completed. */
  finish(): void {
    this.#life++;
    for (const [partition, queue] of this.#queued)
      for (const { records, resolve } of queue) {
        this.#keep(partition, records);
        resolve();
      }
    this.#queued.clear();
  }

  #writeNext(partition: number): void {
    const life = this.#life;
    const latencyMs = this.#random.chance(this.slowRate) ? 3_000 : 20;
    this.#clock.setTimer(this.#random.integer(0, latencyMs), () => {
      if (life !== this.#life) return;
      const queue = this.#queued.get(partition) ?? [];
      if (this.#random.chance(this.failureRate)) {
        for (const { reject } of queue.splice(0)) reject(new ApiError(ErrorCode.KAFKA_STORAGE_ERROR));
        return;
      }
      const write = queue.shift()!;
      this.#keep(partition, write.records);
      write.resolve();
      if (queue.length > 0) this.#writeNext(partition);
    });
  }

  #keep(partition: number, records: readonly OffsetsRecord[]): void {
    const log = this.#durable.get(partition) ?? [];
    this.#durable.set(partition, log);
    log.push(...records);
  }
}
