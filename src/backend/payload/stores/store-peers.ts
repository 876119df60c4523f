import { arenaStats } from '../../../native/arena.ts';
import { FabricTransport, inspectFabric, type TransportOptions } from '../../../native/fabric.ts';
import { type FabricWish, hostIdentity } from '../../../native/fabric-choice.ts';
import type { Clock, Timer } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { addressesOf } from './addresses.ts';
import { chooseStores } from './placement.ts';
import { StorePeer } from './store-peer.ts';
import type { StoresSecurity } from './tls/stores-tls.ts';
import { storeWays } from './tls/ways.ts';

/** How often an address file is looked at. */
const LOOK_MS = 5000;
/** How long a start waits for stores. */
const FIRST_WAIT_MS = 5000;

export interface StorePeersOptions extends StoresSecurity {
  /** `payload.stores`: addresses, and files of addresses; none: payload stays here. */
  readonly stores: readonly string[];
  readonly owner: { readonly clusterId: string; readonly nodeId: number };
  /** Of this gateway; empty: none. */
  readonly zone: string;
  readonly fabric: { readonly wish: FabricWish; readonly options: TransportOptions };
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface StorePeersEvents {
  up(peer: StorePeer): void;
  down(peer: StorePeer): void;
  drainingChanged(): void;
  endWanted(peer: StorePeer, file: string): void;
  /** From time to time, when it was looked for new addresses. */
  looked(): void;
  /** The store may have copies that somebody needs. */
  isNeeded(store: string): boolean;
}

type IdentifiedPeer = StorePeer & { id: string };

/** The stores of `payload.stores`: who is there, and who is best for what. */
export class StorePeers {
  all: readonly StorePeer[] = [];
  readonly #options: StorePeersOptions;
  readonly #events: StorePeersEvents;
  #host = '';
  #peerOptions: ConstructorParameters<typeof StorePeer>[1] | null = null;
  #timer: Timer | null = null;
  #isClosed = false;
  /** Those that are not looked for any more end. */
  #leaving: Promise<unknown> = Promise.resolve();
  readonly #openedAtMs: number;

  constructor(options: StorePeersOptions, events: StorePeersEvents) {
    this.#options = options;
    this.#events = events;
    this.#openedAtMs = options.clock.now();
  }

  /** Waits a little for the stores. */
  async connect(): Promise<void> {
    const { clock, fabric, owner, secret, tls, requestTimeoutMs } = this.#options;
    await tls?.refresh();
    const report = await inspectFabric(fabric.options.library);
    const ways = storeWays(report, fabric.wish, tls);
    this.#host = hostIdentity();
    this.#peerOptions = {
      ...{ secret, tls },
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
    await Promise.race([Promise.all(this.all.map(({ firstAttempt }) => firstAttempt)), late]);
    (timer as Timer | null)?.cancel();
    this.#look();
  }

  #look(): void {
    if (this.#isClosed) return;
    this.#timer = this.#options.clock.setTimer(LOOK_MS, () => {
      void this.#discover().finally(() => {
        if (!this.#isClosed) this.#events.looked();
        this.#look();
      });
    });
  }

  async #discover(): Promise<void> {
    const { stores, logger, tls } = this.#options;
    await tls?.refresh();
    let areAll = true;
    const named = await addressesOf(stores, logger, () => {
      areAll = false;
    });
    if (this.#isClosed) return;
    this.#add(named);
    if (areAll) this.#forget(new Set(named));
  }

  #add(addresses: readonly string[]): void {
    const { logger } = this.#options;
    const { up, down, drainingChanged, endWanted } = this.#events;
    for (const address of addresses) {
      if (this.all.some((peer) => peer.address === address)) continue;
      const rival = (store: StorePeer, id: string) => this.#rivalOf(store, id);
      const events = { up, down, rival, drainingChanged, endWanted };
      const peer = new StorePeer(address, this.#peerOptions!, events, logger);
      this.all = [...this.all, peer];
      peer.start();
    }
  }

  /** Nobody is looked for at an address that is not named any more, unless a store was there that has what is nowhere else. */
  #forget(named: ReadonlySet<string>): void {
    for (const peer of this.all) {
      peer.isNamed = named.has(peer.address);
      if (peer.isNamed || peer.isUp || this.#isMissed(peer)) continue;
      this.all = this.all.filter((other) => other !== peer);
      this.#leaving = Promise.all([this.#leaving, peer.stop()]);
    }
  }

  #isMissed({ id }: StorePeer): boolean {
    return id !== null && this.find(id) === null && this.#events.isNeeded(id);
  }

  /** The gateway stops: stores have only so long for each answer from now on, and nobody is looked for any more. */
  leave(limitMs: number): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const peer of this.all) peer.leave(limitMs);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await Promise.all([...this.all.map((peer) => peer.stop()), this.#leaving]);
  }

  /** The store, while it is in. */
  find(store: string): StorePeer | null {
    return this.all.find(({ id, isUp }) => isUp && id === store) ?? null;
  }

  /** When the store was seen last; one that was not, when this gateway began to look. */
  seenAtMs(store: string): number {
    const seen = this.all.filter(({ id }) => id === store).map(({ lostAtMs }) => lostAtMs);
    return Math.max(this.#openedAtMs, ...seen);
  }

  takingNew(): IdentifiedPeer[] {
    const byId = new Map<string, IdentifiedPeer>();
    for (const peer of this.all)
      if (peer.takesNew && peer.id !== null) byId.set(peer.id, peer as IdentifiedPeer);
    return [...byId.values()];
  }

  /** Why stores do not take anything. */
  get troubles(): string {
    const troubles = this.all.map((peer) => {
      const full = peer.status?.draining ? 'it is being drained' : 'it is full';
      return peer.takesNew ? '' : `${peer.address}: ${peer.trouble ?? full}`;
    });
    return troubles.filter((trouble) => trouble !== '').join('; ');
  }

  /** The best stores for more copies of what has this name, beside those that have one. */
  chooseMore(name: string, have: readonly string[], count: number): StorePeer[] {
    const taking = this.takingNew();
    const having = have.flatMap((store) => this.all.find(({ id }) => id === store) ?? []);
    // Those that have one stand first, so that others go to other zones.
    const zones = new Set(having.map(({ zone }) => zone).filter((zone) => zone !== ''));
    const others = taking.filter(({ id }) => !have.includes(id));
    const free = chooseStores(name, others, taking.length);
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

  /** Of two addresses of one store the first is used, unless nobody is there. */
  #rivalOf(peer: StorePeer, id: string): StorePeer | null {
    const mine = this.all.indexOf(peer);
    for (const [i, other] of this.all.entries()) {
      if (other === peer || other.id !== id) continue;
      if (i < mine && other.isThereOrWas()) return other;
      if (i > mine && other.isUp) other.stepBack(peer);
    }
    return null;
  }
}
