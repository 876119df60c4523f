import { setMaxListeners } from 'node:events';
import type { NativeMemory } from '../../native/arena.ts';
import { MemoryPiece, type Piece } from '../../native/pieces.ts';
import type { ConnectionContext } from './handler.ts';

/** The part of Net that replies go to. */
export interface ReplySink {
  reply(connection: number, pieces: readonly Piece[]): void;
  skip(connection: number): void;
  close(connection: number): void;
}

/** The place of one request's reply among those of its connection. */
export interface ReplySlot {
  pieces: readonly Piece[] | null;
  finished: boolean;
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
  clientSoftwareName = 'unknown';
  clientSoftwareVersion = 'unknown';
  readonly closed: AbortSignal;
  readonly #ending = new AbortController();
  readonly #sink: ReplySink;
  #slots: ReplySlot[] = [];
  #refusing = false;
  #throttledUntil = 0;
  readonly #held: HeldFrame[] = [];

  constructor(
    id: number,
    sink: ReplySink,
    peer: { listenerName: string; remoteAddress: string; remotePort: number },
  ) {
    this.id = id;
    this.#sink = sink;
    this.listenerName = peer.listenerName;
    this.remoteAddress = peer.remoteAddress;
    this.remotePort = peer.remotePort;
    this.closed = this.#ending.signal;
    // Each pending request may listen; their number is bounded by the connection's limit.
    setMaxListeners(0, this.closed);
  }

  get isClosed(): boolean {
    return this.closed.aborted;
  }

  /** True once `refuse` was called: further requests are not looked at. */
  get isRefusing(): boolean {
    return this.#refusing;
  }

  throttle(ms: number): void {
    if (ms > 0) this.#throttledUntil = Math.max(this.#throttledUntil, performance.now() + ms);
  }

  /** For how many milliseconds requests have to wait; 0 for most. */
  get throttledMs(): number {
    return this.#throttledUntil === 0 ? 0 : Math.max(0, this.#throttledUntil - performance.now());
  }

  /** Whether requests wait until the client may be served again. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** Takes over one reference of the frame's memory. */
  hold(frame: HeldFrame): void {
    this.#held.push(frame);
  }

  /** The oldest request that waits, with the reference of its memory. */
  takeHeld(): HeldFrame | undefined {
    return this.#held.shift();
  }

  /** Takes the next place in the order; to be called once for each request, in order. */
  begin(): ReplySlot {
    const slot: ReplySlot = { pieces: null, finished: false };
    this.#slots.push(slot);
    return slot;
  }

  /** Fills a place; null means that the request gets no reply. Takes over one reference of each memory piece. */
  finish(slot: ReplySlot, pieces: readonly Piece[] | null): void {
    if (this.isClosed) {
      if (pieces) releasePieces(pieces);
      return;
    }
    slot.pieces = pieces;
    slot.finished = true;
    if (this.#slots[0] === slot) this.#sendFinished();
  }

  /** Closes the connection, after the replies that are complete. */
  refuse(): void {
    if (this.#refusing || this.isClosed) return;
    this.#refusing = true;
    this.#sink.close(this.id);
  }

  /** The connection is gone: replies are dropped, and what waits for the client gives up. */
  end(): void {
    const slots = this.#slots;
    this.#slots = [];
    this.#ending.abort();
    for (const { memory } of this.#held.splice(0)) memory?.release();
    for (const { pieces } of slots) if (pieces) releasePieces(pieces);
  }

  #sendFinished(): void {
    let count = 0;
    while (this.#slots[count]?.finished) {
      const { pieces } = this.#slots[count++]!;
      if (pieces) this.#sink.reply(this.id, pieces);
      else this.#sink.skip(this.id);
    }
    if (count === this.#slots.length) this.#slots.length = 0;
    else this.#slots.splice(0, count);
  }
}

function releasePieces(pieces: readonly Piece[]): void {
  for (const piece of pieces) if (piece instanceof MemoryPiece) piece.memory.release();
}
