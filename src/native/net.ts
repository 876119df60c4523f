import { lookup } from 'node:dns/promises';
import { binding } from './addon.ts';
import { NativeMemory } from './arena.ts';
import { Outbox, type OutboxCore } from './outbox.ts';
import type { Piece } from './pieces.ts';

/** Limits of a Net; see native/net/options.h for each. Sizes are bytes, times milliseconds. */
export interface NetOptions {
  /** Reactor threads, 1 to 64 (num.network.threads). */
  threads: number;
  /** The largest frame accepted (socket.request.max.bytes); no more than the arena holds. */
  maxFrameBytes: number;
  /** Frames above this arrive in native memory, at most 1 MiB. */
  largeFrameBytes: number;
  /** Unanswered frames at which a connection is not read from. */
  maxRequestsPerConnection: number;
  /** Likewise for the bytes of unanswered frames and unsent replies; one frame may exceed it. */
  maxBytesPerConnection: number;
  /** Bytes of unanswered frames of all connections at which no frame is started. */
  maxInFlightBytes: number;
  maxConnections: number;
  maxConnectionsPerIp: number;
  /** 0: never (connections.max.idle.ms). */
  idleMs: number;
  /** While memory is short, how long a connection may pause within a large frame. */
  stalledFrameMs: number;
  /** Memory of a reply that waits longer than this for its peer is given back; the rest is sent from the file it came from. */
  heldReplyMs: number;
  /** How long a peer may take nothing of a reply whose end is reported. */
  stalledReplyMs: number;
  /** How long TLS may take to be agreed on, at listeners that have it. */
  handshakeMs: number;
  /** How long a peer may acknowledge neither what was sent nor keep-alive probes. */
  peerTimeoutMs: number;
  backlog: number;
  /** SO_BUSY_POLL in microseconds; 0: not. */
  busyPollMicros: number;
  /** 0: the system's choice. */
  sendBufferBytes: number;
  receiveBufferBytes: number;
}

export const defaultNetOptions: NetOptions = {
  threads: 1,
  maxFrameBytes: 100 * 2 ** 20,
  largeFrameBytes: 32 * 2 ** 10,
  maxRequestsPerConnection: 64,
  maxBytesPerConnection: 128 * 2 ** 20,
  maxInFlightBytes: 256 * 2 ** 20,
  maxConnections: 0x7fffffff,
  maxConnectionsPerIp: 0x7fffffff,
  idleMs: 600_000,
  stalledFrameMs: 30_000,
  heldReplyMs: 1_000,
  stalledReplyMs: 30_000,
  handshakeMs: 10_000,
  peerTimeoutMs: 60_000,
  backlog: 511,
  busyPollMicros: 0,
  sendBufferBytes: 0,
  receiveBufferBytes: 0,
};

/** In the order of native/net/options.h. */
const closeReasons = [
  'closed by peer',
  'reset',
  'truncated frame',
  'oversized frame',
  'negative frame length',
  'tls-on-plaintext',
  'idle',
  'stalled frame',
  'closed here',
  'shutdown',
  'reply failed',
  'reply not taken',
  'TLS failed',
] as const;
export type CloseReason = (typeof closeReasons)[number];

export interface ConnectionInfo {
  /** As returned by `listen`. */
  listener: number;
  remoteAddress: string;
  remotePort: number;
  /** The subject of the certificate that the client has shown, as RFC 2253 writes it; empty without one. */
  subject: string;
  /** Why it is about to be closed with 'TLS failed'; empty for others. */
  failure: string;
}

/** What a listener shows and asks for that speaks TLS. PEM: a certificate in each string. */
export interface NetTls {
  /** Its own, and behind it those of the CAs between it and the root. */
  readonly certificates: readonly string[];
  /** Not encrypted. */
  readonly key: string;
  /** CAs of clients. */
  readonly authorities: readonly string[];
  /** Whether clients must show a certificate. `requested`: one that is shown must hold. */
  readonly clientAuth: 'none' | 'requested' | 'required';
  /** TLS 1.2 is spoken too, not only 1.3. */
  readonly allowsVersion12: boolean;
}

/** Called on the JavaScript thread, for each connection in this order: onConnect, onFrame..., onClose. */
export interface NetHandler {
  onConnect(connection: number, info: ConnectionInfo): void;
  /**
   * A request without its length field. If `memory` is null, `bytes` is valid only during the call; otherwise it is a
   * view of `memory`, of which the handler owns one reference.
   */
  onFrame(connection: number, bytes: Uint8Array, memory: NativeMemory | null): void;
  /**
   * `detail`: the length of an oversized or negative frame, the bytes that had arrived of a truncated one, the errno
   * of a reset.
   */
  onClose(connection: number, reason: CloseReason, detail: number): void;
  /** So many more replies, of those that are reported, have been sent. */
  onSent?(connection: number, replies: number): void;
  /** A connection was closed at once because its address has too many. */
  onRefused?(listener: number, remoteAddress: string): void;
}

