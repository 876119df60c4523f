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
}

/** A wait is looked at again after this time, which ends with the connection. */
const LONGEST_WAIT_MS = 60_000;
/** What every request starts with: API key, version, correlation id. */
const FIXED_HEADER_BYTES = 8;
const VERSION_AT = 2;
/** What the length field in front of an answer can say. */
const MAX_ANSWER_BYTES = 2 ** 31 - 1;

interface Request {
  handler: AnyHandler;
  context: RequestContext;
  slot: ReplySlot;
  startedAt: number;
  requestBytes: number;
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
  /** Of answers that leave at once. */
  readonly #writer = new Writer();

  constructor(options: DispatcherOptions) {
    this.#registry = options.registry;
    this.#logger = options.logger;
    this.#metrics = options.metrics;
    this.#clock = options.clock;
    this.#limiter = new LogLimiter(options.clock);
    this.#requestQuota = options.requestQuota ?? null;
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
    }
    this.#dispatchOpen(connection, bytes, memory);
  }

  /** Serves what a throttled client had sent before it was not read from any more, and reads on, when its time has come. */
  resumeLater(connection: Connection): void {
    this.#clock.setTimer(Math.min(Math.ceil(connection.throttledMs), LONGEST_WAIT_MS), () => {
      if (connection.isClosed) return;
      this.#serveHeld(connection, () => connection.throttledMs === 0);
      if (connection.isHolding || connection.throttledMs > 0) this.resumeLater(connection);
      else connection.resume();
    });
  }

  /** In the order in which they came. */
  #serveHeld(connection: Connection, goesOn: () => boolean): void {
    while (connection.isHolding && goesOn()) {
      const { bytes, memory } = connection.takeHeld()!;
      this.#dispatchOpen(connection, bytes, memory);
    }
  }

  #dispatchOpen(connection: Connection, bytes: Uint8Array, memory: NativeMemory | null): void {
    if (connection.isRefusing || connection.isClosed) memory?.release();
    else this.#dispatchNow(connection, bytes, memory);
  }

  #dispatchNow(connection: Connection, bytes: Uint8Array, memory: NativeMemory | null): void {
    let held = memory;
    try {
      const reader = new Reader(bytes);
      const handler = this.#handlerFor(connection, reader);
      if (!handler) return;
      if (handler.borrowsFrame) {
        this.#serve(connection, handler, reader, held);
        held = null;
      } else {
        this.#serve(connection, handler, new Reader(Buffer.from(bytes)), null);
      }
    } finally {
      held?.release();
    }
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

  /** Takes over `memory`. */
  #serve(connection: Connection, handler: AnyHandler, reader: Reader, memory: NativeMemory | null): void {
    reader.position = VERSION_AT;
    const version = reader.int16();
    reader.position = 0;
    const requestBytes = reader.remaining;
    let body: unknown;
    let context: RequestContext;
    try {
      const header = requestHeader.read(reader, requestHeaderVersion(handler.apiKey, version));
      body = handler.request.read(reader, version);
      context = {
        apiKey: handler.apiKey,
        apiVersion: version,
        correlationId: header.correlationId,
        clientId: header.clientId,
        connection,
        memory,
      };
    } catch (error) {
      memory?.release();
      const what = `malformed ${apiName(handler.apiKey)} request: ${messageOf(error)}`;
      this.#refuse(connection, what, `malformed ${handler.apiKey}`, { clientId: clientIdOf(reader) });
      return;
    }
    const slot = connection.begin();
    const request = {
      handler,
      context,
      slot,
      startedAt: performance.now(),
      requestBytes,
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
    context.memory?.release();
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
    context.memory?.release();
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
