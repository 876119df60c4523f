import type { RangeRead, ReadRange } from '../../../native/listed-pieces.ts';
import type { MemoryPiece } from '../../../native/pieces.ts';
import { readEach } from '../checked-reads.ts';
import { deadRanges } from '../dead-ranges.ts';
import { readExtents } from '../extents.ts';
import { extentsPath } from '../home-places.ts';
import type { PayloadFile, PayloadPlace } from '../ports.ts';
import { removeFile } from '../small-files.ts';
import { StoreError } from './messages.ts';
import { punchCopy } from './punch-copy.ts';
import type { Holes } from './segment-copier.ts';
import {
  type Copy,
  held,
  isAnswer,
  notEnough,
  type ReachedCopy,
  readCopy,
  readersOf,
  type SegmentStores,
  tooFewCopies,
} from './segment-copies.ts';
import { type CopyRecord, recordPath, type SegmentRecord, writeRecord } from './segment-record.ts';
import { SegmentRelay } from './segment-relay.ts';
import { sealSegment } from './segment-sealing.ts';
import type { StorePeer } from './store-peer.ts';
import { newIncarnation, type StoredName, storedName } from './stored-name.ts';

/** How paths of segments at stores begin, where files are named by paths. */
export const STORES_PREFIX = 'stores:';

export interface SegmentPlan {
  readonly name: StoredName;
  /** The partition's payload directory. */
  readonly directory: string;
  /** Wanted copies, and how many an extent needs before it is acknowledged. */
  readonly replicas: number;
  readonly minInsync: number;
  /** The id of the partition's log directory. */
  readonly directoryId: string;
  /** What a new one may grow to. */
  readonly segmentBytes?: number;
}

/**
 * One payload segment that stores have copies of; the file and its place in one. This side gives extents their positions, so that they are the
 * same everywhere. A copy that misses an extent gets no more: the segment is to be ended then, which `hasRoomFor` says.
 */
export class ReplicatedSegment implements PayloadPlace, PayloadFile {
  readonly name: StoredName;
  /** As stores know the copies that it began with. */
  readonly file: string;
  readonly path: string;
  readonly ready: Promise<void>;
  /** Of what was appended; once it is complete, of the segment. */
  bytes = 0;
  /** What cannot be read now may be at a store that is away. */
  readonly isAwaited = true;
  /** It takes no more, and has its list of extents. */
  isComplete = false;
  replicas: number;
  minInsync: number;
  readonly #stores: SegmentStores;
  readonly #segmentBytes: number | undefined;
  #directory: string;
  #directoryId: string;
  #copies: Copy[];
  /** Copies that are being made, which count when they are whole. */
  readonly #making = new Set<string>();
  /** Somebody repairs it. */
  isBusy = false;
  /** Copies that take no more space than they need, by store: their files. */
  readonly #punched = new Map<string, string>();
  /** How often space was given back. */
  #punches = 0;
  readonly #isNew: boolean;
  #broken = false;
  #removed = false;
  #isSealed = false;
  /** What it is put to its stores by; null: each store takes it from here. */
  #relay: SegmentRelay | null = null;
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
    this.#segmentBytes = plan.segmentBytes;
    this.#directory = plan.directory;
    this.#directoryId = plan.directoryId;
    this.#stores = stores;
    this.#copies = copies.map((copy) => this.#copy(copy));
    this.#isNew = made !== null;
    this.ready = made === null ? Promise.resolve() : made.then(() => this.#record());
    // Whoever opens the file hears of a failure.
    this.ready.catch(() => undefined);
  }

  get copies(): readonly Readonly<Copy>[] {
    return this.#copies;
  }

  #copy({ store, doubtful, incarnation }: CopyRecord): Copy {
    return { store, doubtful, incarnation, file: storedName({ ...this.name, incarnation }) };
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