export interface NetStats {
  receivedBytes: number;
  sentBytes: number;
  frames: number;
  replies: number;
  /** Bytes of replies that waited for slow peers and are sent from files instead. */
  givenBackBytes: number;
  connections: number;
  inFlightBytes: number;
}

interface NetCore extends OutboxCore {
  inboxes(): { buffer: ArrayBuffer; dataBytes: number; events: number }[];
  listen(ip: string, port: number, tls: NetTls | null): [listener: number, port: number];
  setTls(listener: number, tls: NetTls): void;
  stopAccepting(): void;
  collect(reactor: number): number;
  release(reactor: number, count: number): void;
  drain(deadlineMs: number): void;
  stop(): void;
  setReferenceMinBytes(bytes: number): void;
  stats(): NetStats;
}
const native = binding<{
  NetCore: new (options: NetOptions, onEvents: () => void, afterEvents: () => void) => NetCore;
}>();

const Event = { opened: 1, frame: 2, largeFrame: 3, closed: 4, drained: 5, refused: 6, sent: 7 } as const;
/** An event is type, connection, offset, length, handle, detail. */
const eventFields = 6;
/** Events of one reactor handled before their space is given back, replies are handed over, and others get their turn. */
const eventsPerTurn = 256;
/**
 * Replies are handed over half-way too, after so many events at least, where these are of so few connections: their clients get on with
 * the first while the others are handled. Of many, others go on meanwhile.
 */
const fewestHandedOver = 8;
const fewConnections = 8;

/** What one reactor hands over: its frames, and the events that name them. */
interface Inbox {
  buffer: ArrayBuffer;
  events: Float64Array;
  capacity: number;
  next: number;
}

/** Whether the last `count` events that were handled are of few connections; those of one follow each other. */
function areFew({ events, capacity, next }: Inbox, count: number): boolean {
  let connections = 0;
  let last = Number.NaN;
  for (let i = next - count + capacity; i < next + capacity; i++) {
    const connection = events[(i % capacity) * eventFields + 1]!;
    if (connection !== last && ++connections > fewConnections) return false;
    last = connection;
  }
  return true;
}

/**
 * Listening sockets and connections, served by native reactor threads. Keeps the process alive from the first `listen`
 * until `shutdown` has finished.
 */
export class Net {
  readonly #core: NetCore;
  readonly #handler: NetHandler;
  readonly #inboxes: Inbox[];
  readonly #outbox: Outbox;
  #drained = 0;
  #onDrained: (() => void) | null = null;
  #flushScheduled = false;
  #hurried = false;
  #handlesEvents = false;
  #ending: Promise<void> | null = null;

