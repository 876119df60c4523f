import type { Socket } from 'node:net';
import {
  type FabricTransport,
  PEER_READS,
  PEER_WRITES,
  type TransportStatistics,
} from '../../../native/fabric.ts';
import { offerFrom, TargetAttachment } from '../../../native/fabric-attach.ts';
import type { Way } from '../../../native/fabric-choice.ts';
import type { Clock, Timer } from '../../../util/clock.ts';
import type { Identity } from './authentication.ts';
import { Frames } from './frames.ts';
import {
  ARENA_REGION,
  fromStore,
  type Measured,
  type Operation,
  parseMessage,
  type ResultOf,
  results,
  StoreError,
  type StoreStatus,
  type ToStore,
} from './messages.ts';
import {
  connected,
  GIVEN_UP,
  GREETING_MS,
  Greetings,
  greet,
  MAYBE_TLS,
  onAbort,
  SILENT,
  type StoreIdentity,
} from './store-greeting.ts';
import type { StoresSecurity } from './tls/stores-tls.ts';

/** How long finding a way for payload may take; each step of it has a limit of its own, and there may be several ways to try. */
const ATTACH_MS = 120_000;
/** A store is to answer within the time that it was given for an operation, and so much more. */
export const GRACE_MS = 2000;
const MAX_REQUESTS = 16_384;
/** Of one direction; it takes less than a second. */
const MEASURE_MS = 30_000;

export interface ConnectionOptions extends StoresSecurity {
  readonly host: string;
  readonly port: number;
  readonly identity: Identity;
  /** For answers to what has no time of its own. */
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  /** Gives up what is not open yet. */
  readonly signal?: AbortSignal;
  /** How payload moves; null for an operator, who moves none. */
  readonly fabric: {
    readonly ways: readonly Way[];
    readonly host: string;
    readonly arenaBytes: number;
    /** What the store may do with the arena: everything, unless it is said. */
    readonly access?: number;
    readonly open: (way: Way) => Promise<FabricTransport>;
  } | null;
}

interface Pending {
  readonly op: Operation['op'];
  timer: Timer;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/**
 * One connection to a store, from its greeting to its end. When it ends, what was asked for fails with ENOTCONN, and not before nothing can touch
 * the memory of those requests any more.
 */
export class StoreConnection {
  readonly store: StoreIdentity;
  status: StoreStatus;
  readonly #options: ConnectionOptions;
  readonly #frames: Frames;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners: ((reason: string) => void)[] = [];
  #nextId = 1;
  /** A store that takes longer for an answer loses the connection, whatever time it was given. */
  #limitMs = Number.POSITIVE_INFINITY;
  #attachment: TargetAttachment | null = null;
  #transport: FabricTransport | null = null;
  #key = '0';
  /** The store's numeric address. */
  #peerHost = '';
  #ended: string | null = null;
  #statusReceived: (status: StoreStatus) => void = () => {};
  #endWanted: (file: string) => void = () => {};
  /** Resolves when nothing of it is left. */
  #closed: Promise<void> | null = null;

  private constructor(options: ConnectionOptions, frames: Frames, store: StoreIdentity) {
    this.#options = options;
    this.#frames = frames;
    this.store = store;
    this.status = {
      capacityBytes: 0,
      freeBytes: 0,
      usedBytes: 0,
      files: 0,
      draining: false,
      nowMs: 0,
    };
  }

  /** Connects, greets, attaches. Rejects with an Error for people, and nothing is left then. */
  static async open(options: ConnectionOptions): Promise<StoreConnection> {
    const socket = await connected(options);
    let connection: StoreConnection | null = null;
    const waiting = new Greetings();
    const frames = new Frames(socket, {
      onFrame: (message) => {
        if (connection === null) waiting.take(message);
        else connection.#receive(message);
      },
      onClose: (reason) => {
        waiting.fail(frames.received || options.tls ? reason : `${reason}; ${MAYBE_TLS}`);
        connection?.end(reason);
      },
    });
    const { clock, requestTimeoutMs } = options;
    const forget = onAbort(options.signal, () => frames.close(GIVEN_UP));
    const limit = (ms: number, reason: string) => clock.setTimer(ms, () => frames.close(reason));
    let timer = limit(GREETING_MS, SILENT);
    try {
      const store = await greet(frames, waiting, options, () => {
        timer.cancel();
        // A store first ends what the connection before had under way.
        timer = limit(GREETING_MS + requestTimeoutMs, SILENT);
      });
      timer.cancel();
      timer = limit(ATTACH_MS, 'the store did not find a way for payload in time');
      connection = new StoreConnection(options, frames, store);
      frames.allowLong();
      for (const message of waiting.rest()) connection.#receive(message);
      if (options.fabric !== null) await connection.#attach(socket);
      connection.status = await connection.request({ op: 'status' });
      return connection;
    } catch (error) {
      const reason = (error as Error).message;
      connection?.end(reason);
      await connection?.closed;
      frames.close(reason);
      throw error;
    } finally {
      timer.cancel();
      forget();
    }
  }

  /** Why it has ended; null while it has not. */
  get ended(): string | null {
    return this.#ended;
  }

  /** What carries payload: 'plain-tcp', or a provider of libfabric. */
  get provider(): string {
    return this.#transport?.provider ?? '';
  }

  get domain(): string {
    return this.#transport?.domain ?? '';
  }

  /** Requests that are not answered. */
  get load(): number {
    return this.#pending.size;
  }

  transfers(): TransportStatistics | null {
    return this.#ended === null ? (this.#transport?.statistics() ?? null) : null;
  }

  /** Resolves when nothing of it is left, after `end`. */
  get closed(): Promise<void> {
    return this.#closed ?? Promise.resolve();
  }

