import type { Clock, Timer } from '../../../../util/clock.ts';
import { StoreError } from '../messages.ts';
import type { StoreConnection } from '../store-connection.ts';

/** Stores that one gateway has payload passed on to. */
const MAX_RELAYS = 64;
/** Who has payload passed on does not wait longer: it can send it itself. */
const OPEN_MS = 3000;

/** An append at another store, of bytes that are in this one's memory. */
export interface PassedAppend {
  readonly file: string;
  readonly position: number;
  readonly length: number;
  /** In the arena. */
  readonly source: number;
  readonly fromMemory: boolean;
  readonly timeoutMs: number;
}

interface Relay {
  /** Null until it is there. */
  connection: StoreConnection | null;
  connecting: Promise<void>;
  /** Ends the attempt to connect. */
  readonly givenUp: AbortController;
}

/** Rejects when the signal is given before the connection is there; nothing is left then. */
type Connect = (address: string, signal: AbortSignal) => Promise<StoreConnection>;

/** Connections to other stores, on behalf of one gateway: they take from this store's memory what the gateway has it pass on. */
export class Relays {
  readonly #connect: Connect;
  readonly #clock: Clock;
  /** By store: those that are there, or are being made. */
  readonly #relays = new Map<string, Relay>();
  /** Of these and others: attempts to connect, and ends of connections. Never rejected. */
  readonly #underWay = new Set<Promise<void>>();
  readonly #over: Promise<never>;
  #stop: (error: Error) => void = () => undefined;
  #ended: string | null = null;

  constructor(clock: Clock, connect: Connect) {
    this.#clock = clock;
    this.#connect = connect;
    this.#over = new Promise((_resolve, reject) => {
      this.#stop = reject;
    });
    this.#over.catch(() => undefined);
  }

  /** Resolves when payload can be passed on to the store. Rejects with an Error for people; ETIMEDOUT after three seconds. */
  async open(store: string, address: string): Promise<void> {
    const relay = this.#relays.get(store) ?? this.#begin(store, address);
    try {
      await this.#soon(relay.connecting, `the store at ${address} does not answer`);
    } catch (error) {
      relay.givenUp.abort();
      this.#forget(store, relay);
      throw error;
    }
  }

  #begin(store: string, address: string): Relay {
    if (this.#relays.size >= MAX_RELAYS)
      throw new StoreError('EMFILE', `payload is passed on to ${MAX_RELAYS} stores already`);
    const relay: Relay = {
      connection: null,
      connecting: Promise.resolve(),
      givenUp: new AbortController(),
    };
    this.#relays.set(store, relay);
    relay.connecting = this.#open(store, address, relay);
    this.#awaited(relay.connecting);
    return relay;
  }

  #awaited(promise: Promise<void>): void {
    const ended = promise
      .catch(() => undefined)
      .then(() => {
        this.#underWay.delete(ended);
      });
    this.#underWay.add(ended);
  }

  async #open(store: string, address: string, relay: Relay): Promise<void> {
    const connection = await this.#connect(address, relay.givenUp.signal);
    const reason = this.#reasonAgainst(connection, store, address, relay);
    if (reason !== null) {
      connection.end(reason);
      await connection.closed;
      throw new StoreError('EHOSTUNREACH', reason);
    }
    relay.connection = connection;
    connection.onEnd(() => {
      this.#awaited(connection.closed);
      this.#forget(store, relay);
    });
  }

  #reasonAgainst({ store: found, ended }: StoreConnection, store: string, address: string, relay: Relay) {
    if (found.id !== store) return `another store is at ${address}: ${found.id}`;
    if (this.#relays.get(store) !== relay) return 'it came too late';
    return ended ?? this.#ended;
  }

  async #soon(promise: Promise<unknown>, otherwise: string): Promise<void> {
    let timer: Timer | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = this.#clock.setTimer(OPEN_MS, () => reject(new StoreError('ETIMEDOUT', otherwise)));
    });
    try {
      await Promise.race([promise, late, this.#over]);
    } finally {
      timer!.cancel();
    }
  }

  #forget(store: string, relay: Relay): void {
    if (this.#relays.get(store) === relay) this.#relays.delete(store);
  }

  /** Has the store take it from here, behind all that was passed on to it before. Nothing touches the memory when it has settled. */
  async append(store: string, order: PassedAppend): Promise<void> {
    const connection = this.#relays.get(store)?.connection ?? null;
    if (connection === null) throw new StoreError('ENOTCONN', `there is no connection to the store ${store}`);
    await connection.request({ op: 'append', key: connection.key, ...order });
  }

  /** What is being passed on fails. */
  end(reason: string): void {
    this.#ended ??= reason;
    this.#stop(new StoreError('ENOTCONN', reason));
    for (const { connection, givenUp } of [...this.#relays.values()]) {
      givenUp.abort();
      connection?.end(reason);
    }
  }

  /** After `end`: resolves when nobody takes anything any more, nor tries to connect. */
  async closed(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }
}
