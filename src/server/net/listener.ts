import { getHeapStatistics } from 'node:v8';
import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import type { ConnectionQuota } from '../../broker/quotas/connection-quota.ts';
import type { NativeMemory } from '../../native/arena.ts';
import {
  type CloseReason,
  type ConnectionInfo,
  defaultNetOptions,
  Net,
  type NetHandler,
  type NetOptions,
  type NetStats,
  type NetTls,
} from '../../native/net.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { Connection } from './connection.ts';
import { Dispatcher } from './dispatcher.ts';
import { HeldBudget } from './held-budget.ts';
import { LogLimiter } from './log-limiter.ts';
import type { NetMetrics } from './metrics.ts';
import { Outstanding } from './outstanding.ts';
import type { HandlerRegistry } from './registry.ts';

/** The share of what may be in flight that may be held back of clients that have to wait. */
const HELD_SHARE = 0.25;
/** The share of V8's heap that requests of many elements may take together. */
const DECODED_SHARE = 0.5;

export interface Endpoint {
  /** The listener's name, e.g. PLAINTEXT. */
  name: string;
  host: string;
  /** 0 takes a free port. */
  port: number;
}

export interface KafkaListenersOptions {
  net: Partial<NetOptions>;
  /** What listeners serve that are not given a registry of their own. */
  registry: HandlerRegistry;
  logger: Logger;
  metrics: NetMetrics;
  clock: Clock;
  requestQuota?: RateQuota;
  /** Limits how often an address may connect; not when absent. */
  connectionQuota?: ConnectionQuota;
  /** `direct.max.unsent.bytes` */
  maxOutstandingBytes: number;
  /** What requests of many elements may take of V8's heap together, in bytes; a half of it when absent. */
  maxDecodedBytes?: number;
}

/** The listeners of the Kafka protocol and their connections. */
export class KafkaListeners implements NetHandler {
  readonly #net: Net;
  readonly #dispatcher: Dispatcher;
  readonly #decoded: Outstanding;
  readonly #logger: Logger;
  readonly #metrics: NetMetrics;
  readonly #limiter: LogLimiter;
  readonly #names = new Map<number, string>();
  /** The listeners that speak TLS. */
  readonly #options: KafkaListenersOptions;
  readonly #dispatchers = new Map<string, Dispatcher>();
  readonly #connections = new Map<number, Connection>();
  readonly #maxFrameBytes: number | undefined;
  readonly #held: HeldBudget;
  readonly #connectionQuota: ConnectionQuota | null;
  readonly #clock: Clock;

