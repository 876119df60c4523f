import { type Clock, isPausing, type Timer } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { Throttle } from '../../../util/throttle.ts';
import type { Reference } from '../payload-recovery.ts';
import { Backoff } from './backoff.ts';
import { hasAll } from './extent-check.ts';
import { StoreError } from './messages.ts';
import type { PayloadStores } from './payload-stores.ts';
import { type CopyState, planRepair } from './repair-plan.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import { type CopySources, LostExtent, SegmentCopier } from './segment-copier.ts';
import { isAnswer } from './segment-copies.ts';
import { StoreComparison } from './store-comparison.ts';
import type { StorePeer } from './store-peer.ts';

/** How often segments are looked at, so many of them at a time, and how often each store is asked what it has. */
const LOOK_MS = 2000;
const LOOK_SEGMENTS = 5000;
const COMPARE_MS = 60_000;
/** A segment about which nothing could be done is tried again after the first time, then ever later. */
const FIRST_RETRY_MS = 2000;
const LAST_RETRY_MS = 300_000;

export interface RepairOptions {
  readonly stores: PayloadStores;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lostAfterMs: number;
  readonly orphanGraceMs: number;
  readonly bytesPerSecond: () => number;
}

export interface RepairCounters {
  /** Copies that were made. */
  copies: number;
  /** Copies that were not what they should be. */
  damaged: number;
  /** Segments of which something was found at no store. */
  lost: number;
  /** Files that nobody referred to, removed from stores. */
  removed: number;
  failures: number;
}

/** What has been tried in vain. */
interface Delay {
  untilMs: number;
  readonly backoff: Backoff;
}

/**
 * Brings stores to what the gateway refers to: copies of segments that have too few are made, those that are not needed go, and what no segment
 * refers to is removed. One segment at a time, below a rate. The checksums in the log say which copies are good; what is good somewhere is never
 * given up before there are enough copies that have it.
 */
export class Repairs {
  readonly counters: RepairCounters = { copies: 0, damaged: 0, lost: 0, removed: 0, failures: 0 };
  readonly comparison: StoreComparison;
  readonly #options: RepairOptions;
  readonly #copier: SegmentCopier;
  readonly #throttle: Throttle;
  readonly #waiting = new Set<ReplicatedSegment>();
  readonly #comparing = new Map<StorePeer, Promise<void>>();
  #delays = new WeakMap<ReplicatedSegment, Delay>();
  /** Those that are looked at next, of all. */
  #sweep: Iterator<ReplicatedSegment> | null = null;
  #timer: Timer | null = null;
  #comparedMs = 0;
  #running = false;
  #work: Promise<void> | null = null;

  constructor(options: RepairOptions) {
    const { stores, clock, logger, orphanGraceMs, bytesPerSecond } = options;
    this.#options = options;
    this.#throttle = new Throttle(clock, bytesPerSecond);
    this.#copier = new SegmentCopier(stores, (bytes) => this.#pace(bytes), clock);
    this.comparison = new StoreComparison({
      stores,
      clock,
      logger,
      orphanGraceMs,
      found: (segment) => this.look(segment),
      removed: () => {
        this.counters.removed++;
      },
    });
  }

  /** Segments that are to be repaired. */
  get waiting(): number {
    return this.#waiting.size;
  }

  get copiedBytes(): number {
    return this.#copier.copiedBytes;
  }

  /** Of those copies, what was left out: no record refers to it, and it was given back. */
  get skippedBytes(): number {
    return this.#copier.skippedBytes;
  }

