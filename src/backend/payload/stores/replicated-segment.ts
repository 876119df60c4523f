import { NativeMemory } from '../../../native/arena.ts';
import { crc32cSoon } from '../../../native/batch.ts';
import { MemoryPiece } from '../../../native/pieces.ts';
import { LogError, LogErrorCode } from '../../log/errors.ts';
import type { PayloadFile, PayloadPlace } from '../ports.ts';
import { removeFile } from '../small-files.ts';
import { StoreError } from './messages.ts';
import { type CopyRecord, recordPath, type SegmentRecord, writeRecord } from './segment-record.ts';
import type { StorePeer } from './store-peer.ts';
import { type StoredName, storedName } from './stored-name.ts';

/** How paths of segments at stores begin, where files are named by paths. */
export const STORES_PREFIX = 'stores:';

/** What a segment needs of those who know the stores. */
export interface SegmentStores {
  readonly requestTimeoutMs: number;
  /** The store, while it is in. */
  peer(store: string): StorePeer | null;
  /** Stores that could take a copy, of those that have none. */
  spare(copies: readonly string[]): number;
  /** Reads go first to whoever this puts first. */
  byDistance(peers: StorePeer[]): StorePeer[];
  /** Something about the segment is not as it should be, or was completed. */
  changed(segment: ReplicatedSegment): void;
  forgotten(segment: ReplicatedSegment): void;
  warn(fields: object, message: string): void;
}

export interface SegmentPlan {
  readonly name: StoredName;
  /** The partition's payload directory. */
  readonly directory: string;
  /** Wanted copies, and how many an extent needs before it is acknowledged. */
  readonly replicas: number;
  readonly minInsync: number;
}

/** A copy of the segment at one store. */
interface Copy {
  readonly store: string;
  /** What has come since then is not there for sure. */
  doubtful: boolean;
}

/**
 * One payload segment that stores have copies of; the file and its place in one. This side gives extents their positions, so that they are the
 * same everywhere. A copy that misses an extent gets no more: the segment is to be ended then, which `hasRoomFor` says.
 */
export class ReplicatedSegment implements PayloadPlace, PayloadFile {
  readonly name: StoredName;
  /** As stores know it. */
  readonly file: string;
  readonly path: string;
  readonly ready: Promise<void>;
  /** Of what was appended; once it is complete, of the segment. */
  bytes = 0;
  /** It takes no more, and has its list of extents. */
  isComplete = false;
  /** Being copied or compared. */
  isBusy = false;
  replicas: number;
  minInsync: number;
  readonly #stores: SegmentStores;
  readonly #directory: string;
  #copies: Copy[];
  #broken = false;
  #removed = false;
  #isSealed = false;
  #recording: Promise<void> = Promise.resolve();

