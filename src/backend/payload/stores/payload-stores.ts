import { arenaStats } from '../../../native/arena.ts';
import { FabricTransport, inspectFabric, type TransportOptions } from '../../../native/fabric.ts';
import { type FabricWish, hostIdentity, usableWays } from '../../../native/fabric-choice.ts';
import type { Clock, Timer } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import type { Reference } from '../partition-payloads.ts';
import type { PayloadFile, PayloadFiles, PayloadOpenOptions, PayloadPlaces } from '../ports.ts';
import { partitionName } from '../tiers/directories.ts';
import { addressesOf } from './addresses.ts';
import type { ListedFile } from './messages.ts';
import { chooseStores } from './placement.ts';
import { Repairs } from './repairs.ts';
import { notEnough, ReplicatedSegment, type SegmentStores, STORES_PREFIX } from './replicated-segment.ts';
import { Scrubber } from './scrubber.ts';
import type { SegmentRecord } from './segment-record.ts';
import { StorePeer } from './store-peer.ts';
import { StorePlaces } from './store-places.ts';
import { newIncarnation } from './stored-name.ts';

/** How often an address file is looked at. */
const LOOK_MS = 5000;
/** How long a start waits for stores. */
const FIRST_WAIT_MS = 5000;

export interface PayloadStoresOptions {
  /** `payload.stores`: addresses, and files of addresses; none: payload stays here. */
  readonly stores: readonly string[];
  readonly secret: string;
  readonly owner: { readonly clusterId: string; readonly nodeId: number };
  /** Of this gateway; empty: none. */
  readonly zone: string;
  readonly fabric: { readonly wish: FabricWish; readonly options: TransportOptions };
  readonly requestTimeoutMs: number;
  /** A store that is away for so long is taken for lost: its copies are made anew elsewhere. */
  readonly lostAfterMs: number;
  readonly repairBytesPerSecond: () => number;
  /** 0: nothing is read to find damage. */
  readonly scrubBytesPerSecond: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Which partitions there are, for whoever removes what belongs to none. */
export interface KnownPartitions {
  /** As `partitionName`; also those that could not be opened. */
  has(name: string): boolean;
}

/** The stores that keep payload for this gateway, and what is where. */
export class PayloadStores implements SegmentStores {
  readonly peers: StorePeer[] = [];
  readonly repairs: Repairs;
  readonly scrubber: Scrubber;
  readonly requestTimeoutMs: number;
  readonly areConfigured: boolean;
  readonly #options: PayloadStoresOptions;
  readonly #places = new Map<string, StorePlaces>();
  readonly #segments = new Map<string, ReplicatedSegment>();
  #host = '';
  #peerOptions: ConstructorParameters<typeof StorePeer>[1] | null = null;
  #timer: Timer | null = null;
  readonly #openedAtMs: number;
  #known: KnownPartitions | null = null;

