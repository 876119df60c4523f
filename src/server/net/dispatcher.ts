import type { RateQuota } from '../../broker/quotas/client-quotas.ts';
import type { NativeMemory } from '../../native/arena.ts';
import { type Piece, releasePieces } from '../../native/pieces.ts';
import { ApiKey, apiName, requestHeaderVersion, responseHeaderVersion } from '../../protocol/api-keys.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import { createApiVersion } from '../../protocol/generated/api-versions-response.ts';
import { requestHeader } from '../../protocol/generated/request-header.ts';
import { responseHeader } from '../../protocol/generated/response-header.ts';
import { Reader } from '../../protocol/wire/reader.ts';
import { Writer } from '../../protocol/wire/writer.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import type { Connection, ReplySlot } from './connection.ts';
import { type AnyHandler, type RequestContext, UnansweredFailure } from './handler.ts';
import { LogLimiter } from './log-limiter.ts';
import type { NetMetrics } from './metrics.ts';
import type { Outstanding } from './outstanding.ts';
import { quotaClientOf } from './quota-client.ts';
import type { HandlerRegistry } from './registry.ts';
import { errorCodesOf } from './response-errors.ts';

export interface DispatcherOptions {
  registry: HandlerRegistry;
  logger: Logger;
  metrics: NetMetrics;
  clock: Clock;
  /** Limits the time of this thread that a client may take; none when absent. */
  requestQuota?: RateQuota;
  /** Memory of this thread, in bytes, for requests of many elements of all connections. */
  decoded: Outstanding;
}

/** A wait is looked at again after this time, which ends with the connection. */
const LONGEST_WAIT_MS = 60_000;
/** What every request starts with: API key, version, correlation id. */
const FIXED_HEADER_BYTES = 8;
const VERSION_AT = 2;
/** What the length field in front of an answer can say. */
const MAX_ANSWER_BYTES = 2 ** 31 - 1;
/** What an element of a request takes, with what is made of it until it is answered: measured with a million names (Node 20). */
const ELEMENT_BYTES = 700;
/** Requests of fewer elements do not wait for each other. */
const MANY_ELEMENTS = 10_000;

interface Request {
  handler: AnyHandler;
  context: RequestContext;
  slot: ReplySlot;
  startedAt: number;
  requestBytes: number;
  /** Of `decoded`. */
  decodedBytes: number;
  /** The time that the handler took of this thread before its first await; measured only for the quota. */
  usedMs: number;
}

/** Turns frames into calls of handlers, and what these return into replies. */
export class Dispatcher {
  readonly #registry: HandlerRegistry;
  readonly #logger: Logger;
  readonly #metrics: NetMetrics;
  readonly #clock: Clock;
  readonly #limiter: LogLimiter;
  readonly #requestQuota: RateQuota | null;
  readonly #decoded: Outstanding;
  /** Of answers that leave at once. */
  readonly #writer = new Writer();

  constructor(options: DispatcherOptions) {
    this.#registry = options.registry;
    this.#logger = options.logger;
    this.#metrics = options.metrics;
    this.#clock = options.clock;
    this.#limiter = new LogLimiter(options.clock);
    this.#requestQuota = options.requestQuota ?? null;
    this.#decoded = options.decoded;
  }

  /**
   * Serves one request. `bytes` is valid during the call only unless `memory` holds it; takes over one reference of
   * `memory`. To be called in the order of the connection's requests.
   */
  dispatch(connection: Connection, bytes: Uint8Array, memory: NativeMemory | null): void {
    if (connection.isHolding || connection.throttledMs > 0) {
      if (connection.hold(bytes, memory)) return;
      // Others need the room that it would take. Its client waits the longer: nothing more is read from it.
      this.#serveHeld(connection, () => true);
      if (connection.isWaiting) {
        memory?.release();
        this.#refuseLarge(connection);
        return;
      }
    }
    this.#dispatchOpen(connection, bytes, memory);
  }

