import { isPausing } from '../../../util/clock.ts';
import { forEachParallel } from '../../log/serial.ts';
import type { LogReferences } from '../log-references.ts';
import type { Reference } from '../payload-recovery.ts';
import type { PayloadFile, PayloadFiles, PayloadOpenOptions, PayloadPlaces } from '../ports.ts';
import { partitionName } from '../tiers/directories.ts';
import { type ListedFile, PINNED_PARTITIONS } from './messages.ts';
import { chooseStores } from './placement.ts';
import { Repairs } from './repairs.ts';
import { ReplicatedSegment, STORES_PREFIX } from './replicated-segment.ts';
import { Scrubber } from './scrubber.ts';
import { type CopySource, notEnough, type SegmentStores } from './segment-copies.ts';
import type { SegmentRecord } from './segment-record.ts';
import type { StrayKind } from './store-comparison.ts';
import type { StorePeer } from './store-peer.ts';
import { StorePeers, type StorePeersOptions } from './store-peers.ts';
import { StorePlaces } from './store-places.ts';
import { newIncarnation, parseStoredName, type StoredName, storedName } from './stored-name.ts';
import { Strays } from './strays.ts';
import type { StoresTls } from './tls/stores-tls.ts';

/** Segments whose copies are removed at the same time. */
const PARALLEL_REMOVALS = 32;
/** A store that takes longer for an answer is not waited for by a gateway that stops: the next start completes what is there. */
const LEAVING_ANSWER_MS = 10_000;
/** How often segments that could not be completed are tried again, at the least. */
const COMPLETE_MS = 30_000;

export interface PayloadStoresOptions extends StorePeersOptions {
  readonly copySource?: CopySource;
  /** Asked for each new segment: nobody is promised that it outlasts restarts of the machines of all its stores. Not so by default. */
  readonly mayLose?: () => boolean;
  /** A store that is away for so long is taken for lost: its copies are made anew elsewhere. */
  readonly lostAfterMs: number;
  /** Files of nobody are removed from stores when they have been seen as that for so long. */
  readonly orphanGraceMs: number;
  /** The ids of stores that will not come back: copies there do not count any more. */
  readonly givenUp: readonly string[];
  readonly repairBytesPerSecond: () => number;
  /** 0: nothing is read to find damage. */
  readonly scrubBytesPerSecond: () => number;
}

/** What there is, for whoever removes what belongs to none of it. */
export interface KnownPartitions {
  /** As `partitionName`; also those that could not be opened. */
  has(name: string): boolean;
  /** There is none: rather has the gateway lost its memory than stores have nothing to keep. */
  readonly isEmpty: boolean;
  /** The ids of the log directories that are in use. */
  readonly directoryIds: readonly string[];
}

/** The stores that keep payload for this gateway, and what is where. */
export class PayloadStores implements SegmentStores {
  readonly repairs: Repairs;
  readonly scrubber: Scrubber;
  readonly requestTimeoutMs: number;
  readonly copySource: CopySource;
  readonly areConfigured: boolean;
  readonly #options: PayloadStoresOptions;
  readonly #places = new Map<string, StorePlaces>();
  readonly #segments = new Map<string, ReplicatedSegment>();
  readonly #peers: StorePeers;
  readonly #strays = new Strays();
  #known: KnownPartitions | null = null;
  #completedAtMs = 0;

