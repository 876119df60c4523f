import type { BatchInfo } from '../../../backend/log/ports.ts';
import type { ClientOrigin } from '../../../backend/log/producer-entry.ts';
import { ProducerStates } from '../../../backend/log/producer-states.ts';
import { Attribute } from '../../../protocol/records/batch-header.ts';
import type { SeededRandom } from '../../../util/testing/seeded-random.ts';
import type { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import type { TransactionMarker } from '../../transaction-marker.ts';
import type { ProducerIdentity } from '../transaction.ts';
import { SimulatedLog } from './simulated-log.ts';

interface StoredBatch {
  readonly info: BatchInfo;
  /** The transaction that the client meant it for; empty for a marker. */
  readonly tag: string;
}

/** A partition whose producer state is the real one. */
export class SimulatedPartition {
  readonly #log: SimulatedLog<StoredBatch>;
  readonly #states = new ProducerStates();

  constructor(clock: VirtualClock, random: SeededRandom) {
    this.#log = new SimulatedLog(clock, random, () => this.#recover());
  }

  set failureRate(rate: number) {
    this.#log.failureRate = rate;
  }

  /** Whether a transaction is open. */
  get isUnstable(): boolean {
    this.#states.markersVisible(this.#states.endOffset);
    return this.#states.firstUnstableOffset !== null;
  }

  /** Rejects with a LogError. */
  async produce(
    producer: ProducerIdentity,
    baseSequence: number,
    tag: string,
    origin: ClientOrigin,
  ): Promise<void> {
    const info = { ...this.#batch(producer), attributes: Attribute.transactional, baseSequence };
    await this.#append(info, tag, origin);
  }

  async writeMarker(marker: TransactionMarker): Promise<void> {
    const attributes = Attribute.transactional | Attribute.control;
    await this.#append({ ...this.#batch(marker), attributes, marker }, '', 'coordinator');
  }

  crash(): void {
    this.#log.crash();
    this.#recover();
  }

  /** How often the records of each transaction were committed and aborted. */
  outcomes(): Map<string, { committed: number; aborted: number }> {
    const open = new Map<bigint, string[]>();
    const outcomes = new Map<string, { committed: number; aborted: number }>();
    for (const { info, tag } of this.#log.durable) {
      const { producerId, marker } = info;
      if (marker === null) {
        open.set(producerId, [...(open.get(producerId) ?? []), tag]);
        continue;
      }
      for (const ended of open.get(producerId) ?? []) {
        const outcome = outcomes.get(ended) ?? { committed: 0, aborted: 0 };
        if (marker.commit) outcome.committed++;
        else outcome.aborted++;
        outcomes.set(ended, outcome);
      }
      open.delete(producerId);
    }
    return outcomes;
  }

  async #append(info: BatchInfo, tag: string, origin: ClientOrigin | 'coordinator'): Promise<void> {
    const check = this.#states.check([info], origin);
    if (check.duplicate) return this.#log.written();
    this.#states.apply(check.changes, info.lastOffset + 1n);
    await this.#log.append({ info, tag });
  }

  /** After a crash or a failed write: what the log says. */
  #recover(): void {
    this.#states.reset([], 0n);
    for (const { info } of this.#log.durable) this.#states.replay(info);
  }

  #batch({ producerId, producerEpoch }: ProducerIdentity): BatchInfo {
    return {
      position: 0,
      sizeBytes: 100,
      baseOffset: this.#states.endOffset,
      lastOffset: this.#states.endOffset,
      leaderEpoch: 0,
      attributes: 0,
      maxTimestamp: 0n,
      producerId,
      producerEpoch,
      baseSequence: -1,
      recordCount: 1,
      marker: null,
    };
  }
}
