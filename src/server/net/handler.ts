import type { NativeMemory } from '../../native/arena.ts';
import type { Piece } from '../../native/pieces.ts';
import type { MessageCodec } from '../../protocol/wire/codec.ts';
import type { Outstanding } from './outstanding.ts';

/** What is known of the client at the other end; one for the life of a connection. */
export interface ConnectionContext {
  readonly id: number;
  readonly listenerName: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** `User:ANONYMOUS` until the client authenticates. */
  readonly principal: string;
  /** From ApiVersions 3 and newer (KIP-511); `unknown` before. */
  clientSoftwareName: string;
  clientSoftwareVersion: string;
  /** Aborted when the connection closes: what waits on its behalf gives up. */
  readonly closed: AbortSignal;
  /** Calls back when the connection closes, at once when it has; returns how to call that off. Cheaper than a listener of `closed`. */
  onClosed(action: () => void): () => void;
  /** For answers that hold much memory until the client has taken them; see ApiHandler.heldBytes. */
  readonly outstanding: Outstanding;
  /** Lets the client's next requests wait for so many milliseconds, because it is over a quota; 0 does nothing. */
  throttle(ms: number): void;
}

export interface RequestContext {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  readonly connection: ConnectionContext;
  /**
   * For handlers that borrow the frame (`borrowsFrame`): the arena memory that byte fields of the request are views of; null for a
   * small request, whose views are valid only until `handle` returns. Held by the dispatcher until the handler's promise
   * settles; retain it to keep it longer. Null for all other handlers.
   */
  readonly memory: NativeMemory | null;
}

/** Thrown by a handler when a request fails on the client's account and has no answer that could say so: the connection is closed. */
export class UnansweredFailure extends Error {}

/** Serves one API. One file in `src/server/handlers/` each, named by its key. */
export interface ApiHandler<Req, Res> {
  readonly apiKey: number;
  /** The range that is served, as ApiVersions reports it. */
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly request: MessageCodec<Req>;
  readonly response: MessageCodec<Res>;
  /**
   * True if the handler looks after the lifetime of the frame that byte fields are views of (see RequestContext.memory). Otherwise the
   * request is copied first and its byte fields may be kept for ever.
   */
  readonly borrowsFrame?: boolean;
  /** The first answer of a turn that was waited for leaves at once, not with all others: whoever polls waits for it. */
  readonly hurries?: boolean;
  /** What follows an encoded response in its frame: data that the message is about. Takes over one reference of each memory piece. */
  readonly trailer?: (response: Res) => readonly Piece[];
  /** What was acquired of the connection's `outstanding` for a response: given back when it has been sent. */
  readonly heldBytes?: (response: Res) => number;
  /**
   * Called in the order of a connection's requests: what it does before its first await is ordered, the rest runs beside other requests; the
   * dispatcher sends replies in request order. `null` means no reply (Produce with acks=0). A rejection closes the connection and is
   * logged, as a defect unless it is an UnansweredFailure; errors that the client should see belong into the response.
   */
  handle(request: Req, context: RequestContext): Res | null | Promise<Res | null>;
}

// biome-ignore lint/suspicious/noExplicitAny: one handler of many, whose messages are not known here
export type AnyHandler = ApiHandler<any, any>;