  /** `copies`: where it is, or is to be. `made`: when the directory of a new one is there, and its record can be written; null: it is not new. */
  constructor(
    plan: SegmentPlan,
    copies: readonly CopyRecord[],
    made: Promise<void> | null,
    stores: SegmentStores,
  ) {
    this.name = plan.name;
    this.file = storedName(plan.name);
    this.path = `${STORES_PREFIX}${this.file}`;
    this.replicas = plan.replicas;
    this.minInsync = plan.minInsync;
    this.#directory = plan.directory;
    this.#stores = stores;
    this.#copies = copies.map(({ store, doubtful }) => ({ store, doubtful }));
    this.ready = made === null ? Promise.resolve() : made.then(() => this.#record());
    // Whoever opens the file hears of a failure.
    this.ready.catch(() => undefined);
  }

  get copies(): readonly Readonly<Copy>[] {
    return this.#copies;
  }

  // As a place

  get outage(): string | null {
    if (this.#copies.some(({ store }) => this.#stores.peer(store) !== null)) return null;
    const stores = this.#copies.map(({ store }) => store).join(', ');
    return stores === '' ? 'no store has it' : `its payload stores are not there: ${stores}`;
  }

  /** A segment that is short of copies, or at a store that is drained, ends, so that the next one gets all. */
  hasRoomFor(): boolean {
    if (this.#broken || this.#copies.some(({ doubtful }) => doubtful)) return false;
    if (this.#copies.some(({ store }) => this.#stores.peer(store)?.status?.draining === true)) return false;
    const lacking = this.replicas - this.#copies.length;
    return lacking <= 0 || this.#stores.spare(this.#copies.map(({ store }) => store)) === 0;
  }

  resized(): void {}

  completed(bytes: number): void {
    this.bytes = bytes;
    this.isComplete = true;
    this.#stores.changed(this);
  }

  failed(): void {
    this.#broken = true;
  }

  removed(): void {
    this.#stores.forgotten(this);
  }

  // As a file

  /** Makes it at its stores. */
  async create(): Promise<void> {
    await this.ready;
    await this.#atCopies((peer) => peer.request({ op: 'create', file: this.file }));
  }

  append(
    pieces: (Uint8Array | MemoryPiece)[],
    { fromMemory }: { align: true; fromMemory: boolean },
  ): { position: number; done: Promise<void> } {
    const piece = held(pieces[0]!);
    const { byteLength: length, memory } = piece;
    const position = this.bytes;
    this.bytes += length;
    const source = memory.arenaOffset + piece.offset;
    const timeoutMs = this.#stores.requestTimeoutMs;
    const done = this.#atCopies(async (peer) => {
      const { file } = this;
      const { key } = peer;
      await peer.request({ op: 'append', file, position, length, source, key, fromMemory, timeoutMs });
      peer.counters.writtenBytes += length;
    });
    return { position, done: done.finally(() => memory.release()) };
  }

  async sync(): Promise<void> {
    // What stores have completed is durable there.
    if (!this.#isSealed) await this.#atCopies((peer) => peer.request({ op: 'sync', file: this.file }));
  }

  /**
   * Ends the segment at all stores that are in; copies at others, and those of which a store cannot say what they hold, are doubtful from now
   * on. Where no copy is without a doubt, all are taken for what they seem to be: extents are checked when they are read.
   */
  async truncate(size: number): Promise<void> {
    const failures: string[] = [];
    const sealed = (await this.#seal(size, false, failures)) || (await this.#seal(size, true, failures));
    if (!sealed) throw new StoreError('EIO', `no store could complete ${this.file}: ${failures.join('; ')}`);
    this.bytes = size;
    this.#isSealed = true;
    await this.#record();
  }

  /** Whether one copy at least was completed. */
  async #seal(bytes: number, trust: boolean, failures: string[]): Promise<boolean> {
    const { file } = this;
    const sealed = await Promise.all(
      this.#copies.map(async (copy) => {
        try {
          await this.#peerOf(copy).request({ op: 'seal', file, bytes, trust });
          copy.doubtful = false;
          return true;
        } catch (error) {
          copy.doubtful = true;
          failures.push(`${copy.store}: ${(error as Error).message}`);
          return false;
        }
      }),
    );
    return sealed.includes(true);
  }

  /** Of one store after the other until one has it; `expected`: and has what is expected. */
  async readCrc(
    position: number,
    length: number,
    seed = 0,
    expected: number | null = null,
  ): Promise<{ piece: MemoryPiece; crc32c: number }> {
    let best: { piece: MemoryPiece; crc32c: number } | null = null;
    let failure: unknown = new StoreError('ENOENT', this.outage ?? 'no store has it');
    for (const peer of this.#readers()) {
      try {
        const read = await this.#readFrom(peer, position, length, seed);
        const good = read.piece.byteLength === length && (expected === null || read.crc32c === expected);
        best?.piece.memory.release();
        best = read;
        if (good) return read;
        this.#isDamagedAt(peer, position, length);
      } catch (error) {
        const { code } = error as StoreError;
        if (code === 'ENOMEM') throw error;
        failure = error;
        if (code === 'ENOENT' || code === 'EIO') this.#isDamagedAt(peer, position, length);
      }
    }
    if (best !== null) return best;
    throw failure;
  }

  findAppended(): MemoryPiece | null {
    return null;
  }

  async close(): Promise<void> {}

  /** It is being removed, or was. */
  get isRemoved(): boolean {
    return this.#removed;
  }

  /** Removes its record, then the copies: those at stores that are away go when they are back. */
  async remove(): Promise<void> {
    this.#removed = true;
    await this.#recording.catch(() => undefined);
    await removeFile(recordPath(this.#directory, this.name.segment));
    const peers = this.#copies.flatMap(({ store }) => this.#stores.peer(store) ?? []);
    await Promise.allSettled(peers.map((peer) => peer.request({ op: 'remove', file: this.file })));
  }

  // For those who repair

  /** The store was lost: what it lacks from now on is not known. */
  lost(store: string): void {
    if (this.isComplete) return;
    for (const copy of this.#copies) if (copy.store === store) copy.doubtful = true;
  }

  /** Changes where copies are, durably. */
  async setCopies(copies: readonly CopyRecord[]): Promise<void> {
    const before = this.#copies;
    this.#copies = copies.map(({ store, doubtful }) => ({ store, doubtful }));
    try {
      await this.#record();
    } catch (error) {
      this.#copies = before;
      throw error;
    }
  }

  /** One after the other; what has no record any more gets none. */
  #record(): Promise<void> {
    const write = async () => {
      if (this.#removed) return;
      const record: SegmentRecord = { incarnation: this.name.incarnation, copies: this.#copies };
      await writeRecord(recordPath(this.#directory, this.name.segment), record);
    };
    this.#recording = this.#recording.then(write, write);
    return this.#recording;
  }

  #peerOf({ store }: Copy): StorePeer {
    const peer = this.#stores.peer(store);
    if (peer === null) throw new StoreError('ENOTCONN', `the store ${store} is not there`);
    return peer;
  }

  /** Does it at every copy without a doubt. One where it fails is doubtful from then on; rejects when too few are left. */
  async #atCopies(action: (peer: StorePeer) => Promise<unknown>): Promise<void> {
    const errors: unknown[] = [];
    let done = 0;
    const whole = this.#copies.filter(({ doubtful }) => !doubtful);
    const attempts = whole.map(async (copy) => {
      try {
        await action(this.#peerOf(copy));
        done++;
      } catch (error) {
        if (!copy.doubtful) {
          const fields = { store: copy.store, file: this.file, reason: (error as Error).message };
          this.#stores.warn(fields, 'a payload store misses something of a segment, which ends therefore');
        }
        copy.doubtful = true;
        errors.push(error);
      }
    });
    await Promise.all(attempts);
    if (done >= Math.max(1, this.minInsync)) return;
    const reasons = errors.map((error) => (error as Error).message).join('; ');
    throw notEnough(done, this.minInsync, reasons);
  }

  /** Whole copies before doubtful ones, near ones first. */
  #readers(): StorePeer[] {
    const peersOf = (doubtful: boolean) =>
      this.#stores.byDistance(
        this.#copies
          .filter((copy) => copy.doubtful === doubtful)
          .flatMap(({ store }) => this.#stores.peer(store) ?? []),
      );
    return [...peersOf(false), ...peersOf(true)];
  }

  async #readFrom(peer: StorePeer, position: number, length: number, seed: number) {
    const memory = NativeMemory.allocate(Math.max(length, 1));
    if (memory === null) throw new StoreError('ENOMEM', 'the arena is full');
    try {
      const read = await peer.request({
        op: 'read',
        file: this.file,
        position,
        length,
        seed,
        target: memory.arenaOffset,
        key: peer.key,
        timeoutMs: this.#stores.requestTimeoutMs,
      });
      if (read.length > length) throw new StoreError('EPROTO', 'the store sent more than was asked for');
      peer.counters.readBytes += read.length;
      const piece = new MemoryPiece(memory, 0, read.length);
      // What the store has read may have been changed on the way.
      return { piece, crc32c: await crc32cSoon(piece, seed) };
    } catch (error) {
      memory.release();
      throw error;
    }
  }

  #isDamagedAt(peer: StorePeer, position: number, length: number): void {
    const fields = { store: peer.id, file: this.file, position, length };
    this.#stores.warn(fields, 'a payload store has a damaged copy of an extent');
    const copy = this.#copies.find(({ store }) => store === peer.id);
    if (copy === undefined) return;
    copy.doubtful = true;
    this.#stores.changed(this);
  }
}

/** Kafka's NOT_ENOUGH_REPLICAS: nothing was appended, and the producer tries again. */
export function notEnough(available: number, needed: number, reason: string): LogError {
  const what = `${available} payload stores can take it, ${needed} are needed`;
  return new LogError(LogErrorCode.NOT_ENOUGH_REPLICAS, reason === '' ? what : `${what}: ${reason}`);
}

/** In the arena, where stores can take it from; the caller releases it. */
function held(piece: Uint8Array | MemoryPiece): MemoryPiece {
  if (piece instanceof MemoryPiece) {
    piece.memory.retain();
    return piece;
  }
  const memory = NativeMemory.allocate(Math.max(piece.byteLength, 1));
  if (memory === null) throw new StoreError('ENOBUFS', 'the arena is full');
  memory.bytes().set(piece);
  return new MemoryPiece(memory, 0, piece.byteLength);
}
