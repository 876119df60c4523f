import { NativeMemory } from '../../../native/arena.ts';
import { crc32cSoon } from '../../../native/batch.ts';
import { MemoryPiece } from '../../../native/pieces.ts';
import type { Clock, Timer } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { RateLimit } from '../tiers/rate-limit.ts';
import { type ListedFile, StoreError } from './messages.ts';
import type { PayloadStores } from './payload-stores.ts';
import { type CopyState, planRepair } from './repair-plan.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import type { StorePeer } from './store-peer.ts';

/** Segments are copied and compared in steps of so many bytes. */
const STEP_BYTES = 4 << 20;
/** How often all segments are looked at, and stores are asked what they have. */
const LOOK_MS = 2000;
const COMPARE_MS = 60_000;

export interface RepairOptions {
  readonly stores: PayloadStores;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lostAfterMs: number;
  readonly bytesPerSecond: () => number;
}

export interface RepairCounters {
  /** Copies that were made, and their bytes. */
  copies: number;
  copiedBytes: number;
  /** Copies that were not what they should be. */
  damaged: number;
  /** Files that nobody referred to, removed from stores. */
  removed: number;
  failures: number;
}

/**
 * Brings stores to what the gateway refers to: copies of segments that have too few are made, those that are not needed go, and what no segment
 * refers to is removed. One segment at a time, below a rate.
 */
export class Repairs {
  readonly counters: RepairCounters = { copies: 0, copiedBytes: 0, damaged: 0, removed: 0, failures: 0 };
  readonly #options: RepairOptions;
  readonly #rate: RateLimit;
  readonly #waiting = new Set<ReplicatedSegment>();
  readonly #comparing = new Map<StorePeer, Promise<void>>();
  #timer: Timer | null = null;
  #comparedMs = 0;
  #running = false;
  /** The segment that is being repaired. */
  #current: ReplicatedSegment | null = null;
  #work: Promise<void> | null = null;
  #wake: () => void = () => {};

  constructor(options: RepairOptions) {
    this.#options = options;
    this.#rate = new RateLimit(options.clock);
  }

  /** Segments that are to be repaired. */
  get waiting(): number {
    return this.#waiting.size;
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
      this.lookAtAll();
      const now = this.#options.clock.now();
      if (now - this.#comparedMs >= COMPARE_MS) {
        this.#comparedMs = now;
        for (const peer of this.#options.stores.peers) if (peer.isUp) this.compare(peer);
      }
      this.#tick();
    });
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#timer?.cancel();
    this.#wake();
    this.#waiting.clear();
    await this.#work;
    await Promise.allSettled(this.#comparing.values());
  }

  lookAtAll(): void {
    for (const segment of this.#options.stores.segments) this.look(segment);
  }

  /** Something about the segment may have to be done. */
  look(segment: ReplicatedSegment): void {
    if (!this.#running || !segment.isComplete || !this.#plan(segment).isNeeded) return;
    this.#waiting.add(segment);
    this.#work ??= this.#run().finally(() => {
      this.#work = null;
    });
  }