  /** Serves what a throttled client had sent before it was not read from any more, and reads on, when its time has come. */
  resumeLater(connection: Connection): void {
    this.#clock.setTimer(Math.min(Math.ceil(connection.throttledMs), LONGEST_WAIT_MS), () => {
      if (!connection.isWaiting) this.#goOn(connection);
    });
  }

  /** Serves what is held, and reads on, unless the client has to wait once more. */
  #goOn(connection: Connection): void {
    if (connection.isClosed) return;
    this.#serveHeld(connection, () => connection.throttledMs === 0);
    if (connection.isWaiting) return;
    if (connection.isHolding || connection.throttledMs > 0) this.resumeLater(connection);
    else connection.resume();
  }

  /** In the order in which they came. */
  #serveHeld(connection: Connection, goesOn: () => boolean): void {
    while (connection.isHolding && !connection.isWaiting && goesOn()) {
      const { bytes, memory } = connection.takeHeld()!;
      this.#dispatchOpen(connection, bytes, memory);
    }
  }

  #dispatchOpen(connection: Connection, bytes: Uint8Array, memory: NativeMemory | null): void {
    if (connection.isRefusing || connection.isClosed) memory?.release();
    else this.#dispatchNow(connection, bytes, memory);
  }

  /** @param granted whether what it takes of `decoded` was waited for */
  #dispatchNow(
    connection: Connection,
    bytes: Uint8Array,
    memory: NativeMemory | null,
    granted = false,
  ): void {
    let held = memory;
    try {
      const reader = new Reader(bytes);
      const handler = this.#handlerFor(connection, reader);
      if (!handler) return;
      const { borrowsFrame = false } = handler;
      const own = borrowsFrame ? reader : new Reader(Buffer.from(bytes));
      const decoded = this.#decode(connection, handler, own, borrowsFrame ? memory : null);
      if (!decoded) return;
      const needed = own.elements < MANY_ELEMENTS ? 0 : own.elements * ELEMENT_BYTES;
      if (needed > this.#decoded.maxBytes) {
        const what = `${apiName(handler.apiKey)} of ${own.elements} elements has no room in the heap (NODE_OPTIONS=--max-old-space-size)`;
        this.#refuse(connection, what, `heap ${handler.apiKey}`, { clientId: decoded.context.clientId });
        return;
      }
      const room = needed > 0 && !granted ? this.#decoded.acquire(needed) : undefined;
      if (room || borrowsFrame) held = null;
      if (room) this.#waitFor(room, needed, connection, bytes, memory);
      else this.#serve(connection, handler, decoded, bytes.byteLength, needed);
    } finally {
      held?.release();
    }
  }

  /** Holds a frame until there is room for what it is decoded to; it is decoded anew then. Takes over `memory`. */
  #waitFor(
    room: Promise<void>,
    decodedBytes: number,
    connection: Connection,
    bytes: Uint8Array,
    memory: NativeMemory | null,
  ): void {
    const waits = connection.wait(bytes, memory);
    if (!waits) {
      memory?.release();
      this.#refuseLarge(connection);
    }
    void room.then(() => {
      const frame = waits ? connection.takeWaiting() : undefined;
      if (frame === undefined || connection.isRefusing || connection.isClosed) {
        frame?.memory?.release();
        this.#decoded.release(decodedBytes);
        return;
      }
      this.#dispatchNow(connection, frame.bytes, frame.memory, true);
      this.#goOn(connection);
    });
  }

  #refuseLarge(connection: Connection): void {
    this.#refuse(
      connection,
      'requests of so many elements are being served that there is no room for another',
      'large',
    );
  }

  /** The handler that the frame asks for; otherwise the connection is answered or closed as Kafka does it. */
  #handlerFor(connection: Connection, reader: Reader): AnyHandler | null {
    const length = reader.remaining;
    if (length < FIXED_HEADER_BYTES) {
      this.#refuse(connection, `a frame of ${length} bytes is too short for a request`, 'short frame');
      return null;
    }
    const apiKey = reader.int16();
    const version = reader.int16();
    const handler = this.#registry.get(apiKey);
    if (handler && version >= handler.minVersion && version <= handler.maxVersion) return handler;
    if (handler && apiKey === ApiKey.ApiVersions) {
      connection.finish(connection.begin(), unsupportedApiVersions(handler, reader.int32()));
      return null;
    }
    const what = `${apiName(apiKey) ?? `API key ${apiKey}`} version ${version} is not served`;
    const clientId = clientIdOf(reader);
    this.#refuse(connection, what, `${clientId} ${apiKey} ${version}`, { clientId });
    return null;
  }

  /** What a frame says; null if it is malformed: then the connection is closed. */
  #decode(
    connection: Connection,
    handler: AnyHandler,
    reader: Reader,
    memory: NativeMemory | null,
  ): { body: unknown; context: RequestContext } | null {
    reader.position = VERSION_AT;
    const version = reader.int16();
    reader.position = 0;
    try {
      const header = requestHeader.read(reader, requestHeaderVersion(handler.apiKey, version));
      const body = handler.request.read(reader, version);
      const context = {
        apiKey: handler.apiKey,
        apiVersion: version,
        correlationId: header.correlationId,
        clientId: header.clientId,
        connection,
        memory,
      };
      return { body, context };
    } catch (error) {
      const what = `malformed ${apiName(handler.apiKey)} request: ${messageOf(error)}`;
      this.#refuse(connection, what, `malformed ${handler.apiKey}`, { clientId: clientIdOf(reader) });
      return null;
    }
  }

  /** Takes over the memory of the context, and `decodedBytes`. */
  #serve(
    connection: Connection,
    handler: AnyHandler,
    { body, context }: { body: unknown; context: RequestContext },
    requestBytes: number,
    decodedBytes: number,
  ): void {
    const request = {
      handler,
      context,
      slot: connection.begin(),
      startedAt: performance.now(),
      requestBytes,
      decodedBytes,
      usedMs: 0,
    };
    let result: unknown;
    try {
      result = handler.handle(body, context);
    } catch (error) {
      this.#fail(connection, request, error);
      return;
    }
    if (this.#requestQuota?.active) request.usedMs = performance.now() - request.startedAt;
    if (result instanceof Promise) {
      result.then(
        (response) => {
          this.#answer(connection, request, response);
          if (handler.hurries) connection.hurry();
        },
        (error) => this.#fail(connection, request, error),
      );
    } else {
      this.#answer(connection, request, result);
    }
  }

  #answer(connection: Connection, request: Request, response: unknown): void {
    const { handler, context, slot } = request;
    let responseBytes = 0;
    try {
      let pieces: readonly Piece[] | null = null;
      if (this.#requestQuota?.active) this.#countTime(this.#requestQuota, connection, request, response);
      if (response !== null) {
        const writer = connection.isNext(slot) ? this.#writer.restart() : new Writer();
        pieces = encode(writer, handler, context.apiVersion, context.correlationId, response);
        for (const piece of pieces) responseBytes += piece.byteLength;
      }
      connection.finish(slot, pieces, response === null ? 0 : handler.heldBytes?.(response));
    } catch (error) {
      this.#fail(connection, request, error);
      return;
    }
    this.#release(request);
    this.#measure(request, responseBytes, errorCodesOf(response), false);
  }

  /** Counts what a request took of this thread, in percent of a second; a client that took too much waits. */
  #countTime(
    quota: RateQuota,
    connection: Connection,
    { context, usedMs }: Request,
    response: unknown,
  ): void {
    const throttleMs = quota.record(quotaClientOf(context), usedMs / 10);
    if (throttleMs === 0) return;
    const answer = response as { throttleTimeMs?: number } | null;
    if (answer?.throttleTimeMs !== undefined)
      answer.throttleTimeMs = Math.max(answer.throttleTimeMs, throttleMs);
    connection.throttle(throttleMs);
  }

  #fail(connection: Connection, request: Request, error: unknown): void {
    const { context } = request;
    this.#release(request);
    this.#measure(request, 0, [], true);
    // The client that was waited for has gone: giving up is not a defect.
    if (connection.isClosed) return;
    if (error instanceof UnansweredFailure) {
      this.#refuse(connection, error.message, error.message, { clientId: context.clientId }, request.slot);
      return;
    }
    this.#logger.error(
      { err: error, ...peerOf(connection), clientId: context.clientId, version: context.apiVersion },
      `${apiName(context.apiKey)} failed; closing the connection`,
    );
    connection.refuse(request.slot);
  }

  #release({ context, decodedBytes }: Request): void {
    context.memory?.release();
    if (decodedBytes > 0) this.#decoded.release(decodedBytes);
  }

  #measure(request: Request, responseBytes: number, errorCodes: readonly number[], failed: boolean): void {
    const { handler, context, requestBytes, startedAt } = request;
    this.#metrics.requestFinished({
      api: apiName(handler.apiKey) ?? String(handler.apiKey),
      version: context.apiVersion,
      latencyMs: performance.now() - startedAt,
      requestBytes,
      responseBytes,
      errorCodes,
      failed,
    });
  }

  /** Closes the connection, as Kafka does, with one log line for all repetitions by the same client. */
  #refuse(connection: Connection, what: string, key: string, fields: object = {}, slot?: ReplySlot): void {
    this.#metrics.requestRejected(connection.listenerName);
    if (this.#limiter.allows(`${connection.remoteAddress} ${key}`)) {
      this.#logger.warn({ ...peerOf(connection), ...fields }, `${what}; closing the connection`);
    }
    connection.refuse(slot);
  }
}