  onEnd(listener: (reason: string) => void): void {
    this.#listeners.push(listener);
  }

  onStatus(listener: (status: StoreStatus) => void): void {
    this.#statusReceived = listener;
  }

  /** The store wants a file to be completed soon. */
  onEndWanted(listener: (file: string) => void): void {
    this.#endWanted = listener;
  }

  /** What opens the arena for this store; part of orders to move payload. */
  get key(): string {
    return this.#key;
  }

  /**
   * Asks the store. Rejects with a StoreError: the store's own, or ENOTCONN when the connection ends. A store that does not answer in time loses
   * the connection.
   */
  request<O extends Operation>(operation: O): Promise<ResultOf<O['op']>> {
    if (this.#ended !== null) return Promise.reject(new StoreError('ENOTCONN', this.#ended));
    if (this.#pending.size >= MAX_REQUESTS)
      return Promise.reject(new StoreError('ENOBUFS', 'too many requests wait for the store'));
    const id = this.#nextId++;
    const timeoutMs =
      'timeoutMs' in operation ? operation.timeoutMs : Math.max(this.#options.requestTimeoutMs, 1);
    const answered = new Promise<ResultOf<O['op']>>((resolve, reject) => {
      const timer = this.#limit(operation.op, timeoutMs + GRACE_MS);
      this.#pending.set(id, { op: operation.op, timer, resolve: resolve as Pending['resolve'], reject });
    });
    this.#send({ type: 'request', id, operation });
    return answered;
  }

  /** From now on the store has only so long for an answer, also to what it was asked before. */
  hurry(limitMs: number): void {
    this.#limitMs = limitMs;
    for (const pending of this.#pending.values()) {
      pending.timer.cancel();
      pending.timer = this.#limit(pending.op, limitMs);
    }
  }

  #limit(op: Operation['op'], durationMs: number): Timer {
    return this.#options.clock.setTimer(Math.min(durationMs, this.#limitMs), () =>
      this.end(`the store did not answer ${op} in time`),
    );
  }

  /**
   * Has the store measure how fast it takes bytes from a range of the arena, or puts them there with `write`, beside what the way is capable of.
   * The range is overwritten. Rejects with a StoreError: EBUSY while the store measures for another.
   */
  async measure(
    write: boolean,
    range: { readonly offset: number; readonly length: number },
  ): Promise<Measured> {
    const transport = this.#transport;
    if (transport === null) throw new StoreError('ENOTCONN', 'no memory is attached');
    const { offer } = await this.request({ op: 'bare' });
    const answer = await transport.answer(offerFrom(transport, offer, this.#peerHost));
    const order = { ...range, key: this.#key, timeoutMs: MEASURE_MS };
    return this.request({ op: 'measure', write, answer: answer.toString('base64'), ...order });
  }

  /** Everything that waits fails. */
  end(reason: string): void {
    if (this.#ended !== null) return;
    this.#ended = reason;
    this.#attachment?.detach(reason);
    this.#frames.close(reason, true);
    this.#closed = this.#close(reason);
    for (const listener of this.#listeners) listener(reason);
  }

  async #close(reason: string): Promise<void> {
    try {
      await this.#transport?.close();
    } catch {
      // The provider keeps its thread; a store that is gone transfers nothing any more.
    }
    for (const { timer, reject } of this.#pending.values()) {
      timer.cancel();
      reject(new StoreError('ENOTCONN', reason));
    }
    this.#pending.clear();
  }

  async #attach(socket: Socket): Promise<void> {
    const { fabric, clock } = this.#options;
    const { ways, host, open, arenaBytes, access = PEER_READS | PEER_WRITES } = fabric!;
    this.#peerHost = socket.remoteAddress ?? this.#options.host;
    const attachment = new TargetAttachment({
      ways,
      host,
      clock,
      peerHost: this.#peerHost,
      send: (message) => this.#send({ type: 'attach', message }),
      open: async (way) => {
        const transport = await open(way);
        if (this.#ended !== null) {
          await transport.close();
          throw new Error(this.#ended);
        }
        return transport;
      },
    });
    this.#attachment = attachment;
    attachment.onEnd((reason) => this.end(reason));
    const { transport } = await attachment.attach();
    this.#transport = transport;
    if (this.#ended !== null) {
      await transport.close();
      throw new Error(this.#ended);
    }
    const published = await transport.publishArena(access);
    this.#key = published.key.toString(16);
    attachment.publish(published, ARENA_REGION, arenaBytes, access);
  }

  #send(message: ToStore): void {
    this.#frames.send(JSON.stringify(message));
  }

  #receive(text: string): void {
    if (this.#ended !== null) return;
    try {
      const message = parseMessage(fromStore, text);
      switch (message.type) {
        case 'attach':
          this.#attachment?.receive(message.message);
          break;
        case 'status':
          this.status = message.status;
          this.#statusReceived(message.status);
          break;
        case 'end':
          this.#endWanted(message.file);
          break;
        default:
          this.#answered(message.id, message);
      }
    } catch (error) {
      this.end((error as Error).message);
    }
  }

  #answered(id: number, message: { type: 'done'; result?: unknown } | FailedMessage): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) throw new Error('an answer came to what was not asked');
    this.#pending.delete(id);
    pending.timer.cancel();
    if (message.type === 'failed') {
      pending.reject(new StoreError(message.code, message.message));
      return;
    }
    const parsed = results[pending.op].safeParse(message.result);
    if (parsed.success) pending.resolve(parsed.data);
    else {
      pending.reject(new StoreError('EPROTO', `an impossible answer to ${pending.op} came`));
      throw new Error(`an impossible answer to ${pending.op} came`);
    }
  }
}

interface FailedMessage {
  type: 'failed';
  code: string;
  message: string;
}