  #plan(segment: ReplicatedSegment) {
    if (!segment.isComplete) return { isNeeded: false, lacking: 0, kept: [], dropped: [] };
    const { stores, clock, lostAfterMs } = this.#options;
    const now = clock.now();
    const copies = segment.copies.map(({ store, doubtful }): CopyState => {
      const peer = stores.peer(store);
      const away = now - stores.seenAtMs(store) >= lostAfterMs ? 'lost' : 'away';
      return {
        store,
        doubtful,
        presence: peer === null ? away : peer.status?.draining === true ? 'draining' : 'in',
      };
    });
    return planRepair(copies, segment.replicas);
  }

  async #run(): Promise<void> {
    for (const segment of this.#waiting) {
      this.#waiting.delete(segment);
      if (!this.#running) return;
      this.#current = segment;
      try {
        await this.#repair(segment);
      } catch (error) {
        this.counters.failures++;
        const fields = { file: segment.file, reason: (error as Error).message };
        this.#options.logger.warn(fields, 'a payload segment could not be repaired; it is tried again');
      } finally {
        this.#current = null;
      }
    }
  }

  async #repair(segment: ReplicatedSegment): Promise<void> {
    for (const { store, doubtful } of segment.copies) {
      const peer = this.#options.stores.peer(store);
      if (doubtful && peer !== null) await this.#resolveDoubt(segment, peer);
    }
    const { lacking } = this.#plan(segment);
    if (lacking > 0) await this.#addCopies(segment, lacking);
    const { kept, dropped } = this.#plan(segment);
    if (dropped.length === 0 || !this.#isLive(segment)) return;
    await segment.setCopies(segment.copies.filter(({ store }) => kept.includes(store)));
    for (const store of dropped) {
      const peer = this.#options.stores.peer(store);
      await peer?.request({ op: 'remove', file: segment.file });
    }
  }

  /** A doubtful copy that equals a good one is a good one; another goes. */
  async #resolveDoubt(segment: ReplicatedSegment, peer: StorePeer): Promise<void> {
    const source = this.#goodPeer(segment, peer);
    const others = segment.copies.filter(({ store, doubtful }) => store !== peer.id && !doubtful);
    // Without a good copy to compare it with it stays as it is, unless it is the only one.
    if (source === null && others.length > 0) return;
    const same = source === null || (await this.#areEqual(segment, source, peer));
    if (!this.#isLive(segment)) return;
    if (same) {
      const { file, bytes } = segment;
      const sealed = await peer.request({ op: 'seal', file, bytes, trust: true }).then(
        () => true,
        (error: StoreError) => {
          if (error.code !== 'EBADMSG' && error.code !== 'ENOENT') throw error;
          return false;
        },
      );
      if (sealed) {
        await this.#setDoubt(segment, peer, false);
        return;
      }
    }
    if (source === null) return;
    this.counters.damaged++;
    this.#options.logger.warn(
      { store: peer.id, file: segment.file },
      'a copy of a payload segment is not whole: it is made anew',
    );
    await segment.setCopies(segment.copies.filter(({ store }) => store !== peer.id));
    await peer.request({ op: 'remove', file: segment.file });
  }

  #setDoubt(segment: ReplicatedSegment, peer: StorePeer, doubtful: boolean): Promise<void> {
    return segment.setCopies(
      segment.copies.map((copy) => (copy.store === peer.id ? { store: copy.store, doubtful } : copy)),
    );
  }

  #goodPeer(segment: ReplicatedSegment, except: StorePeer | null): StorePeer | null {
    const { stores } = this.#options;
    const good = segment.copies
      .filter(({ doubtful }) => !doubtful)
      .flatMap(({ store }) => stores.peer(store) ?? [])
      .filter((peer) => peer !== except);
    return stores.byDistance(good)[0] ?? null;
  }

  async #areEqual(segment: ReplicatedSegment, a: StorePeer, b: StorePeer): Promise<boolean> {
    const { file, bytes } = segment;
    for (let position = 0; position < bytes; position += STEP_BYTES) {
      const length = Math.min(STEP_BYTES, bytes - position);
      await this.#pace(length);
      const ask = { op: 'check', file, position, length, seed: 0 } as const;
      const expected = await a.request(ask);
      const found = await b.request(ask).catch((error: StoreError) => {
        if (error.code === 'ENOTCONN' || error.code === 'ENOMEM') throw error;
        return null; // it is not there, or cannot be read
      });
      if (expected.length !== length) throw new StoreError('EBADMSG', `${a.address} has less than it should`);
      if (found === null || found.length !== length || found.crc !== expected.crc) return false;
    }
    return true;
  }

  async #addCopies(segment: ReplicatedSegment, count: number): Promise<void> {
    const have = segment.copies.map(({ store }) => store);
    for (const target of this.#options.stores.choose(segment, have, count)) {
      const source = this.#goodPeer(segment, null);
      if (source === null) return;
      await this.#copy(segment, source, target);
      if (!this.#isLive(segment)) {
        await target.request({ op: 'remove', file: segment.file });
        return;
      }
      await segment.setCopies([...segment.copies, { store: target.id!, doubtful: false }]);
      this.counters.copies++;
      const fields = { file: segment.file, bytes: segment.bytes, from: source.id, to: target.id };
      this.#options.logger.info(fields, 'made another copy of a payload segment');
    }
  }

  /** Through this gateway's memory, step by step. */
  async #copy(segment: ReplicatedSegment, source: StorePeer, target: StorePeer): Promise<void> {
    const { file, bytes } = segment;
    await target.request({ op: 'remove', file });
    await target.request({ op: 'create', file });
    try {
      for (let position = 0; position < bytes; position += STEP_BYTES) {
        const length = Math.min(STEP_BYTES, bytes - position);
        await this.#pace(length);
        if (!this.#isLive(segment)) return;
        await this.#copyStep(file, position, length, source, target);
      }
      await target.request({ op: 'seal', file, bytes, trust: true });
    } catch (error) {
      await target.request({ op: 'remove', file }).catch(() => undefined);
      throw error;
    }
  }

  async #copyStep(
    file: string,
    position: number,
    length: number,
    source: StorePeer,
    target: StorePeer,
  ): Promise<void> {
    const memory = NativeMemory.allocate(length);
    if (memory === null) throw new StoreError('ENOMEM', 'the arena is full');
    const at = memory.arenaOffset;
    const timeoutMs = this.#options.stores.requestTimeoutMs;
    try {
      const order = { file, position, length, timeoutMs };
      const read = await source.request({ op: 'read', ...order, seed: 0, target: at, key: source.key });
      if (read.length !== length || (await crc32cSoon(new MemoryPiece(memory))) !== read.crc)
        throw new StoreError('EBADMSG', `${source.address} did not give what it has`);
      await target.request({ op: 'append', ...order, source: at, key: target.key, fromMemory: false });
      this.counters.copiedBytes += length;
    } finally {
      memory.release();
    }
  }

  async #pace(bytes: number): Promise<void> {
    const delay = this.#rate.delayMs(bytes, this.#options.bytesPerSecond());
    if (delay > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#options.clock.setTimer(delay, resolve);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    if (!this.#running) throw new StoreError('ESHUTDOWN', 'the gateway stops');
  }

  #isLive(segment: ReplicatedSegment): boolean {
    return this.#options.stores.has(segment);
  }

  // What stores have

  /** Asks a store what it has, removes what nobody refers to, and notes what it lacks. */
  compare(peer: StorePeer): void {
    if (!this.#running || this.#comparing.has(peer)) return;
    const compared = this.#compare(peer)
      .catch((error: unknown) => {
        const fields = { store: peer.id, reason: (error as Error).message };
        this.#options.logger.warn(fields, 'a payload store could not be compared with what is referred to');
      })
      .finally(() => this.#comparing.delete(peer));
    this.#comparing.set(peer, compared);
  }

  async #compare(peer: StorePeer): Promise<void> {
    const { stores } = this.#options;
    const store = peer.id!;
    // Only what was complete before the store was asked can be said to be lacking.
    const expected = new Set<ReplicatedSegment>();
    for (const segment of stores.segments)
      if (segment.isComplete && segment.copies.some((copy) => copy.store === store)) expected.add(segment);
    for (let after = ''; ; ) {
      const { files, more } = await peer.request({ op: 'list', after });
      for (const file of files) {
        const owner = stores.ownerOf(file);
        if (owner === null) await this.#removeFile(peer, file);
        else if (owner !== 'unknown') await this.#compareFile(peer, file, owner, expected);
      }
      if (!more || files.length === 0 || !this.#running) break;
      after = files[files.length - 1]!.file;
    }
    for (const segment of expected) {
      if (!this.#running || !this.#isLive(segment) || this.#isTouched(segment, store)) continue;
      this.#options.logger.warn(
        { store, file: segment.file },
        'a payload store has lost a copy of a segment',
      );
      const left = segment.copies.filter((copy) => copy.store !== store);
      if (left.length > 0) await segment.setCopies(left);
      this.look(segment);
    }
  }

  /** Its copy there was taken away since the comparison began. */
  #isTouched(segment: ReplicatedSegment, store: string): boolean {
    return !segment.copies.some((copy) => copy.store === store);
  }

  async #compareFile(
    peer: StorePeer,
    file: ListedFile,
    segment: ReplicatedSegment,
    expected: Set<ReplicatedSegment>,
  ): Promise<void> {
    expected.delete(segment);
    if (!segment.isComplete || segment === this.#current) return;
    const copy = segment.copies.find(({ store }) => store === peer.id);
    if (copy === undefined) {
      if (segment.outage === null) await this.#removeFile(peer, file);
      return;
    }
    if (!copy.doubtful && (!file.sealed || file.bytes !== segment.bytes))
      await this.#setDoubt(segment, peer, true);
    this.look(segment);
  }

  async #removeFile(peer: StorePeer, { file }: ListedFile): Promise<void> {
    await peer.request({ op: 'remove', file });
    this.counters.removed++;
  }
}