/** The response as pieces, with its length field in front. @throws RangeError if it is longer than that can say */
function encode(
  writer: Writer,
  handler: AnyHandler,
  version: number,
  correlationId: number,
  response: unknown,
): Piece[] {
  writer.int32(0);
  responseHeader.write(writer, { correlationId }, responseHeaderVersion(handler.apiKey, version));
  handler.response.write(writer, response, version);
  let length = writer.length - 4;
  // The segments that handlers put into responses are the native ones.
  const pieces = writer.finish() as Piece[];
  for (const piece of handler.trailer?.(response) ?? []) {
    pieces.push(piece);
    length += piece.byteLength;
  }
  if (length > MAX_ANSWER_BYTES) {
    releasePieces(pieces);
    throw new RangeError(`an answer of ${length} bytes does not fit into a frame`);
  }
  writer.int32At(0, length);
  return pieces;
}

/** KIP-511: any client can read version 0, and tries again with a version of the range. */
function unsupportedApiVersions(handler: AnyHandler, correlationId: number): Piece[] {
  const { apiKey, minVersion, maxVersion } = handler;
  const response = handler.response.create({
    errorCode: ErrorCode.UNSUPPORTED_VERSION,
    apiKeys: [createApiVersion({ apiKey, minVersion, maxVersion })],
  });
  return encode(new Writer(), handler, 0, correlationId, response);
}

/** The client id, which is in the same place in every header version; null if it cannot be read. */
function clientIdOf(reader: Reader): string | null {
  reader.position = FIXED_HEADER_BYTES;
  try {
    return reader.nullableString();
  } catch {
    return null;
  }
}

function peerOf(connection: Connection): object {
  const { listenerName, remoteAddress, clientSoftwareName, clientSoftwareVersion } = connection;
  return {
    listener: listenerName,
    client: remoteAddress,
    software: `${clientSoftwareName} ${clientSoftwareVersion}`,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