  /** Copies that are away are told when they are back. */
  get isPunchedInPart(): boolean {
    return this.#copies.some(
      ({ store, file, doubtful }) =>
        !doubtful && this.#punched.get(store) !== file && this.#stores.peer(store) !== null,
    );
  }

  assertEnoughCopies(): void {
    // What a gateway that was killed has left is not known before the segment is completed.
    const isKnown = this.#isNew || this.#isSealed || this.isComplete;
    const whole = isKnown ? this.#copies.filter(({ doubtful }) => !doubtful).length : 0;
    if (whole < Math.max(1, this.minInsync)) throw tooFewCopies(whole, this.minInsync);
  }

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
    const { mayLose } = this.#stores;
    const wanted = { segmentBytes: this.#segmentBytes, mayLose, tier: this.#stores.pinOf(this) ?? undefined };
    await this.#atCopies(({ peer, copy: { file } }) => peer.request({ op: 'create', file, ...wanted }));
    if (this.#stores.copySource === 'store')
      this.#relay = await SegmentRelay.open(this.#copies, this.#stores);
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
    const order = { position, length, source, fromMemory, timeoutMs };
    const whole = this.#copies.filter(({ doubtful }) => !doubtful);
    const passed = this.#relay?.append(order, whole);
    const done = this.#atCopies(async (reached) => {
      const { peer, copy } = reached;
      if (passed !== undefined) await passed(reached);
      else await peer.request({ op: 'append', ...order, file: copy.file, key: peer.key });
      peer.counters.writtenBytes += length;
    });
    return { position, done: done.finally(() => memory.release()) };
  }

  async sync(): Promise<void> {
    // What stores have completed is durable there.
    if (!this.#isSealed)
      await this.#atCopies(({ peer, copy: { file } }) => peer.request({ op: 'sync', file }));
  }

  /** Ends the segment; see `sealSegment`. */
  async truncate(size: number): Promise<void> {
    await sealSegment(this, this.#copies, size, this.#stores);
    this.bytes = size;
    this.#isSealed = true;
    await this.#record();
  }

  /**
   * Each of one store after the other until one has it; `expected`: and has what is expected. Rejects with ENOENT when all stores that have the segment
   * were asked and none has it; with another code when one that may have it could not be asked. In the same way something else than was expected
   * comes only when nobody has that.
   */
  readRanges(ranges: readonly ReadRange[]): Promise<(RangeRead | Error)[]> {
    return readEach(ranges, (range) => this.#read(range));
  }

  async #read({ position, length, seed, expected }: ReadRange): Promise<RangeRead> {
    for (;;) {
      const copies = this.#copies;
      try {
        return await this.#readAny({ position, length, seed: seed ?? 0 }, expected);
      } catch (error) {
        // Copies are replaced by others while they are read.
        if (copies === this.#copies || (error as StoreError).code === 'ENOMEM') throw error;
      }
    }
  }

  async #readAny(
    range: { position: number; length: number; seed: number },
    expected: number | null,
  ): Promise<RangeRead> {
    const copies = this.#copies;
    let best: RangeRead | null = null;
    let answers = 0;
    const failures: string[] = [];
    for (const reader of readersOf(copies, this.#stores)) {
      try {
        const read = await readCopy(reader, range, this.#stores.requestTimeoutMs);
        const good =
          read.piece.byteLength === range.length && (expected === null || read.crc32c === expected);
        best?.piece.memory.release();
        best = read;
        if (good) return read;
        answers++;
        this.#isDamagedAt(reader, range);
      } catch (error) {
        const { code, message } = error as StoreError;
        if (code === 'ENOMEM') {
          best?.piece.memory.release();
          throw error;
        }
        if (isAnswer(error)) answers++;
        failures.push(`${reader.copy.store}: ${message}`);
        if (code === 'ENOENT' || code === 'EIO') this.#isDamagedAt(reader, range);
      }
    }
    const wasReplaced = copies !== this.#copies;
    if (best !== null && answers === copies.length && !wasReplaced) return best;
    best?.piece.memory.release();
    const reasons = [...failures, ...this.#absent()].join('; ');
    if (answers < copies.length) throw new StoreError('EAGAIN', `not every store answers: ${reasons}`);
    throw new StoreError('ENOENT', `no store has it: ${reasons}`);
  }

  #absent(): string[] {
    const away = this.#copies.filter(({ store }) => this.#stores.peer(store) === null);
    return away.map(({ store }) => `${store} is not there`);
  }

  /**
   * Has whole copies give back the space of ranges, at stores that are in. Resolves to what the one takes that takes most; rejects when one could
   * not, after the others have.
   */
  async punch(ranges: Float64Array): Promise<{ held: number; replaced: boolean }> {
    const whole = this.#copies.filter(({ doubtful }) => !doubtful);
    this.#punched.clear();
    this.#punches++;
    const punched = await Promise.allSettled(
      whole.map(async ({ store, file }) => {
        const held = await punchCopy(this.#peerOf(store), file, ranges);
        this.#punched.set(store, file);
        return held;
      }),
    );
    const held: number[] = [];
    for (const [i, result] of punched.entries()) {
      if (result.status === 'fulfilled') held.push(result.value);
      else if (this.#stores.peer(whole[i]!.store) !== null) throw result.reason;
    }
    if (held.length === 0) throw new StoreError('ENOTCONN', this.outage ?? 'no copy is whole');
    return { held: Math.max(...held), replaced: false };
  }

  /** What was given back of it, by its list of extents: nobody reads there. */
  async holes(): Promise<Holes> {
    const round = this.#punches;
    const listed = this.isComplete
      ? await readExtents(extentsPath(this.#directory, this.name.segment))
      : null;
    return { ranges: listed === null ? new Float64Array() : deadRanges(listed, this.bytes), round };
  }

  /** A copy was made that has these holes, and no more. */
  copiedWithHoles(store: string, file: string, round: number): void {
    if (round === this.#punches) this.#punched.set(store, file);
  }

  findChecked(): MemoryPiece | null {
    return null;
  }

  async close(): Promise<void> {}

  /** It is being removed, or was. */
  get isRemoved(): boolean {
    return this.#removed;
  }

  /** Removes its record, then the copies: those at stores that are away go when they are back. */
  async remove(): Promise<void> {
    this.abandon();
    await this.#recording.catch(() => undefined);
    await removeFile(recordPath(this.#directory, this.name.segment));
    await this.removeCopies();
  }

  /** Its directory goes: nothing is recorded any more. */
  abandon(): void {
    this.#removed = true;
  }

  async removeCopies(): Promise<void> {
    await Promise.all(this.#copies.map((copy) => this.#removeCopy(copy)));
  }

  async #removeCopy({ store, file }: Copy): Promise<void> {
    try {
      await this.#peerOf(store).request({ op: 'remove', file });
    } catch {
      this.#stores.gone(file);
    }
  }

  // For those who repair

  /** The store was lost: what it lacks from now on is not known. */
  lost(store: string): void {
    if (this.#isSealed || this.isComplete) return;
    for (const copy of this.#copies) if (copy.store === store) copy.doubtful = true;
  }

  /** Changes where copies are, durably; files of copies that are left out are removed then. */
  async setCopies(copies: readonly CopyRecord[]): Promise<void> {
    const before = this.#copies;
    const after = copies.map((copy) => this.#copy(copy));
    this.#copies = after;
    try {
      await this.#record();
    } catch (error) {
      if (this.#copies === after) this.#copies = before;
      throw error;
    }
    const left = before.filter(({ store, file }) => !this.hasCopy(store, file));
    for (const copy of left) await this.#removeCopy(copy);
  }

  async setDoubt(store: string, doubtful: boolean): Promise<void> {
    await this.setCopies(this.#copies.map((copy) => (copy.store === store ? { ...copy, doubtful } : copy)));
  }

  /** Whether the file is one of its copies, or is to be one. */
  hasCopy(store: string, file: string): boolean {
    return this.#making.has(file) || this.#copies.some((copy) => copy.store === store && copy.file === file);
  }

  /** A name for another copy; `made` when that counts, or was given up. */
  beginCopy(): { readonly incarnation: string; readonly file: string; made(): void } {
    const incarnation = newIncarnation(this.#directoryId);
    const file = storedName({ ...this.name, incarnation });
    this.#making.add(file);
    return { incarnation, file, made: () => this.#making.delete(file) };
  }

  /** Its record is not written before the promise has settled; resolves when it is not being written. */
  async holdRecord(until: Promise<void>): Promise<void> {
    const before = this.#recording.catch(() => undefined);
    this.#recording = before.then(() => until);
    await before;
  }

  /** Its record is in another directory from now on. */
  relocatedRecord(directory: string, directoryId: string): void {
    this.#directory = directory;
    this.#directoryId = directoryId;
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

  #peerOf(store: string): StorePeer {
    const peer = this.#stores.peer(store);
    if (peer === null) throw new StoreError('ENOTCONN', `the store ${store} is not there`);
    return peer;
  }

  /** Does it at every copy without a doubt. One where it fails is doubtful from then on; rejects when too few are left. */
  async #atCopies(action: (reached: ReachedCopy) => Promise<unknown>): Promise<void> {
    const errors: unknown[] = [];
    let done = 0;
    const whole = this.#copies.filter(({ doubtful }) => !doubtful);
    const attempts = whole.map(async (copy) => {
      try {
        await action({ copy, peer: this.#peerOf(copy.store) });
        done++;
      } catch (error) {
        if (!copy.doubtful) {
          const fields = { store: copy.store, file: copy.file, reason: (error as Error).message };
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

  #isDamagedAt({ copy }: ReachedCopy, { position, length }: { position: number; length: number }): void {
    if (!this.#copies.includes(copy)) return;
    const { store, file } = copy;
    const fields = { store, file, position, length };
    if (!copy.doubtful) this.#stores.warn(fields, 'a payload store has a damaged copy of an extent');
    copy.doubtful = true;
    this.#stores.changed(this);
  }
}
