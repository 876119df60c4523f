import { ApiError, ErrorCode } from '../../../protocol/errors.ts';
import type { SeededRandom } from '../../../util/testing/seeded-random.ts';
import type { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import type { StateLog } from '../state-log.ts';
import type { StateRecord } from '../state-records.ts';

interface Write {
  readonly records: readonly StateRecord[];
  readonly resolve: (offset: bigint) => void;
  readonly reject: (error: unknown) => void;
}

interface Stored {
  readonly offset: bigint;
  readonly record: StateRecord;
}

/** A log in memory whose writes take virtual time, may fail, and may or may not survive a crash. */
export class SimulatedStateLog implements StateLog {
  /** Probability that a write, and with it those queued behind it, fails. */
  failureRate = 0;
  readonly #clock: VirtualClock;
  readonly #random: SeededRandom;
  readonly #durable: Stored[] = [];
  #queue: Write[] = [];
  #end = 0n;
  #life = 0;

  constructor(clock: VirtualClock, random: SeededRandom) {
    this.#clock = clock;
    this.#random = random;
  }

  get size(): number {
    return this.#durable.length;
  }

  append(_partition: number, records: readonly StateRecord[]): Promise<bigint> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ records, resolve, reject });
      if (this.#queue.length === 1) this.#writeNext();
    });
  }

  async replay(
    _partition: number,
    record: (offset: bigint, key: Uint8Array, value: Uint8Array | null) => void,
  ): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.setTimer(this.#random.integer(0, 200), resolve));
    for (const { offset, record: stored } of this.#durable) record(offset, stored.key, stored.value);
  }

  async prune(_partition: number, offset: bigint): Promise<void> {
    while (this.#durable.length > 0 && this.#durable[0]!.offset < offset) this.#durable.shift();
  }

  /** The process dies: of the writes under way some first ones survive, and nobody is told. */
  crash(): void {
    this.#life++;
    const survivors = this.#random.integer(0, this.#queue.length);
    for (const { records } of this.#queue.slice(0, survivors)) this.#keep(records);
    this.#queue = [];
  }

  #writeNext(): void {
    const life = this.#life;
    this.#clock.setTimer(this.#random.integer(0, 20), () => {
      if (life !== this.#life) return;
      if (this.#random.chance(this.failureRate)) {
        for (const { reject } of this.#queue.splice(0)) reject(new ApiError(ErrorCode.KAFKA_STORAGE_ERROR));
        return;
      }
      const write = this.#queue.shift()!;
      write.resolve(this.#keep(write.records));
      if (this.#queue.length > 0) this.#writeNext();
    });
  }

  #keep(records: readonly StateRecord[]): bigint {
    const first = this.#end;
    for (const record of records) this.#durable.push({ offset: this.#end++, record });
    return first;
  }
}
