import { ApiError, type ErrorCode } from '../../protocol/errors.ts';
import { silentLogger } from '../../util/logger.ts';
import { settled, VirtualClock } from '../../util/testing/virtual-clock.ts';
import type { TransactionMarker } from '../transaction-marker.ts';
import type { TransactionConfig } from './config.ts';
import { TransactionCoordinator } from './coordinator.ts';
import type { TransactionLog, TransactionPartitions, TransactionRecord } from './ports.ts';
import type { Identified } from './shard.ts';
import { type ProducerIdentity, TransactionVersion } from './transaction.ts';

export const CLASSIC = TransactionVersion.classic;
export const V2 = TransactionVersion.epochPerTransaction;

export const testConfig: TransactionConfig = {
  maxTimeoutMs: 60_000,
  idExpirationMs: 3600_000,
  abortTimedOutIntervalMs: 10_000,
  removeExpiredIntervalMs: 600_000,
  verifiesPartitions: true,
};

/** A log in memory that writes at once, unless it is told to hold or to fail. */
class MemoryTransactionLog implements TransactionLog {
  readonly records: TransactionRecord[] = [];
  failure: ErrorCode | null = null;
  leaderEpoch = 0;
  #held: (() => void)[] | null = null;

  append(_partition: number, records: readonly TransactionRecord[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = () => {
        if (this.failure !== null) return reject(new ApiError(this.failure));
        this.records.push(...records);
        resolve();
      };
      if (this.#held === null) finish();
      else this.#held.push(finish);
    });
  }

  async replay(
    _partition: number,
    apply: (key: Uint8Array, value: Uint8Array | null) => void,
  ): Promise<number> {
    await settled();
    for (const { key, value } of this.records) apply(key, value);
    return this.leaderEpoch++;
  }

  hold(): void {
    this.#held = [];
  }

  async release(): Promise<void> {
    const held = this.#held ?? [];
    this.#held = null;
    for (const finish of held) finish();
    await settled();
  }
}

/** Partitions that only note which markers they got, as `topic-partition:producer/epoch:outcome`. */
class MarkerNotes implements TransactionPartitions {
  readonly notes: string[] = [];
  failure: ErrorCode | null = null;

  async writeMarker(topic: string, partition: number, marker: TransactionMarker): Promise<void> {
    if (this.failure !== null) throw new ApiError(this.failure);
    const { producerId, producerEpoch, commit } = marker;
    this.notes.push(`${topic}-${partition}:${producerId}/${producerEpoch}:${commit ? 'commit' : 'abort'}`);
  }
}

export interface TestTransactions {
  readonly clock: VirtualClock;
  readonly log: MemoryTransactionLog;
  readonly partitions: MarkerNotes;
  readonly transactions: TransactionCoordinator;
}

/** A coordinator with one shard, loaded; give it what another left to restart that. */
export async function startTransactions(former?: TestTransactions): Promise<TestTransactions> {
  const clock = former?.clock ?? new VirtualClock();
  const log = former?.log ?? new MemoryTransactionLog();
  const partitions = former?.partitions ?? new MarkerNotes();
  let ids = former === undefined ? 100n : 200n;
  former?.transactions.close();
  const transactions = new TransactionCoordinator({
    clock,
    config: testConfig,
    logger: silentLogger,
    log,
    topic: {
      name: '__transaction_state',
      partitionCount: () => 1,
      isOffline: () => false,
      ensure: async () => 1,
    },
    partitions,
    newProducerId: async () => ids++,
  });
  await transactions.start();
  await settled();
  return { clock, log, partitions, transactions };
}

/** The identity that a request gave; throws if it gave none. */
export function identityOf(result: Identified): ProducerIdentity {
  if (!('producerId' in result)) throw new Error(`error ${result.errorCode}`);
  return { producerId: result.producerId, producerEpoch: result.producerEpoch };
}

export function init(
  { transactions }: TestTransactions,
  expected: ProducerIdentity | null = null,
): Promise<Identified> {
  return transactions.initProducer({ transactionalId: 'tx', timeoutMs: 30_000, expected });
}

export function place(topic: string, partition: number) {
  return { topic, partition };
}

export function stateOf({ transactions }: TestTransactions, transactionalId = 'tx'): string {
  const shard = transactions.shardOf(transactionalId);
  if (typeof shard === 'number') return `error ${shard}`;
  return shard.entries.get(transactionalId)?.current.state ?? 'none';
}