  private constructor(options: PayloadStoresOptions) {
    this.#options = options;
    this.requestTimeoutMs = options.requestTimeoutMs;
    this.copySource = options.copySource ?? 'gateway';
    this.areConfigured = options.stores.length > 0;
    this.#peers = new StorePeers(options, {
      up: (store) => this.#up(store),
      down: (store) => this.#down(store),
      drainingChanged: () => {
        this.#completeAll();
        this.repairs.lookAtAll();
      },
      endWanted: (peer, file) => this.#endWanted(peer, file),
      looked: () => this.#completeNowAndThen(),
      isNeeded: (store) => this.#isNeeded(store),
    });
    this.scrubber = new Scrubber({
      stores: this,
      clock: options.clock,
      logger: options.logger,
      bytesPerSecond: options.scrubBytesPerSecond,
    });
    this.repairs = new Repairs({
      stores: this,
      clock: options.clock,
      logger: options.logger,
      lostAfterMs: options.lostAfterMs,
      orphanGraceMs: options.orphanGraceMs,
      bytesPerSecond: options.repairBytesPerSecond,
    });
  }

  /** Waits a little for the stores. Rejects with an Error for people when they cannot be used as configured. */
  static async open(options: PayloadStoresOptions): Promise<PayloadStores> {
    const stores = new PayloadStores(options);
    if (!stores.areConfigured) return stores;
    if (options.secret === '' && !options.tls?.settings.keystore.length)
      throw new Error(
        'payload.stores needs payload.stores.secret, the one that the stores have, or a certificate (payload.stores.ssl.keystore.location)',
      );
    await stores.#peers.connect();
    return stores;
  }

  /** What connections are encrypted with; null: nothing. */
  get tls(): StoresTls | null {
    return this.#options.tls ?? null;
  }

  get peers(): readonly StorePeer[] {
    return this.#peers.all;
  }

  /** Why copies may be where nobody can look now, for people; null: all can be looked at. */
  get outage(): string | null {
    const reasons = this.peers.flatMap(({ isUp, isSpare, address, trouble, status }) => {
      const reason = isUp ? status?.outage : trouble;
      return isSpare || reason === undefined ? [] : `${address}: ${reason}`;
    });
    return reasons.length === 0 ? null : reasons.join('; ');
  }

  /** From now on what belongs to no partition is removed from stores, and lacking copies are made. */
  start(known: KnownPartitions): void {
    if (!this.areConfigured) return;
    this.#known = known;
    this.repairs.start();
    this.scrubber.start();
    for (const peer of this.peers) if (peer.isUp) this.#up(peer);
  }

  /** The gateway begins to stop: stores that do not answer soon are not waited for. */
  leave(): void {
    this.#peers.leave(LEAVING_ANSWER_MS);
  }

  /** Ends repairs; stores are still there for what is to be completed. */
  async stop(): Promise<void> {
    await this.scrubber.stop();
    await this.repairs.stop();
    this.#known = null;
  }

  async close(): Promise<void> {
    await this.#peers.close();
  }

  // Partitions

  placesOf(
    topic: string,
    topicId: string,
    partition: number,
    { directory, directoryId }: { readonly directory: string; readonly directoryId: string },
    home: PayloadPlaces,
  ): PayloadPlaces {
    const name = partitionName(topic, partition, topicId);
    const places = new StorePlaces(this, { name, directory, directoryId }, home);
    this.#places.set(name, places);
    return places;
  }

  /** All segments of the partition are known: what stores have beyond them is nobody's. */
  opened(topic: string, topicId: string, partition: number, references: LogReferences): void {
    const places = this.#places.get(partitionName(topic, partition, topicId));
    if (places === undefined) return;
    places.openReferences = references;
    if (this.#known === null) return;
    places.owner?.completeAll();
    for (const segment of places.segments.values()) this.repairs.lookAgain(segment);
    this.pinned(places);
  }

  /** Stores are to know in which tier the partition is to stay. */
  pinned(places: StorePlaces): void {
    if (this.#known === null) return;
    for (const peer of this.peers) if (peer.isUp) void this.#tellPins(peer, [places]);
  }

  /** One that does not hear of them does when it is there again. */
  async #tellPins(peer: StorePeer, told: Iterable<StorePlaces>): Promise<void> {
    const pins = Array.from(told, ({ name, tier }) => ({ partition: name, tier }));
    try {
      for (let i = 0; i < pins.length; i += PINNED_PARTITIONS)
        await peer.request({ op: 'pin', pins: pins.slice(i, i + PINNED_PARTITIONS) });
    } catch (error) {
      this.warn(
        { store: peer.id, reason: (error as Error).message },
        'a payload store has not heard which topics are pinned to tiers',
      );
    }
  }

  /** Of partitions whose segments are known. */
  *openPlaces(): Iterable<StorePlaces> {
    for (const places of this.#places.values()) if (places.openReferences !== null) yield places;
  }

  /** A partition was deleted; stores that are away are told when they are back. */
  async removePartition(topic: string, topicId: string, partition: number): Promise<void> {
    const name = partitionName(topic, partition, topicId);
    const places = this.#places.get(name);
    this.#places.delete(name);
    this.#strays.partitionRemoved(name);
    const segments = [...(places?.segments.values() ?? [])];
    for (const segment of segments) {
      segment.abandon();
      this.forgotten(segment);
    }
    // A few at a time: no request grows with what there is.
    await forEachParallel(segments, PARALLEL_REMOVALS, (segment) => segment.removeCopies());
    // One that was never opened may have segments that nobody has named.
    if (places === undefined || places.openReferences === null)
      for (const peer of this.peers) if (peer.isUp) void this.repairs.compare(peer);
  }

  /** Throws NOT_ENOUGH_REPLICAS when more copies are needed than the one that is kept here. */
  assertOneIsEnough(minInsync: number): void {
    if (minInsync > 1) throw notEnough(1, minInsync, 'payload.stores names none');
  }

  /** Where a new segment goes. Throws NOT_ENOUGH_REPLICAS. */
  place(places: StorePlaces, segment: number, segmentBytes: number): ReplicatedSegment {
    const incarnation = newIncarnation(places.directoryId);
    const name = { partition: places.name, segment, incarnation };
    const candidates = this.#peers.takingNew();
    const { replicas, minInsync } = places;
    if (candidates.length < Math.max(1, minInsync))
      throw notEnough(candidates.length, Math.max(1, minInsync), this.#peers.troubles);
    const chosen = chooseStores(placementName(name), candidates, replicas);
    const { directory, directoryId } = places;
    const plan = { name, directory, directoryId, replicas, minInsync, segmentBytes };
    const made = places.makeDirectory();
    const copies = chosen.map(({ id }) => ({ store: id, doubtful: false, incarnation }));
    return this.#add(places, new ReplicatedSegment(plan, copies, made, this));
  }

  /** A segment that was there at the start. One that an earlier attempt to open its partition has found is known better than its record. */
  adopt(places: StorePlaces, segment: number, { incarnation, copies }: SegmentRecord): ReplicatedSegment {
    const name = { partition: places.name, segment, incarnation };
    const known = this.#segments.get(`${STORES_PREFIX}${storedName(name)}`);
    const { directory, directoryId, replicas, minInsync } = places;
    if (known !== undefined && !known.isRemoved) {
      known.replicas = replicas;
      known.minInsync = minInsync;
      return this.#add(places, known);
    }
    const plan = { name, directory, directoryId, replicas, minInsync };
    const left = copies.filter(({ store }) => !this.#options.givenUp.includes(store));
    return this.#add(places, new ReplicatedSegment(plan, left, null, this));
  }

  #add(places: StorePlaces, segment: ReplicatedSegment): ReplicatedSegment {
    this.#segments.set(segment.path, segment);
    places.segments.set(segment.name.segment, segment);
    return segment;
  }

  // As the files of the payload tier

  /** `files`, and the segments that stores have. */
  over(files: PayloadFiles): PayloadFiles {
    return {
      open: (path, options) =>
        path.startsWith(STORES_PREFIX) ? this.#open(path, options) : files.open(path, options),
      remove: (path) =>
        path.startsWith(STORES_PREFIX)
          ? (this.#segments.get(path)?.remove() ?? Promise.resolve())
          : files.remove(path),
      punch: async (path, ranges) => {
        if (!path.startsWith(STORES_PREFIX)) return files.punch(path, ranges);
        const segment = this.#segments.get(path);
        if (segment === undefined) throw new Error(`${path} is not there any more`);
        return segment.punch(ranges);
      },
    };
  }

  async #open(path: string, options?: PayloadOpenOptions): Promise<PayloadFile> {
    const segment = this.#segments.get(path);
    if (segment === undefined) throw new Error(`${path} is not there any more`);
    if (options?.create === true) await segment.create();
    return segment;
  }

  // For segments and repairs

  get segments(): Iterable<ReplicatedSegment> {
    return this.#segments.values();
  }

  /** It was not removed. */
  has(segment: ReplicatedSegment): boolean {
    return this.#segments.get(segment.path) === segment && !segment.isRemoved;
  }

  peer(store: string): StorePeer | null {
    return this.#peers.find(store);
  }

  pinOf({ name }: ReplicatedSegment): number | null {
    return this.#places.get(name.partition)?.tier ?? null;
  }

  get mayLose(): boolean {
    return this.#options.mayLose?.() ?? false;
  }

  /** See `StorePeers`. */
  seenAtMs(store: string): number {
    return this.#peers.seenAtMs(store);
  }

  spare(copies: readonly string[]): number {
    return this.#peers.takingNew().filter(({ id }) => !copies.includes(id)).length;
  }

  /** The best stores for more copies of a segment, beside those that have one. */
  choose({ name }: ReplicatedSegment, have: readonly string[], count: number): StorePeer[] {
    return this.#peers.chooseMore(placementName(name), have, count);
  }

  byDistance(peers: StorePeer[]): StorePeer[] {
    return this.#peers.byDistance(peers);
  }

  changed(segment: ReplicatedSegment): void {
    this.repairs.look(segment);
  }

  forgotten(segment: ReplicatedSegment): void {
    this.#segments.delete(segment.path);
    this.#places.get(segment.name.partition)?.segments.delete(segment.name.segment);
  }

  warn(fields: object, message: string): void {
    this.#options.logger.warn(fields, message);
  }

  gone(file: string): void {
    this.#strays.fileGone(file);
  }

  async references(segment: ReplicatedSegment): Promise<readonly Reference[] | null> {
    const places = this.#places.get(segment.name.partition);
    return (await places?.referencesIn(segment.name.segment)) ?? null;
  }

  /** The segment that the file at a store is a copy of, or what else it is. */
  ownerOf(store: string, { file }: ListedFile): ReplicatedSegment | StrayKind {
    const name = parseStoredName(file);
    if (name === null) return 'unknown';
    const places = this.#places.get(name.partition);
    const segment = places?.segments.get(name.segment);
    if (segment?.hasCopy(store, file)) return segment;
    if (this.#strays.isGone(name.partition, file)) return 'gone';
    if (this.#known === null) return 'unknown';
    // What is left of a segment of which no whole copy is there; its store may only have another id.
    if (segment?.copies.every(({ store, doubtful }) => doubtful || this.peer(store) === null))
      return 'unknown';
    // A partition that could not be opened may refer to it.
    const isOpen = (places?.openReferences ?? null) !== null;
    return this.#strays.kindOf(name, this.#known, isOpen);
  }

  #up(peer: StorePeer): void {
    if (this.#known === null) return;
    this.#completeAll();
    this.repairs.lookAtAll();
    void this.repairs.compare(peer);
    void this.#tellPins(peer, this.openPlaces());
  }

  /** A store wants to move a copy of what is still being written. */
  #endWanted({ id }: StorePeer, file: string): void {
    const name = parseStoredName(file);
    const places = name === null ? undefined : this.#places.get(name.partition);
    const segment = places?.segments.get(name!.segment);
    if (segment?.isComplete === false && segment.hasCopy(id!, file)) places!.owner?.complete(name!.segment);
  }

  /** While not all segments are known anybody may be. */
  #isNeeded(store: string): boolean {
    if (this.#known === null) return true;
    for (const { copies } of this.#segments.values())
      if (copies.some((copy) => copy.store === store)) return true;
    return false;
  }

  #completeNowAndThen(): void {
    const dueMs = this.#completedAtMs + COMPLETE_MS;
    if (!isPausing(dueMs, this.#options.clock.now(), COMPLETE_MS)) this.#completeAll();
  }

  /** Segments that could not be completed: few. */
  #completeAll(): void {
    if (this.#known === null) return;
    this.#completedAtMs = this.#options.clock.now();
    for (const { owner } of this.#places.values()) owner?.completeAll();
  }

  #down(peer: StorePeer): void {
    if (peer.id === null) return;
    for (const segment of this.#segments.values()) segment.lost(peer.id);
  }
}

function placementName({ partition, segment }: StoredName): string {
  return `${partition}/${segment}`;
}