  /** Bytes of copies that are lacking. */
  get lackingBytes(): number {
    let bytes = 0;
    for (const segment of this.#options.stores.segments) bytes += this.#plan(segment).lacking * segment.bytes;
    return bytes;
  }

  start(): void {
    this.#running = true;
    this.#tick();
  }

  #tick(): void {
    this.#timer = this.#options.clock.setTimer(LOOK_MS, () => {
      if (!this.#running) return;
      this.#lookAtSome();
      const now = this.#options.clock.now();
      if (!isPausing(this.#comparedMs + COMPARE_MS, now, COMPARE_MS)) {
        this.#comparedMs = now;
        for (const peer of this.#options.stores.peers) if (peer.isUp) void this.compare(peer);
      }
      this.#tick();
    });
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#timer?.cancel();
    this.#throttle.end();
    this.#waiting.clear();
    await this.#work;
    await Promise.allSettled(this.#comparing.values());
  }

  #lookAtSome(): void {
    this.#sweep ??= this.#options.stores.segments[Symbol.iterator]();
    for (let i = 0; i < LOOK_SEGMENTS; i++) {
      const next = this.#sweep.next();
      if (next.done === true) {
        this.#sweep = null;
        return;
      }
      this.look(next.value);
    }
  }

  /** Stores have changed: what could not be done may be possible now. */
  lookAtAll(): void {
    this.#delays = new WeakMap();
    for (const segment of this.#options.stores.segments) this.look(segment);
  }

  /** What could not be done for the segment may be possible now. */
  lookAgain(segment: ReplicatedSegment): void {
    this.#delays.delete(segment);
    this.look(segment);
  }

  /** Something about the segment may have to be done. */
  look(segment: ReplicatedSegment): void {
    if (!this.#running || !segment.isComplete || !this.#plan(segment).isNeeded) return;
    const delay = this.#delays.get(segment);
    if (delay !== undefined && isPausing(delay.untilMs, this.#options.clock.now(), LAST_RETRY_MS)) return;
    this.#waiting.add(segment);
    this.#work ??= this.#run().finally(() => {
      this.#work = null;
    });
  }

  #plan(segment: ReplicatedSegment, damaged: ReadonlySet<string> = new Set()) {
    if (!segment.isComplete) return { isNeeded: false, lacking: 0, kept: [], dropped: [] };
    const { stores, clock, lostAfterMs } = this.#options;
    const now = clock.now();
    const copies = segment.copies.map(({ store, doubtful }): CopyState => {
      const peer = stores.peer(store);
      const away = () => (now - stores.seenAtMs(store) >= lostAfterMs ? 'lost' : 'away');
      return {
        store,
        doubtful,
        damaged: damaged.has(store),
        presence: peer === null ? away() : peer.status?.draining === true ? 'draining' : 'in',
      };
    });
    return planRepair(copies, segment.replicas);
  }

  async #run(): Promise<void> {
    for (const segment of this.#waiting) {
      this.#waiting.delete(segment);
      if (!this.#running) return;
      segment.isBusy = true;
      try {
        await this.#repair(segment);
        if (this.#plan(segment).isNeeded) this.#delay(segment);
        else this.#delays.delete(segment);
      } catch (error) {
        this.#failed(segment, error);
      } finally {
        segment.isBusy = false;
      }
    }
  }

  #delay(segment: ReplicatedSegment): void {
    const fresh = () => ({ untilMs: 0, backoff: new Backoff(FIRST_RETRY_MS, LAST_RETRY_MS) });
    const delay = this.#delays.get(segment) ?? fresh();
    delay.untilMs = this.#options.clock.now() + delay.backoff.delayMs;
    delay.backoff.grow();
    this.#delays.set(segment, delay);
  }

  #failed(segment: ReplicatedSegment, error: unknown): void {
    if (!this.#running) return;
    this.#delay(segment);
    const fields = { file: segment.file, reason: (error as Error).message };
    if (error instanceof LostExtent) {
      this.counters.lost++;
      this.#options.logger.error(fields, 'payload at stores is lost; what is left of it stays where it is');
      return;
    }
    this.counters.failures++;
    this.#options.logger.warn(fields, 'a payload segment could not be repaired; it is tried again');
  }

  async #repair(segment: ReplicatedSegment): Promise<void> {
    const references = await this.#options.stores.references(segment);
    // A partition that is not open cannot say what is good.
    if (references === null) return;
    const damaged = await this.#resolveDoubts(segment, references);
    const { lacking } = this.#plan(segment, damaged);
    if (lacking > 0) await this.#addCopies(segment, references, lacking, damaged);
    const { kept, dropped } = this.#plan(segment, damaged);
    if (dropped.length === 0 || !this.#isLive(segment)) return;
    const isOneIn = dropped.some((store) => this.#options.stores.peer(store) !== null);
    if (isOneIn && !(await this.#isWholeAt(segment, references, kept))) return;
    if (!this.#isLive(segment)) return;
    await segment.setCopies(segment.copies.filter(({ store }) => kept.includes(store)));
  }

  /** Whether one of the copies that stay has all, so that others may go; those that were taken for that, and have not, are doubtful then. */
  async #isWholeAt(
    segment: ReplicatedSegment,
    references: readonly Reference[],
    kept: readonly string[],
  ): Promise<boolean> {
    for (const { store, doubtful, file } of segment.copies) {
      const peer = this.#options.stores.peer(store);
      if (doubtful || peer === null || !kept.includes(store)) continue;
      if (await hasAll(peer, file, references, (bytes) => this.#pace(bytes))) return true;
      if (this.#isLive(segment)) await segment.setDoubt(store, true);
    }
    return false;
  }

  /** A doubtful copy that has all that the log refers to is a good one. Returns the stores of others. */
  async #resolveDoubts(segment: ReplicatedSegment, references: readonly Reference[]): Promise<Set<string>> {
    const damaged = new Set<string>();
    for (const { store, doubtful, file } of segment.copies) {
      const peer = this.#options.stores.peer(store);
      if (!doubtful || peer === null) continue;
      const isWhole =
        (await hasAll(peer, file, references, (bytes) => this.#pace(bytes))) &&
        (await this.#seal(segment, peer, file));
      if (!this.#isLive(segment)) break;
      if (isWhole) {
        await segment.setDoubt(store, false);
        continue;
      }
      damaged.add(store);
      this.counters.damaged++;
      this.#options.logger.warn({ store, file }, 'a copy of a payload segment is not whole: it is made anew');
    }
    return damaged;
  }

  async #seal({ bytes }: ReplicatedSegment, peer: StorePeer, file: string): Promise<boolean> {
    return peer.request({ op: 'seal', file, bytes, trust: true }).then(
      () => true,
      (error: unknown) => {
        if (isAnswer(error)) return false;
        throw error;
      },
    );
  }

  /** At stores that have none, and beside damaged ones, which they replace. */
  async #addCopies(
    segment: ReplicatedSegment,
    references: readonly Reference[],
    count: number,
    damaged: ReadonlySet<string>,
  ): Promise<void> {
    const { stores } = this.#options;
    const sources = await this.#copier.find(segment, references);
    await this.#doubt(segment, sources);
    const have = segment.copies.map(({ store }) => store);
    const beside = [...damaged].flatMap((store) => stores.peer(store) ?? []).filter((peer) => peer.takesNew);
    const targets = [...beside, ...stores.choose(segment, have, count)].slice(0, count);
    for (const target of targets) {
      if (!this.#isLive(segment)) return;
      await this.#addCopy(segment, references, sources, target);
    }
  }

  /** Copies that were taken for good, and are not. */
  async #doubt(segment: ReplicatedSegment, { damaged }: CopySources): Promise<void> {
    for (const { store, doubtful } of segment.copies)
      if (!doubtful && damaged.has(store)) await segment.setDoubt(store, true);
  }

  async #addCopy(
    segment: ReplicatedSegment,
    references: readonly Reference[],
    { parts }: CopySources,
    peer: StorePeer,
  ): Promise<void> {
    const { incarnation, file, made } = segment.beginCopy();
    const store = peer.id!;
    try {
      if (!(await this.#copier.copy(segment, parts, references, { peer, file }))) return;
      if (!this.#isLive(segment)) {
        this.#options.stores.gone(file);
        return;
      }
      const others = segment.copies.filter((copy) => copy.store !== store);
      await segment.setCopies([...others, { store, doubtful: false, incarnation }]);
    } finally {
      made();
    }
    this.counters.copies++;
    const fields = { file, bytes: segment.bytes, to: store };
    this.#options.logger.info(fields, 'made another copy of a payload segment');
  }

  async #pace(bytes: number): Promise<void> {
    await this.#throttle.wait(bytes);
    if (!this.#running) throw new StoreError('ESHUTDOWN', 'the gateway stops');
  }

  #isLive(segment: ReplicatedSegment): boolean {
    return this.#options.stores.has(segment);
  }

  // What stores have

  /** Asks a store what it has, removes what nobody refers to, and notes what it lacks. Resolves when that is done, or could not be. */
  compare(peer: StorePeer): Promise<void> {
    const underWay = this.#comparing.get(peer);
    if (underWay !== undefined) return underWay;
    if (!this.#running) return Promise.resolve();
    const compared = this.comparison
      .compare(peer, () => this.#running)
      .catch((error: unknown) => {
        const fields = { store: peer.id, reason: (error as Error).message };
        this.#options.logger.warn(fields, 'a payload store could not be compared with what is referred to');
      })
      .finally(() => this.#comparing.delete(peer));
    this.#comparing.set(peer, compared);
    return compared;
  }
}