  constructor(options: Partial<NetOptions>, handler: NetHandler) {
    this.#handler = handler;
    this.#core = new native.NetCore(
      { ...defaultNetOptions, ...options },
      () => this.#onEvents(),
      () => this.#afterEvents(),
    );
    this.#inboxes = this.#core.inboxes().map(({ buffer, dataBytes, events }) => ({
      buffer,
      events: new Float64Array(buffer, dataBytes, events * eventFields),
      capacity: events,
      next: 0,
    }));
    this.#outbox = new Outbox(this.#core);
  }

  /**
   * An empty host means all interfaces, port 0 a free one. A name with addresses of both kinds means its IPv4 address, as
   * in Java. Rejects with the system's error, e.g. code EADDRINUSE, or with what is wrong with the certificates.
   */
  async listen(
    host: string,
    port: number,
    tls: NetTls | null = null,
  ): Promise<{ listener: number; port: number }> {
    const address = host === '' ? '::' : (await lookup(host, { verbatim: false })).address;
    const [listener, bound] = this.#listen(address, port, host === '', tls);
    return { listener, port: bound };
  }

  #listen(
    address: string,
    port: number,
    anyFamily: boolean,
    tls: NetTls | null,
  ): [listener: number, port: number] {
    try {
      return this.#core.listen(address, port, tls);
    } catch (error) {
      if (!anyFamily || (error as NodeJS.ErrnoException).code !== 'EAFNOSUPPORT') throw error;
      return this.#core.listen('0.0.0.0', port, tls);
    }
  }

  /** For connections that come from now on, to a listener that speaks TLS. @throws Error that says what is wrong with it */
  setTls(listener: number, tls: NetTls): void {
    this.#core.setTls(listener, tls);
  }

  /**
   * Answers the oldest unanswered frame; the pieces include the response's length field. Takes over one reference of each
   * memory piece. A connection that has closed meanwhile is ignored.
   * @param reported whether to call onSent when it has been sent, unless the connection closes before
   */
  reply(connection: number, pieces: readonly Piece[], reported = false): void {
    this.#outbox.add(connection, pieces, reported);
    this.#scheduleFlush();
  }

  /** The oldest unanswered frame gets no answer. */
  skip(connection: number): void {
    this.#outbox.add(connection, []);
    this.#scheduleFlush();
  }

  /** Stops reading frames of a connection, at once but for those that are on their way to the handler, or goes on. */
  setReading(connection: number, reads: boolean): void {
    this.#outbox.addReading(connection, reads);
    this.#scheduleFlush();
  }

  /** Closes the connection once the replies given so far are sent; reads no more from it. */
  close(connection: number): void {
    this.#outbox.addClose(connection);
    this.#scheduleFlush();
  }

  /**
   * The mean record size from which the batches of Produce requests that arrive in native memory get a reference batch before their topic
   * is known (payload.min.bytes of most topics); -1, and before the first call: never. See checkBatchesSoon.
   */
  setReferenceMinBytes(bytes: number): void {
    this.#core.setReferenceMinBytes(bytes);
  }

  stopAccepting(): void {
    this.#core.stopAccepting();
  }

  /**
   * Accepts and reads no more, lets pending requests be answered, closes every connection within `deadlineMs`, and
   * stops the threads.
   */
  shutdown(deadlineMs: number): Promise<void> {
    this.#ending ??= this.#end(deadlineMs);
    return this.#ending;
  }

  async #end(deadlineMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onDrained = resolve;
      this.#core.drain(deadlineMs);
    });
    this.#outbox.end();
    this.#core.stop();
  }

  stats(): NetStats {
    return this.#core.stats();
  }

  /** Hands over what was answered so far, without waiting for the end of the turn; once in a turn, so that many answers still go together. */
  hurry(): void {
    if (this.#hurried) return;
    this.#hurried = true;
    this.#outbox.flush();
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#handlesEvents) return;
    this.#flushScheduled = true;
    // After everything else that this turn of the event loop completes: one hand-over for all of it.
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#endTurn();
    });
  }

  #onEvents(): void {
    this.#handlesEvents = true;
    try {
      this.#collect();
    } catch (error) {
      this.#handlesEvents = false;
      this.#scheduleFlush();
      throw error;
    }
  }

  /** The promises that were settled meanwhile have been dealt with: one hand-over for all that was answered. */
  #afterEvents(): void {
    this.#handlesEvents = false;
    this.#endTurn();
  }

  #endTurn(): void {
    this.#hurried = false;
    this.#outbox.flush();
  }

  #collect(): void {
    let more = false;
    for (let reactor = 0; reactor < this.#inboxes.length; reactor++) {
      if (this.#collectFrom(reactor)) more = true;
    }
    // Timers, disks and other sockets come first.
    if (more) setImmediate(() => this.#collect());
  }

  /** True if there is more. */
  #collectFrom(reactor: number): boolean {
    const inbox = this.#inboxes[reactor]!;
    const available = this.#core.collect(reactor);
    const count = Math.min(available, eventsPerTurn);
    const half = Math.max(fewestHandedOver, count >> 1);
    let handled = 0;
    try {
      while (handled < count) {
        handled++;
        this.#handle(inbox);
        if (handled === half && areFew(inbox, half)) this.#outbox.flush();
      }
    } finally {
      this.#core.release(reactor, handled);
    }
    return available > count;
  }

  #handle(inbox: Inbox): void {
    const { events, buffer } = inbox;
    const at = inbox.next * eventFields;
    inbox.next = (inbox.next + 1) % inbox.capacity;
    const connection = events[at + 1]!;
    const offset = events[at + 2]!;
    const length = events[at + 3]!;
    switch (events[at]) {
      case Event.frame:
        this.#handler.onFrame(connection, new Uint8Array(buffer, offset, length), null);
        break;
      case Event.largeFrame: {
        const memory = NativeMemory.adopt(events[at + 4]!, offset, length);
        this.#handler.onFrame(connection, memory.bytes(), memory);
        break;
      }
      case Event.opened: {
        const text = Buffer.from(buffer, offset, length).toString();
        const [peer = '', subject = '', failure = ''] = text.split('\n');
        const [remoteAddress = '', port] = peer.split(' ');
        const info = { listener: events[at + 5]!, remoteAddress, remotePort: Number(port), subject, failure };
        this.#handler.onConnect(connection, info);
        break;
      }
      case Event.closed:
        this.#handler.onClose(connection, closeReasons[events[at + 5]!]!, length);
        break;
      case Event.sent:
        this.#handler.onSent?.(connection, events[at + 5]!);
        break;
      case Event.refused: {
        const remoteAddress = Buffer.from(buffer, offset, length).toString('latin1');
        this.#handler.onRefused?.(events[at + 5]!, remoteAddress);
        break;
      }
      case Event.drained:
        if (++this.#drained === this.#inboxes.length) this.#onDrained?.();
    }
  }
}
