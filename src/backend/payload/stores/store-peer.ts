import { isPausing, type Timer } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { Backoff } from './backoff.ts';
import { type ListedFile, type Operation, type ResultOf, StoreError, type StoreStatus } from './messages.ts';
import { type ConnectionOptions, StoreConnection } from './store-connection.ts';

/**
 * Of the circuit to a store. `closed`: requests go through; `open`: it failed, and nothing is sent for a while; `half-open`: a probe (connection,
 * greeting, attachment, status) is under way.
 */
export type Circuit = 'closed' | 'open' | 'half-open';

const FIRST_DELAY_MS = 100;
/** A connection that is lost sooner was of no use: the next one is tried as after an attempt that failed. */
const USEFUL_MS = 1000;
/** How often the second address of a store is looked at, and for how long the first one may be away before. */
const RIVAL_LOOK_MS = 5000;
const RIVAL_AWAY_MS = 10_000;
const LONGEST_DELAY_MS = 5000;
/** A store whose disk was full gets nothing new for so long. */
const FULL_MS = 10_000;
/** A store with less room than this part of its disk is full. */
const FULL_SHARE = 50;
const FULL_BYTES = 1 << 30;

export interface PeerEvents {
  up(peer: StorePeer): void;
  down(peer: StorePeer): void;
  /** Another address of the store with this id, which is to be used instead; null: there is none. */
  rival(peer: StorePeer, id: string): StorePeer | null;
  /** It has begun to be emptied, or stopped to be. */
  drainingChanged(peer: StorePeer): void;
  /** It wants a file to be completed soon. */
  endWanted(peer: StorePeer, file: string): void;
}

export interface PeerCounters {
  requests: number;
  failures: number;
  /** How often the connection was lost. */
  losses: number;
  writtenBytes: number;
  readBytes: number;
}

/** A store at an address, as a gateway sees it: keeps a connection to it, and says how it is. */
export class StorePeer {
  readonly address: string;
  readonly counters: PeerCounters = { requests: 0, failures: 0, losses: 0, writtenBytes: 0, readBytes: 0 };
  /** Of the store that was there last; null until one was. */
  id: string | null = null;
  zone = '';
  circuit: Circuit = 'open';
  /** Why it is not there; null while it is. */
  trouble: string | null = 'it was not reached yet';
  /** When it was lost; 0 while it is there. */
  lostAtMs: number;
  /** `payload.stores` has the address. */
  isNamed = true;
  readonly #options: Omit<ConnectionOptions, 'host' | 'port'>;
  readonly #logger: Logger;
  readonly #events: PeerEvents;
  #connection: StoreConnection | null = null;
  /** Another address of the same store, which is used. */
  #rival: StorePeer | null = null;
  #timer: Timer | null = null;
  readonly #backoff = new Backoff(FIRST_DELAY_MS, LONGEST_DELAY_MS);
  #fullUntilMs = 0;
  readonly #stopping = new AbortController();
  #wasUp = false;
  #openedAtMs = 0;
  #connecting: Promise<void> = Promise.resolve();
  #tried: () => void = () => {};
  /** Resolves when the first attempt has ended, either way. */
  readonly firstAttempt: Promise<void>;

  constructor(
    address: string,
    options: Omit<ConnectionOptions, 'host' | 'port'>,
    events: PeerEvents,
    logger: Logger,
  ) {
    this.address = address;
    this.#options = options;
    this.#events = events;
    this.#logger = logger;
    this.lostAtMs = options.clock.now();
    this.firstAttempt = new Promise((resolve) => {
      this.#tried = resolve;
    });
  }

  start(): void {
    const rival = this.#rival;
    if (rival?.isThereOrWas() === true) {
      this.#connecting = this.#watch(rival);
      return;
    }
    this.#rival = null;
    this.#connecting = this.#connect();
  }

