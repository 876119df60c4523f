import type { Clock } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { type ListedFile, StoreError } from './messages.ts';
import type { PayloadStores } from './payload-stores.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import type { StorePeer } from './store-peer.ts';

/** Files of nobody at one store that are waited for; more are looked at when these are gone. */
const MAX_ORPHANS = 100_000;

/**
 * What a store's file is to this gateway, when it is no copy of a segment: `gone`: what it belongs to was removed since the gateway started; `orphan`:
 * nobody refers to it; `foreign`: another set of log directories has made it; `unknown`: nothing can be said now.
 */
export type StrayKind = 'gone' | 'orphan' | 'foreign' | 'unknown';

export interface ComparisonOptions {
  readonly stores: PayloadStores;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Files of nobody are removed when they have been that for so long. */
  readonly orphanGraceMs: number;
  /** A segment about which something is to be done. */
  readonly found: (segment: ReplicatedSegment) => void;
  readonly removed: () => void;
}

/** Compares what stores have with what the gateway refers to. */
export class StoreComparison {
  readonly #options: ComparisonOptions;
  /** By store: files of nobody, and when they were first seen. */
  readonly #orphans = new Map<string, Map<string, number>>();
  /** By store: how many files there are of other log directories. */
  readonly #foreign = new Map<string, number>();

  constructor(options: ComparisonOptions) {
    this.#options = options;
  }

  /** Files at stores that this gateway would have made, if it had the log directories that they come from. */
  get foreignFiles(): number {
    return [...this.#foreign.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Asks a store what it has, removes what nobody needs, and notes what it lacks. `goesOn`: false ends it. */
  async compare(peer: StorePeer, goesOn: () => boolean): Promise<void> {
    const { stores } = this.#options;
    const store = peer.id!;
    // Only what was complete before the store was asked can be said to be lacking.
    const expected = new Map<string, ReplicatedSegment>();
    for (const segment of stores.segments) {
      if (!segment.isComplete) continue;
      for (const copy of segment.copies) if (copy.store === store) expected.set(copy.file, segment);
    }
    const before = this.#orphans.get(store) ?? new Map<string, number>();
    const orphans = new Map<string, number>();
    let foreign = 0;
    for await (const file of peer.files()) {
      if (!goesOn()) return;
      expected.delete(file.file);
      if ((await this.#compareFile(peer, file, before, orphans)) === 'foreign') foreign++;
    }
    if (!goesOn()) return;
    this.#orphans.set(store, orphans);
    this.#foreignAt(store, foreign);
    for (const [file, segment] of expected) {
      if (!goesOn()) return;
      await this.#lacks(peer, file, segment);
    }
  }

  async #compareFile(
    peer: StorePeer,
    file: ListedFile,
    before: ReadonlyMap<string, number>,
    orphans: Map<string, number>,
  ): Promise<StrayKind | null> {
    const { stores, clock, orphanGraceMs } = this.#options;
    const owner = stores.ownerOf(peer.id!, file);
    if (typeof owner !== 'string') {
      await this.#compareCopy(peer.id!, file, owner);
      return null;
    }
    const now = clock.now();
    const sinceMs = before.get(file.file) ?? now;
    if (owner === 'gone' || (owner === 'orphan' && now - sinceMs >= orphanGraceMs)) {
      await peer.request({ op: 'remove', file: file.file });
      this.#options.removed();
    } else if (owner === 'orphan' && orphans.size < MAX_ORPHANS) orphans.set(file.file, sinceMs);
    return owner;
  }

  async #compareCopy(store: string, file: ListedFile, segment: ReplicatedSegment): Promise<void> {
    if (!segment.isComplete) return;
    const copy = segment.copies.find((one) => one.store === store && one.file === file.file);
    if (copy === undefined) return;
    if (!copy.doubtful && (!file.sealed || file.bytes !== segment.bytes)) await segment.setDoubt(store, true);
    this.#options.found(segment);
  }

  #foreignAt(store: string, count: number): void {
    const before = this.#foreign.get(store) ?? 0;
    this.#foreign.set(store, count);
    if (count === 0 || count === before) return;
    const fields = { store, files: count };
    this.#options.logger.warn(
      fields,
      'a payload store has files from log directories that this gateway does not have: they stay; see docs/stores.md',
    );
  }

  /** The store has said that it has no such file. It is asked once more: what is not there is not to be counted on. */
  async #lacks(peer: StorePeer, file: string, segment: ReplicatedSegment): Promise<void> {
    const { stores, logger, found } = this.#options;
    const store = peer.id!;
    const isCopy = () => segment.copies.some((copy) => copy.store === store && copy.file === file);
    const ask = { op: 'check', file, position: 0, length: 1, seed: 0 } as const;
    const isLost = await peer.request(ask).then(
      () => false,
      (error: unknown) => error instanceof StoreError && error.code === 'ENOENT',
    );
    // Another store may be at its address by now.
    if (!isLost || peer.id !== store || !stores.has(segment) || !isCopy()) return;
    logger.warn({ store, file }, 'a payload store has lost a copy of a segment');
    const left = segment.copies.filter((copy) => copy.store !== store);
    if (left.length > 0) await segment.setCopies(left);
    found(segment);
  }
}