  private constructor(options: PayloadStoresOptions) {
    this.#options = options;
    this.requestTimeoutMs = options.requestTimeoutMs;
    this.areConfigured = options.stores.length > 0;
    this.#openedAtMs = options.clock.now();
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
      bytesPerSecond: options.repairBytesPerSecond,
    });
  }

  /** Waits a little for the stores. Rejects with an Error for people when they cannot be used as configured. */
  static async open(options: PayloadStoresOptions): Promise<PayloadStores> {
    const stores = new PayloadStores(options);
    if (!stores.areConfigured) return stores;
    if (options.secret === '')
      throw new Error('payload.stores needs payload.stores.secret, the one that the stores have');
    await stores.#connect();
    return stores;
  }

  async #connect(): Promise<void> {
    const { clock, fabric, owner, secret, requestTimeoutMs } = this.#options;
    const report = await inspectFabric(fabric.options.library);
    const ways = usableWays(report, fabric.wish);
    this.#host = hostIdentity();
    this.#peerOptions = {
      secret,
      identity: { role: 'gateway', cluster: owner.clusterId, node: owner.nodeId },
      requestTimeoutMs,
      clock,
      fabric: {
        ways,
        host: this.#host,
        arenaBytes: arenaStats().capacityBytes,
        open: (way) => FabricTransport.open(way, { ...fabric.options, listen: false }),
      },
    };
    await this.#discover();
    let timer: Timer | null = null;
    const late = new Promise<void>((resolve) => {
      timer = clock.setTimer(FIRST_WAIT_MS, resolve);
    });
    await Promise.race([Promise.all(this.peers.map(({ firstAttempt }) => firstAttempt)), late]);
    (timer as Timer | null)?.cancel();
    this.#look();
  }

  #look(): void {
    this.#timer = this.#options.clock.setTimer(LOOK_MS, () => {
      void this.#discover().finally(() => {
        if (this.#timer !== null) this.#look();
      });
    });
  }

  /** Stores that were not known. One whose address is gone is kept: it may have copies. */
  async #discover(): Promise<void> {
    const { stores, logger } = this.#options;
    for (const address of await addressesOf(stores, logger)) {
      if (this.peers.some((peer) => peer.address === address)) continue;
      const peer = new StorePeer(
        address,
        this.#peerOptions!,
        {
          up: (store) => this.#up(store),
          down: (store) => this.#down(store),
          drainingChanged: () => {
            this.#completeAll();
            this.repairs.lookAtAll();
          },
        },
        logger,
      );
      this.peers.push(peer);
      peer.start();
    }
  }

  /** From now on what belongs to no partition is removed from stores, and lacking copies are made. */
  start(known: KnownPartitions): void {
    if (!this.areConfigured) return;
    this.#known = known;
    this.repairs.start();
    this.scrubber.start();
    for (const peer of this.peers) if (peer.isUp) this.#up(peer);
  }

  /** Ends repairs; stores are still there for what is to be completed. */
  async stop(): Promise<void> {
    await this.scrubber.stop();
    await this.repairs.stop();
    this.#known = null;
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    await Promise.all(this.peers.map((peer) => peer.stop()));
  }

  // Partitions

  placesOf(
    topic: string,
    topicId: string,
    partition: number,
    directory: string,
    home: PayloadPlaces,
  ): PayloadPlaces {
    const name = partitionName(topic, partition, topicId);
    const places = new StorePlaces(this, name, directory, home);
    this.#places.set(name, places);
    return places;
  }

  /**
   * All segments of the partition are known: what stores have beyond them is nobody's.
   * @param references what its log refers to
   */
  opened(
    topic: string,
    topicId: string,
    partition: number,
    references: () => AsyncIterable<Reference>,
  ): void {
    const places = this.#places.get(partitionName(topic, partition, topicId));
    if (places !== undefined) places.openReferences = references;
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
    for (const segment of places?.segments.values() ?? []) this.forgotten(segment);
    const peers = this.peers.filter(({ isUp }) => isUp);
    await Promise.allSettled(peers.map((peer) => peer.request({ op: 'removePartition', partition: name })));
  }

  /** Throws NOT_ENOUGH_REPLICAS when more copies are needed than the one that is kept here. */
  assertOneIsEnough(minInsync: number): void {
    if (minInsync > 1) throw notEnough(1, minInsync, 'payload.stores names none');
  }

  /** Where a new segment goes. Throws NOT_ENOUGH_REPLICAS. */
  place(places: StorePlaces, segment: number): ReplicatedSegment {
    const name = { partition: places.name, segment, incarnation: newIncarnation() };
    const candidates = this.#takingNew();
    const { replicas, minInsync } = places;
    if (candidates.length < Math.max(1, minInsync))
      throw notEnough(candidates.length, Math.max(1, minInsync), this.#troubles());
    const chosen = chooseStores(`${name.partition}/${segment}`, candidates, replicas);
    const plan = { name, directory: places.directory, replicas, minInsync };
    const made = places.makeDirectory();
    const copies = chosen.map(({ id }) => ({ store: id, doubtful: false }));
    return this.#add(places, new ReplicatedSegment(plan, copies, made, this));
  }

  /** A segment that was there at the start. */
  adopt(places: StorePlaces, segment: number, { incarnation, copies }: SegmentRecord): ReplicatedSegment {
    const name = { partition: places.name, segment, incarnation };
    const { directory, replicas, minInsync } = places;
    return this.#add(
      places,
      new ReplicatedSegment({ name, directory, replicas, minInsync }, copies, null, this),
    );
  }

  #add(places: StorePlaces, segment: ReplicatedSegment): ReplicatedSegment {
    this.#segments.set(segment.path, segment);
    places.segments.set(segment.name.segment, segment);
    return segment;
  }

  #takingNew(): (StorePeer & { id: string })[] {
    const byId = new Map<string, StorePeer & { id: string }>();
    for (const peer of this.peers)
      if (peer.takesNew && peer.id !== null) byId.set(peer.id, peer as StorePeer & { id: string });
    return [...byId.values()];
  }

  #troubles(): string {
    const troubles = this.peers.map((peer) => {
      const full = peer.status?.draining ? 'it is being drained' : 'it is full';
      return peer.takesNew ? '' : `${peer.address}: ${peer.trouble ?? full}`;
    });
    return troubles.filter((trouble) => trouble !== '').join('; ');
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
    return this.peers.find(({ id, isUp }) => isUp && id === store) ?? null;
  }

  /** When the store was seen last; one that was not, when this gateway began to look. */
  seenAtMs(store: string): number {
    const seen = this.peers.filter(({ id }) => id === store).map(({ lostAtMs }) => lostAtMs);
    return Math.max(this.#openedAtMs, ...seen);
  }

  spare(copies: readonly string[]): number {
    return this.#takingNew().filter(({ id }) => !copies.includes(id)).length;
  }

  /** The best stores for more copies of a segment, beside those that have one. */
  choose(segment: ReplicatedSegment, have: readonly string[], count: number): StorePeer[] {
    const { partition, segment: number } = segment.name;
    const taking = this.#takingNew();
    const having = have.flatMap((store) => this.peers.find(({ id }) => id === store) ?? []);
    // Those that have one stand first, so that others go to other zones.
    const zones = new Set(having.map(({ zone }) => zone).filter((zone) => zone !== ''));
    const free = chooseStores(
      `${partition}/${number}`,
      taking.filter(({ id }) => !have.includes(id)),
      taking.length,
    );
    const elsewhere = free.filter(({ zone }) => !zones.has(zone));
    const rest = free.filter(({ zone }) => zones.has(zone));
    return [...elsewhere, ...rest].slice(0, count);
  }

  byDistance(peers: StorePeer[]): StorePeer[] {
    const distance = (peer: StorePeer) => {
      if (peer.host === this.#host) return 0;
      return this.#options.zone !== '' && peer.zone === this.#options.zone ? 1 : 2;
    };
    return peers.sort((a, b) => distance(a) - distance(b) || a.load - b.load);
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

  /** What the gateway has to do with a file that a store has; null: nobody refers to it. */
  ownerOf({ file }: ListedFile): ReplicatedSegment | 'unknown' | null {
    const segment = this.#segments.get(`${STORES_PREFIX}${file}`);
    if (segment !== undefined) return segment;
    const partition = file.slice(0, file.indexOf('/'));
    if ((this.#places.get(partition)?.openReferences ?? null) !== null) return null;
    // A partition that could not be opened may refer to it.
    return this.#known === null || this.#known.has(partition) ? 'unknown' : null;
  }

  #up(peer: StorePeer): void {
    if (this.#known === null) return;
    this.#completeAll();
    this.repairs.compare(peer);
  }

  #completeAll(): void {
    for (const { owner } of this.#places.values()) owner?.completeAll();
  }

  #down(peer: StorePeer): void {
    if (peer.id === null) return;
    for (const segment of this.#segments.values()) segment.lost(peer.id);
  }
}