  constructor(options: KafkaListenersOptions) {
    this.#options = options;
    this.#net = new Net(options.net, this);
    this.#decoded = new Outstanding(
      options.maxDecodedBytes ?? getHeapStatistics().heap_size_limit * DECODED_SHARE,
    );
    this.#dispatcher = new Dispatcher({ ...options, decoded: this.#decoded });
    this.#logger = options.logger;
    this.#metrics = options.metrics;
    this.#limiter = new LogLimiter(options.clock);
    this.#maxFrameBytes = options.net.maxFrameBytes;
    this.#connectionQuota = options.connectionQuota ?? null;
    this.#clock = options.clock;
    const { maxInFlightBytes } = { ...defaultNetOptions, ...options.net };
    this.#held = new HeldBudget(maxInFlightBytes * HELD_SHARE);
  }

  /**
   * Accepts connections from now on, which are served by `registry`, and speak TLS with `tls`. Rejects, naming the endpoint, if it cannot be bound.
   * Returns it with its real port.
   */
  async listen(endpoint: Endpoint, registry?: HandlerRegistry, tls: NetTls | null = null): Promise<Endpoint> {
    const { name, host } = endpoint;
    if (registry)
      this.#dispatchers.set(name, new Dispatcher({ ...this.#options, registry, decoded: this.#decoded }));
    try {
      const { listener, port } = await this.#net.listen(host, endpoint.port, tls);
      this.#names.set(listener, name);
      return { name, host, port };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`listener ${name} cannot listen on ${host}:${endpoint.port}: ${reason}`, { cause });
    }
  }

  /** For connections that come from now on, to listeners that speak TLS. @throws Error that says what is wrong with it */
  setTls(names: readonly string[], tls: NetTls): void {
    for (const [listener, name] of this.#names) if (names.includes(name)) this.#net.setTls(listener, tls);
  }

  /** See Net.setReferenceMinBytes. */
  setReferenceMinBytes(bytes: number): void {
    this.#net.setReferenceMinBytes(bytes);
  }

  /** Closes the listening sockets; connections go on. */
  stopAccepting(): void {
    this.#net.stopAccepting();
  }

  /** Lets pending requests be answered, then closes every connection, all within the deadline. */
  shutdown(deadlineMs: number): Promise<void> {
    return this.#net.shutdown(deadlineMs);
  }

  stats(): NetStats {
    return this.#net.stats();
  }

  onConnect(id: number, info: ConnectionInfo): void {
    const { remoteAddress, remotePort, subject, failure } = info;
    const listenerName = this.#nameOf(info.listener);
    const connection = new Connection(id, {
      sink: this.#net,
      listenerName,
      remoteAddress,
      remotePort,
      held: this.#held,
      maxOutstandingBytes: this.#options.maxOutstandingBytes,
      clock: this.#clock,
      onThrottled: (throttled) => this.#dispatcherOf(throttled).resumeLater(throttled),
    });
    if (subject !== '') connection.principal = `User:${subject}`;
    connection.tlsFailure = failure;
    this.#connections.set(id, connection);
    this.#metrics.connectionOpened(listenerName);
    const throttleMs = this.#connectionQuota?.record(remoteAddress) ?? 0;
    if (throttleMs > 0) this.#closeLater(connection, throttleMs);
  }

  /** A client that connects too often finds its connection silent, then closed, so that it does not come back at once (KIP-612). */
  #closeLater(connection: Connection, ms: number): void {
    connection.throttle(Number.POSITIVE_INFINITY);
    this.#clock.setTimer(ms, () => connection.refuse());
  }

  onFrame(id: number, bytes: Uint8Array, memory: NativeMemory | null): void {
    const connection = this.#connections.get(id);
    if (!connection) memory?.release();
    else this.#dispatcherOf(connection).dispatch(connection, bytes, memory);
  }

  onSent(id: number, replies: number): void {
    this.#connections.get(id)?.sent(replies);
  }

  #dispatcherOf({ listenerName }: Connection): Dispatcher {
    return this.#dispatchers.get(listenerName) ?? this.#dispatcher;
  }

  onClose(id: number, reason: CloseReason, detail: number): void {
    const connection = this.#connections.get(id);
    if (!connection) return;
    this.#connections.delete(id);
    connection.end();
    this.#metrics.connectionClosed(connection.listenerName, reason);
    this.#logClose(connection, reason, detail);
  }

  onRefused(listener: number, remoteAddress: string): void {
    const name = this.#nameOf(listener);
    this.#metrics.connectionRefused(name);
    if (!this.#limiter.allows(`refused ${remoteAddress}`)) return;
    this.#logger.warn(
      { listener: name, client: remoteAddress },
      'too many connections from one address (max.connections.per.ip); refused',
    );
  }

  #nameOf(listener: number): string {
    // A connection may arrive before `listen` has returned.
    return this.#names.get(listener) ?? 'unknown';
  }

  #logClose(connection: Connection, reason: CloseReason, detail: number): void {
    const { id, listenerName: listener, remoteAddress: client } = connection;
    const text = this.#explain(reason, detail, connection.tlsFailure);
    if (text === null) {
      this.#logger.debug({ connection: id, listener, client, reason, detail }, 'connection closed');
    } else if (this.#limiter.allows(`${client} ${reason} ${connection.tlsFailure}`)) {
      this.#logger.warn({ listener, client }, `${text}; closed the connection`);
    }
  }

  /** What to tell people about a close that somebody should look at; null for ordinary ones. */
  #explain(reason: CloseReason, detail: number, tlsFailure: string): string | null {
    switch (reason) {
      case 'tls-on-plaintext':
        return 'a TLS hello arrived on a plaintext listener: the client is configured for SSL';
      case 'TLS failed':
        return explainTls(tlsFailure);
      case 'oversized frame':
        return `a frame of ${detail} bytes exceeds socket.request.max.bytes (${this.#maxFrameBytes ?? 'default'})`;
      case 'negative frame length':
        return `a frame announces a length of ${detail}: this is not the Kafka protocol`;
      case 'truncated frame':
        return `the client went away in the middle of a frame, after ${detail} bytes`;
      case 'stalled frame':
        return 'the client paused in the middle of a large frame while memory was short';
      case 'reply failed':
        return 'a reply could not be sent: its file or memory is gone';
      case 'reply not taken':
        return 'the client did not take the data that it had asked for, which holds memory of the gateway';
      default:
        return null;
    }
  }
}

/** What OpenSSL calls bytes that are no TLS, and what is to be done about alerts of clients. */
function explainTls(failure: string): string {
  if (
    /wrong version number|http request|packet length too long|unexpected message|bad record type/.test(
      failure,
    )
  )
    return `what arrived on a listener that speaks TLS is no TLS (${failure}): the client is not configured for SSL`;
  if (/alert/.test(failure))
    return `the client does not accept TLS as it is here (${failure}): it may not trust the CA of ssl.keystore.location, or know the gateway by another name`;
  return `TLS was not agreed on: ${failure}`;
}
