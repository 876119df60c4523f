import type { BatchInfo } from '../../backend/log/ports.ts';
import type { BatchRewriter } from '../../backend/log/rewrite/rewrite-segments.ts';
import { PayloadError } from '../../backend/payload/checked-reads.ts';
import type { Reference } from '../../backend/payload/payload-recovery.ts';
import { REFERENCE_ATTRIBUTE } from '../partitions/diverted-batch.ts';
import type { Partition } from '../partitions/partition.ts';
import { referencesOf } from '../partitions/recovery.ts';
import { allOf, openPartitions, type StoppedPartitions } from '../storage/stopped-partitions.ts';
import type { StorageOptions } from '../storage/storage.ts';

/** Batches that were taken out of one log. */
export interface RemovedBatches {
  readonly topic: string;
  readonly partition: number;
  readonly batches: number;
  /** Of payload. */
  readonly bytes: number;
}

export interface RemoveLostOptions extends Omit<StorageOptions, 'endpoints'> {
  /** Only this is looked at. */
  concerns(topic: string, partition: number): boolean;
}

/**
 * Takes the records out of the logs whose payload is missing or damaged: their offsets are missing from then on, as after compaction, and consumers go
 * on behind them. It can be interrupted, also killed, at any time, and run again.
 * @throws Error for people, when a gateway has a directory, when one cannot be used, or while payload may be where nobody can look
 */
export async function removeLost(options: RemoveLostOptions): Promise<RemovedBatches[]> {
  const opened = await openPartitions(options);
  try {
    const removed: RemovedBatches[] = [];
    for (const partition of allOf(opened.metadata, opened.partitions)) {
      if (!options.concerns(partition.topic, partition.index)) continue;
      const lost = await lostIn(partition);
      // Only what is missing although everything is there is lost.
      assertAllThere(opened);
      if (lost.length === 0) continue;
      await partition.log.compaction.rewrite(new Remover(partition, lost));
      const bytes = lost.reduce((sum, { length }) => sum + length, 0);
      removed.push({ topic: partition.topic, partition: partition.index, batches: lost.length, bytes });
    }
    return removed;
  } finally {
    await opened.close();
  }
}

function assertAllThere({ tiers, stores }: StoppedPartitions): void {
  const outage = tiers.outage ?? stores.outage;
  if (outage !== null) throw unseen(outage);
}

function unseen(reason: string): Error {
  return new Error(`nothing is removed while payload may be where nobody can look: ${reason}`);
}

/**
 * The references of the log whose payload cannot be had.
 * @throws Error for people when some of it could not be looked for, be it for a moment
 */
export async function lostIn({ log, payloads }: Partition): Promise<Reference[]> {
  const lost: Reference[] = [];
  for await (const reference of referencesOf(log, log.logStartOffset, { passesDamage: true })) {
    if (reference.lastOffset < log.logStartOffset) continue;
    try {
      const { memory } = await payloads.read(reference);
      memory.release();
    } catch (error) {
      if (!(error instanceof PayloadError)) throw error;
      if (error.reason === 'unreachable') throw unseen(error.message);
      lost.push(reference);
    }
  }
  return lost;
}

class Remover implements BatchRewriter {
  readonly #partition: Partition;
  readonly #lost: ReadonlyMap<bigint, Reference>;
  /** To which the segment that is being replaced refers. */
  #unused: Reference[] = [];

  constructor(partition: Partition, lost: readonly Reference[]) {
    this.#partition = partition;
    this.#lost = new Map(lost.map((reference) => [reference.baseOffset, reference]));
  }

  concerns({ attributes, baseOffset }: BatchInfo): boolean {
    return (attributes & REFERENCE_ATTRIBUTE) !== 0 && this.#lost.has(baseOffset);
  }

  async replace({ baseOffset }: BatchInfo): Promise<null> {
    this.#unused.push(this.#lost.get(baseOffset)!);
    return null;
  }

  async settled(): Promise<void> {
    const unused = this.#unused;
    this.#unused = [];
    await this.#partition.payloads.release(unused);
  }
}
