import type { Clock } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { PacedRounds } from '../paced-rounds.ts';
import type { Reference } from '../payload-recovery.ts';
import { hasExtent } from './extent-check.ts';
import type { PayloadStores } from './payload-stores.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import type { StorePlaces } from './store-places.ts';

/** Between two rounds over everything, and when nothing is to be read. */
const PAUSE_MS = 60_000;

export interface ScrubOptions {
  readonly stores: PayloadStores;
  readonly clock: Clock;
  readonly logger: Logger;
  /** 0: nothing is read. */
  readonly bytesPerSecond: () => number;
}

/**
 * Reads all that stores have, slowly, and compares it with the checksums in the log: what is damaged is made anew from a copy that is not, before
 * that one is lost. The bytes stay where they are; stores tell their checksums.
 */
export class Scrubber {
  /** Rounds that ended, bytes that were read, and extents that were not what they should be, without any copy that is. */
  readonly counters = { rounds: 0, bytes: 0, damaged: 0, lost: 0 };
  readonly #options: ScrubOptions;
  readonly #rounds: PacedRounds;

  constructor(options: ScrubOptions) {
    const { clock, bytesPerSecond } = options;
    this.#options = options;
    this.#rounds = new PacedRounds({ clock, bytesPerSecond, pauseMs: PAUSE_MS, look: () => this.round() });
  }

  start(): void {
    this.#rounds.start();
  }

  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  /** Once over everything. */
  async round(): Promise<void> {
    if (this.#options.bytesPerSecond() === 0) return;
    for (const places of [...this.#options.stores.openPlaces()]) {
      if (!this.#rounds.isRunning) return;
      try {
        await this.#scrub(places);
      } catch (error) {
        const fields = { partition: places.name, reason: (error as Error).message };
        this.#options.logger.warn(fields, 'payload at stores could not be checked');
      }
    }
    this.counters.rounds++;
  }

  async #scrub(places: StorePlaces): Promise<void> {
    for await (const reference of places.completeReferences()) {
      if (!this.#rounds.isRunning || this.#options.bytesPerSecond() === 0) return;
      const segment = places.segments.get(reference.segmentId);
      if (segment?.isComplete) await this.#check(segment, reference);
    }
  }

  async #check(segment: ReplicatedSegment, reference: Reference): Promise<void> {
    const { stores, logger } = this.#options;
    const { position, length } = reference;
    const damaged: string[] = [];
    let whole = 0;
    // A copy in doubt is looked at by repairs, unless there is no other.
    const inOrder = [...segment.copies].sort((a, b) => Number(a.doubtful) - Number(b.doubtful));
    for (const { store, doubtful, file } of inOrder) {
      const peer = stores.peer(store);
      if (peer === null || (doubtful && (whole > 0 || damaged.length === 0))) continue;
      try {
        if (await hasExtent(peer, file, reference, (bytes) => this.#rounds.wait(bytes))) whole++;
        else if (!doubtful) damaged.push(store);
      } catch {
        // The store has gone, or has no memory now.
      }
      if (!this.#rounds.isRunning) return;
      this.counters.bytes += length;
    }
    if (damaged.length === 0 || !stores.has(segment)) return;
    // It may have been given up meanwhile, and its space with it.
    const left = await stores.references(segment);
    if (left?.every(({ baseOffset }) => baseOffset !== reference.baseOffset)) return;
    this.counters.damaged += damaged.length;
    const fields = { file: segment.file, position, length, stores: damaged };
    if (whole === 0) {
      this.counters.lost++;
      logger.error(fields, 'payload at stores is damaged, and no copy that is there is whole');
    } else logger.warn(fields, 'a copy of payload at a store is damaged: it is made anew');
    await segment.setCopies(
      segment.copies.map((copy) => ({ ...copy, doubtful: copy.doubtful || damaged.includes(copy.store) })),
    );
    stores.changed(segment);
  }
}
