import { setMaxListeners } from 'node:events';
import type { NativeMemory } from '../../native/arena.ts';
import { type Piece, releasePieces } from '../../native/pieces.ts';
import type { Clock } from '../../util/clock.ts';
import type { ConnectionContext } from './handler.ts';
import type { HeldBudget } from './held-budget.ts';
import { Outstanding } from './outstanding.ts';

/** The part of Net that replies go to. */
export interface ReplySink {
  reply(connection: number, pieces: readonly Piece[], reported?: boolean): void;
  skip(connection: number): void;
  close(connection: number): void;
  setReading(connection: number, reads: boolean): void;
  /** Sends what was given so far without waiting for more, if that was not asked for lately. */
  hurry(): void;
}

export interface ConnectionOptions {
  readonly sink: ReplySink;
  readonly listenerName: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Shared by all connections. */
  readonly held: HeldBudget;
  /** How much memory answers may hold until the client has taken them. */
  readonly maxOutstandingBytes: number;
  readonly clock: Clock;
  /** The client has to wait from now on: somebody has to call `resume`. */
  readonly onThrottled: (connection: Connection) => void;
}

/** How long a connection that is refused stays open for the replies to earlier requests: a poll may wait for ever. */
const REFUSED_WAIT_MS = 30_000;

/** The place of one request's reply among those of its connection. */
export interface ReplySlot {
  pieces: readonly Piece[] | null;
  /** What is given back to `outstanding` when the reply has been sent. */
  heldBytes: number;
  finished: boolean;
  /** Nothing is sent from here on: the connection is closed in place of the reply. */
  closes: boolean;
}

/** A request that is not looked at yet. */
export interface HeldFrame {
  readonly bytes: Uint8Array;
  readonly memory: NativeMemory | null;
}

/** One client connection: what handlers know of it, and its replies, which finish in any order and leave in request order. */
export class Connection implements ConnectionContext {
  readonly id: number;
  readonly listenerName: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  principal = 'User:ANONYMOUS';
  /** Why TLS was not agreed on; empty where it was, and where there is none. */
  tlsFailure = '';
  clientSoftwareName = 'unknown';
  clientSoftwareVersion = 'unknown';
  readonly outstanding: Outstanding;
  /** Null: nobody has asked for its signal, as on most connections. */
  #ending: AbortController | null = null;
  /** Null: nobody waits. */
  #whenClosed: Set<() => void> | null = null;
  #isClosed = false;
  readonly #sink: ReplySink;
  readonly #budget: HeldBudget;
  readonly #clock: Clock;
  readonly #onThrottled: (connection: Connection) => void;
  #slots: ReplySlot[] = [];
  #refusing = false;
  #throttledUntil = 0;
  #paused = false;
  #waiting = false;
  readonly #held: HeldFrame[] = [];
  /** Of the replies that are reported and not sent yet, in order. */
  readonly #unsent: number[] = [];