  /** Looks who is at the address, as an operator, for whom the store leaves nobody: it may be another store by now. */
  async #watch(rival: StorePeer): Promise<void> {
    const identity = { ...this.#options.identity, role: 'operator' } as const;
    const { signal } = this.#stopping;
    let id = rival.id;
    try {
      const at = splitAddress(this.address);
      const options = { ...this.#options, ...at, identity, fabric: null, signal };
      const connection = await StoreConnection.open(options);
      id = connection.store.id;
      connection.end('it was only asked who it is');
      await connection.closed;
    } catch {
      // Nobody is there.
    }
    if (signal.aborted) return;
    if (id !== rival.id) this.#rival = null;
    this.#timer = this.#options.clock.setTimer(RIVAL_LOOK_MS, () => this.start());
  }

  /** It is another address of a store that is reached at a better one: a store talks to a gateway once. */
  get isSpare(): boolean {
    return this.#rival !== null;
  }

  /** It is in, or was so a moment ago and may come back. */
  isThereOrWas(): boolean {
    if (this.isUp || !this.#wasUp || !this.isNamed) return this.isUp;
    return isPausing(this.lostAtMs + RIVAL_AWAY_MS, this.#options.clock.now(), RIVAL_AWAY_MS);
  }

  /** Leaves the store to another address of it. */
  stepBack(rival: StorePeer): void {
    this.#rival = rival;
    this.#connection?.end(`the store is used at ${rival.address}`);
  }

  get isUp(): boolean {
    return this.#connection !== null;
  }

  get status(): StoreStatus | null {
    return this.#connection?.status ?? null;
  }

  /** How far its clock is ahead, in milliseconds, when it said last. */
  clockSkewMs = 0;

  /** Whether it takes new segments. */
  get takesNew(): boolean {
    const status = this.status;
    if (status === null || status.draining) return false;
    const reserve = Math.min(FULL_BYTES, status.capacityBytes / FULL_SHARE);
    return status.freeBytes > reserve && !isPausing(this.#fullUntilMs, this.#options.clock.now(), FULL_MS);
  }

  /** Its disk has turned out to be full. */
  isFull(): void {
    this.#fullUntilMs = this.#options.clock.now() + FULL_MS;
  }

  get provider(): string {
    return this.#connection?.provider ?? '';
  }

  get host(): string {
    return this.#connection?.store.host ?? '';
  }

  get load(): number {
    return this.#connection?.load ?? 0;
  }

  /** Part of orders that move payload. */
  get key(): string {
    return this.#connection?.key ?? '0';
  }

  /** As `StoreConnection.request`. */
  request<O extends Operation>(operation: O): Promise<ResultOf<O['op']>> {
    const connection = this.#connection;
    if (connection === null)
      return Promise.reject(new StoreError('ENOTCONN', `${this.address}: ${this.trouble}`));
    this.counters.requests++;
    return connection.request(operation).catch((error: unknown) => {
      this.counters.failures++;
      if ((error as StoreError).code === 'ENOSPC') this.isFull();
      throw error;
    });
  }

  /** All that the store has for this gateway, in the order of the names. */
  async *files(): AsyncGenerator<ListedFile> {
    for (let after = ''; ; ) {
      const { files, more } = await this.request({ op: 'list', after });
      yield* files;
      const last = files.at(-1);
      if (!more || last === undefined) return;
      after = last.file;
    }
  }

  /** The gateway stops: the store has only so long for an answer from now on, and once it is lost it is not looked for. */
  leave(limitMs: number): void {
    this.#stopping.abort();
    this.#timer?.cancel();
    this.#connection?.hurry(limitMs);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#timer?.cancel();
    const connection = this.#connection;
    connection?.end('the gateway stops');
    await connection?.closed;
    await this.#connecting;
  }

  async #connect(): Promise<void> {
    this.circuit = 'half-open';
    try {
      const { host, port } = splitAddress(this.address);
      const { signal } = this.#stopping;
      const connection = await StoreConnection.open({ ...this.#options, host, port, signal });
      if (signal.aborted) {
        connection.end('the gateway stops');
        await connection.closed;
      } else this.#opened(connection);
      if (connection.ended !== null) await connection.closed;
    } catch (error) {
      this.#failed((error as Error).message);
    }
    this.#tried();
  }

  #opened(connection: StoreConnection): void {
    if (connection.ended !== null) {
      this.#failed(connection.ended);
      return;
    }
    const { store, status, provider, domain } = connection;
    const rival = this.#events.rival(this, store.id);
    if (rival !== null) {
      const fields = { store: store.id, address: this.address, used: rival.address };
      this.#logger.warn(fields, 'a payload store has two addresses: the first one is used');
      this.#rival = rival;
      connection.end(`the store is used at ${rival.address}`);
      this.#failed(`it is the store at ${rival.address}`);
      return;
    }
    if (this.id !== null && this.id !== store.id)
      this.#logger.warn(
        { store: store.id, before: this.id, address: this.address },
        'another store is here now',
      );
    this.id = store.id;
    this.zone = store.zone;
    this.circuit = 'closed';
    this.trouble = null;
    this.lostAtMs = 0;
    this.#openedAtMs = this.#options.clock.now();
    this.#wasUp = true;
    this.#connection = connection;
    this.clockSkewMs = status.nowMs - this.#options.clock.now();
    const fields = { store: store.id, address: this.address, zone: store.zone, provider, domain };
    this.#logger.info(fields, 'payload store is in');
    connection.onEnd((reason) => this.#lost(connection, reason));
    connection.onStatus((now) => this.#told(now));
    connection.onEndWanted((file) => this.#events.endWanted(this, file));
    this.#draining = status.draining;
    this.#events.up(this);
  }

  #draining = false;

  #told({ draining, nowMs }: StoreStatus): void {
    this.clockSkewMs = nowMs - this.#options.clock.now();
    if (draining === this.#draining) return;
    this.#draining = draining;
    this.#events.drainingChanged(this);
  }

  #lost(connection: StoreConnection, reason: string): void {
    if (this.#connection !== connection) return;
    this.#connection = null;
    this.counters.losses++;
    this.lostAtMs = this.#options.clock.now();
    if (this.lostAtMs - this.#openedAtMs >= USEFUL_MS) this.#backoff.reset();
    this.#failed(reason);
    this.#events.down(this);
  }

  #failed(reason: string): void {
    this.circuit = 'open';
    const fields = { store: this.id, address: this.address, reason };
    const isStopping = this.#stopping.signal.aborted;
    if (this.trouble !== reason && this.#rival === null && !isStopping)
      this.#logger.warn(fields, 'payload store is not there');
    this.trouble = reason;
    if (isStopping) return;
    this.#timer = this.#options.clock.setTimer(this.#backoff.delayMs, () => this.start());
    this.#backoff.grow();
  }
}

/** `host:port`, with the host of an IPv6 address in brackets; throws an Error for people. */
export function splitAddress(address: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535 || Number(port) === 0)
    throw new Error(`"${address}" is no host:port`);
  return { host, port: Number(port) };
}