  constructor(id: number, options: ConnectionOptions) {
    this.id = id;
    this.#sink = options.sink;
    this.#budget = options.held;
    this.#clock = options.clock;
    this.#onThrottled = options.onThrottled;
    this.outstanding = new Outstanding(options.maxOutstandingBytes);
    this.listenerName = options.listenerName;
    this.remoteAddress = options.remoteAddress;
    this.remotePort = options.remotePort;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get closed(): AbortSignal {
    if (this.#ending === null) {
      this.#ending = new AbortController();
      // Each pending request may listen; their number is bounded by the connection's limit.
      setMaxListeners(0, this.#ending.signal);
      if (this.#isClosed) this.#ending.abort();
    }
    return this.#ending.signal;
  }

  onClosed(action: () => void): () => void {
    if (this.#isClosed) action();
    else {
      this.#whenClosed ??= new Set();
      this.#whenClosed.add(action);
    }
    return () => this.#whenClosed?.delete(action);
  }

  /** True once `refuse` was called: further requests are not looked at. */
  get isRefusing(): boolean {
    return this.#refusing;
  }

  throttle(ms: number): void {
    if (!(ms > 0) || this.isClosed) return;
    this.#throttledUntil = Math.max(this.#throttledUntil, performance.now() + ms);
    if (this.#paused) return;
    this.#paused = true;
    this.#sink.setReading(this.id, false);
    this.#onThrottled(this);
  }

  /** The client has waited for as long as it had to. */
  resume(): void {
    this.#paused = false;
    this.#throttledUntil = 0;
    if (!this.isClosed && !this.isRefusing) this.#sink.setReading(this.id, true);
  }

  /** For how many milliseconds requests have to wait; 0 for most. */
  get throttledMs(): number {
    return this.#throttledUntil === 0 ? 0 : Math.max(0, this.#throttledUntil - performance.now());
  }

  /** Whether requests wait until the client may be served again. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** Takes over one reference of the frame's memory, unless there is no room for it: then false. */
  hold(bytes: Uint8Array, memory: NativeMemory | null): boolean {
    if (!this.#budget.take(bytes.byteLength)) return false;
    this.#held.push({ bytes: memory === null ? Uint8Array.from(bytes) : bytes, memory });
    return true;
  }

  /** As `hold`, before all that is held, until `takeWaiting`; the client is not read from. */
  wait(bytes: Uint8Array, memory: NativeMemory | null): boolean {
    if (!this.hold(bytes, memory)) return false;
    this.#held.unshift(this.#held.pop()!);
    this.#waiting = true;
    if (!this.#paused) this.#sink.setReading(this.id, false);
    this.#paused = true;
    return true;
  }

  /** Whether the oldest request that is held waits for memory. */
  get isWaiting(): boolean {
    return this.#waiting;
  }

  /** The request that waits, with the reference of its memory; undefined if the connection has ended. */
  takeWaiting(): HeldFrame | undefined {
    this.#waiting = false;
    return this.takeHeld();
  }

  /** The oldest request that waits, with the reference of its memory. */
  takeHeld(): HeldFrame | undefined {
    const frame = this.#held.shift();
    if (frame !== undefined) this.#budget.give(frame.bytes.byteLength);
    return frame;
  }

  /** Takes the next place in the order; to be called once for each request, in order. */
  begin(): ReplySlot {
    const slot: ReplySlot = { pieces: null, heldBytes: 0, finished: false, closes: false };
    this.#slots.push(slot);
    return slot;
  }

  /** Whether the reply for a place would leave at once: `finish` keeps no piece of it then but memory and files. */
  isNext(slot: ReplySlot): boolean {
    return this.#slots[0] === slot;
  }

  /**
   * Fills a place; null means that the request gets no reply. Takes over one reference of each memory piece.
   * @param heldBytes what was acquired of `outstanding` for it
   */
  finish(slot: ReplySlot, pieces: readonly Piece[] | null, heldBytes = 0): void {
    if (this.isClosed) {
      if (pieces) releasePieces(pieces);
      return;
    }
    slot.pieces = pieces;
    slot.heldBytes = heldBytes;
    slot.finished = true;
    if (this.#slots[0] === slot) this.#sendFinished();
  }

  /** The client waits for what was finished last: it leaves before anything else is done, unless many are answered. */
  hurry(): void {
    this.#sink.hurry();
  }

  /** Closes the connection in place of a reply, after those to earlier requests; what is not finished in time is not waited for. */
  refuse(slot = this.begin()): void {
    if (this.isClosed) return;
    slot.finished = true;
    slot.closes = true;
    if (this.#slots[0] === slot) this.#sink.close(this.id);
    else if (!this.#refusing) {
      this.#sink.setReading(this.id, false);
      const waiting = this.#clock.setTimer(REFUSED_WAIT_MS, () => this.#sink.close(this.id));
      this.onClosed(() => waiting.cancel());
    }
    this.#refusing = true;
  }

  /** So many more of the replies that are reported have been sent. */
  sent(replies: number): void {
    for (const bytes of this.#unsent.splice(0, replies)) this.outstanding.release(bytes);
  }

  /** The connection is gone: replies are dropped, and what waits for the client gives up. */
  end(): void {
    const slots = this.#slots;
    this.#slots = [];
    this.#isClosed = true;
    this.#ending?.abort();
    for (const action of this.#whenClosed ?? []) action();
    this.#whenClosed = null;
    this.outstanding.end();
    for (let frame = this.takeHeld(); frame !== undefined; frame = this.takeHeld()) frame.memory?.release();
    for (const { pieces } of slots) if (pieces) releasePieces(pieces);
  }

  #sendFinished(): void {
    let count = 0;
    for (let slot = this.#slots[0]; slot?.finished; slot = this.#slots[count]) {
      if (slot.closes) {
        this.#sink.close(this.id);
        break;
      }
      count++;
      const { pieces, heldBytes } = slot;
      if (heldBytes > 0) this.#unsent.push(heldBytes);
      if (pieces) this.#sink.reply(this.id, pieces, heldBytes > 0);
      else this.#sink.skip(this.id);
    }
    if (count === this.#slots.length) this.#slots.length = 0;
    else this.#slots.splice(0, count);
  }
}
