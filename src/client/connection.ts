import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions as NodeTlsOptions } from 'node:tls';
import { apiName, responseHeaderVersion } from '../protocol/api-keys.ts';
import { apiVersionsRequest } from '../protocol/generated/api-versions-request.ts';
import { apiVersionsResponse } from '../protocol/generated/api-versions-response.ts';
import { responseHeader } from '../protocol/generated/response-header.ts';
import type { MessageCodec } from '../protocol/wire/codec.ts';
import { ProtocolError } from '../protocol/wire/errors.ts';
import { Reader } from '../protocol/wire/reader.ts';
import { MAX_TIMER_MS, monotonicMs } from '../util/clock.ts';
import { connectError } from '../util/connect-error.ts';
import { aborted, asDirectError, brokerError, DirectError } from './errors.ts';
import { idAfter, requestFrame } from './request-frame.ts';
import { Silence } from './silence.ts';

const SCRATCH_BYTES = 256 * 1024;
const MAX_FRAME_BYTES = 2 ** 31 - 1;
const FRAME_LENGTH_BYTES = 4;
/** A request of so many bytes is sent as one piece: copying it costs less than a list of its pieces. */
const JOINED_BYTES = 16 * 1024;
/** In which a gateway is asked what it serves. */
const OLDEST_TO_ASK = 3;
/** A request may take longer by what it takes to send it, over a network as slow as this. */
const SLOWEST_BYTES_PER_MS = 1000;
const SOFTWARE = { clientSoftwareName: 'kafabric-client', clientSoftwareVersion: '0.1.0' };

export interface CallOptions<Res> {
  /** The newest version to use; the gateway's limits it further. */
  version?: number;
  /** How long nothing at all may come from the gateway. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
  /** For people, in errors. */
  doing?: string;
  /** Where what follows the message in its frame is to be put: memory that together takes all of it. */
  land?: (response: Res) => readonly Uint8Array[];
}

interface Pending {
  readonly correlationId: number;
  /** Null when there are too few bytes yet. Otherwise what is left of the frame goes to the targets, in order. */
  readonly open: (
    frame: Buffer,
    whole: boolean,
  ) => { headBytes: number; targets: readonly Uint8Array[] } | null;
  readonly done: () => void;
  readonly fail: (error: Error) => void;
  /** What follows the message is received where it belongs. */
  readonly lands: boolean;
}

/** Bytes of a frame that are still to come, and where they go. */
interface Landing {
  readonly targets: readonly Uint8Array[];
  index: number;
  filled: number;
  readonly done: () => void;
  readonly fail: (error: Error) => void;
}

/** How the gateway is known, and this client, at listeners that speak TLS. PEM, one or several in each. */
export interface TlsOptions {
  /** CAs that are trusted, in place of those of the system. */
  ca?: string | Uint8Array;
  /** The certificate of this client, with those of the CAs behind it, where the listener asks for one. */
  cert?: string | Uint8Array;
  key?: string | Uint8Array;
  /** What opens the key. */
  passphrase?: string;
  /** The name that the gateway's certificate must have. Default: the host that is connected to. */
  servername?: string;
}

interface ConnectionOptions {
  host: string;
  port: number;
  /** Absent: the connection is not encrypted. */
  tls?: TlsOptions | undefined;
  clientId: string;
  connectTimeoutMs: number;
  requestTimeoutMs: number;
}

/** What to do about an error of the system, or of TLS. */
function adviceOn(code: string): string | null {
  if (code === 'ECONNREFUSED') return 'see that the gateway runs, and listens there';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'call it by a name of its certificate, or set tls.servername';
  return /^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|CERT_)/.test(code)
    ? 'trust the CA of its certificate: tls.ca'
    : null;
}

/** With what Node's TLS is to be told. */
function tlsWish(wish: { host: string }, tls: TlsOptions): NodeTlsOptions {
  const names = isIP(wish.host) === 0 ? { servername: wish.host } : {};
  // It takes typed arrays as well as buffers.
  return { ...wish, minVersion: 'TLSv1.2', ...names, ...(tls as NodeTlsOptions) };
}

/**
 * One connection to a gateway. Requests are answered in their order; large answers are received where they belong, without a copy. When it
 * fails, so do all requests under way, and it is of no more use.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #pending: Pending[] = [];
  readonly #versions = new Map<number, { min: number; max: number }>();
  readonly #onClosed: (() => void)[] = [];
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #start = 0;
  #end = 0;
  #landing: Landing | null = null;
  #nextId = 1;
  /** By `monotonicMs`. */
  #receivedAt = 0;
  #failure: DirectError | null = null;
  #isConnected = false;

  private constructor(options: ConnectionOptions, onConnect: () => void) {
    this.#options = options;
    const { host, port, tls } = options;
    const onread = {
      buffer: () => this.#space(),
      callback: (bytes: number) => {
        this.#received(bytes);
        return true;
      },
    };
    // The types of Node do not know that `buffer` may be a function.
    const wish = { host, port, onread: onread as never };
    this.#socket = tls === undefined ? connect(wish, onConnect) : connectTls(tlsWish(wish, tls), onConnect);
    this.#socket.setNoDelay(true);
    this.#socket.on('error', (error) => this.#fail(connectError(error)));
    this.#socket.on('close', () => this.#fail(new Error('the gateway closed the connection')));
  }

  /** Connects, and learns what is served there. */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const doing = `connect to ${options.host}:${options.port}`;
    const connection = await new Promise<Connection>((resolve, reject) => {
      const opened: Connection = new Connection(options, () => {
        clearTimeout(timer);
        opened.#isConnected = true;
        resolve(opened);
      });
      const timer = setTimeout(
        () => {
          reject(new DirectError('TIMEOUT', `no connection in ${options.connectTimeoutMs} ms`, { doing }));
          opened.close();
        },
        Math.min(options.connectTimeoutMs, MAX_TIMER_MS),
      );
      opened.#onClosed.push(() => {
        clearTimeout(timer);
        reject(opened.#lost(doing));
      });
    });
    try {
      await connection.#askVersions(doing);
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  async #askVersions(doing: string): Promise<void> {
    const request = { ...SOFTWARE };
    const { errorCode, apiKeys } = await this.call(apiVersionsRequest, apiVersionsResponse, request, {
      version: OLDEST_TO_ASK,
      doing,
    });
    if (errorCode !== 0) throw brokerError(errorCode, null, doing);
    for (const { apiKey, minVersion, maxVersion } of apiKeys)
      this.#versions.set(apiKey, { min: minVersion, max: maxVersion });
  }

  get isClosed(): boolean {
    return this.#failure !== null;
  }

  /** Whether the gateway serves an API on this listener. */
  serves(apiKey: number): boolean {
    return this.#versions.has(apiKey);
  }

  /** The newest version of a request that both ends know. */
  versionOf<Req>({ apiKey, maxVersion }: MessageCodec<Req>): number {
    return Math.min(maxVersion, this.#versions.get(apiKey)?.max ?? OLDEST_TO_ASK);
  }

  onClosed(action: () => void): void {
    if (this.isClosed) action();
    else this.#onClosed.push(action);
  }

  close(): void {
    this.#fail(new DirectError('CLOSED', 'the connection was closed', { doing: 'close' }));
  }

  /** It is of no more use here: what is under way is lost as where the network fails, and may be tried again over another. */
  abandon(reason: string): void {
    this.#fail(new Error(reason));
  }

  /** Sends a request and returns its answer; byte fields of it may be kept. Rejects with a DirectError. */
  call<Req, Res>(
    requestCodec: MessageCodec<Req>,
    responseCodec: MessageCodec<Res>,
    request: Partial<Req>,
    options: CallOptions<Res> = {},
  ): Promise<Res> {
    const { apiKey } = requestCodec;
    const doing = options.doing ?? apiName(apiKey) ?? 'call';
    const { signal, timeoutMs = this.#options.requestTimeoutMs } = options;
    if (this.#failure !== null) return Promise.reject(this.#lost(doing));
    if (signal?.aborted) return Promise.reject(aborted(doing, signal));
    const served = this.#versions.get(apiKey);
    if (served === undefined && apiKey !== apiVersionsRequest.apiKey)
      return Promise.reject(
        new DirectError('NOT_DIRECT', `${apiName(apiKey)} is not served on this listener`, {
          doing,
          todo: 'use the address of the gateway’s DIRECT listener',
        }),
      );
    const newest = this.versionOf(requestCodec);
    const version = Math.min(options.version ?? newest, newest);
    const correlationId = this.#nextId;
    this.#nextId = idAfter(correlationId);
    let pieces: Uint8Array[];
    try {
      pieces = requestFrame(requestCodec, request, version, correlationId, this.#options.clientId);
    } catch (error) {
      return Promise.reject(asDirectError(error, doing, 'INVALID_ARGUMENT'));
    }
    return new Promise<Res>((resolve, reject) => {
      let settled = false;
      let response: Res | null = null;
      const settle = (action: () => void) => {
        if (settled) return;
        settled = true;
        silence.end();
        signal?.removeEventListener('abort', onAbort);
        action();
      };
      // An answer that nobody waits for any more is still received, into memory of its own.
      const onAbort = () => settle(() => reject(aborted(doing, signal!)));
      // Answers come in order: as long as anything comes, this one is nearer.
      const silence = new Silence(
        timeoutMs,
        () => this.#receivedAt,
        () => {
          settle(() => reject(new DirectError('TIMEOUT', `no answer in ${timeoutMs} ms`, { doing })));
          // What follows would come behind an answer that may never come.
          this.#fail(new Error(`no answer to ${doing} in ${timeoutMs} ms`));
        },
      );
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#pending.push({
        correlationId,
        open: (frame, whole) => {
          const reader = new Reader(frame);
          try {
            responseHeader.read(reader, responseHeaderVersion(apiKey, version));
            // Without a target the message is the whole frame, and its bytes are kept.
            if (!whole && options.land === undefined) return null;
            response = responseCodec.read(reader, version);
          } catch (error) {
            if (!whole && error instanceof ProtocolError) return null;
            throw error;
          }
          const rest = settled ? [] : (options.land?.(response) ?? []);
          return { headBytes: reader.position, targets: rest };
        },
        lands: options.land !== undefined,
        done: () => settle(() => resolve(response!)),
        fail: (error) =>
          settle(() =>
            reject(
              error instanceof DirectError && error.code !== 'CONNECTION' ? error : this.#lost(doing, error),
            ),
          ),
      });
      silence.allow(this.#send(pieces) / SLOWEST_BYTES_PER_MS);
    });
  }

  #lost(doing: string, cause: unknown = this.#failure): DirectError {
    const { host, port } = this.#options;
    const first = cause instanceof DirectError ? (cause.cause ?? cause) : cause;
    const why = first instanceof Error ? first.message : 'lost';
    const todo = adviceOn((first as NodeJS.ErrnoException | null)?.code ?? '');
    const details = { doing, cause, ...(todo !== null && { todo }) };
    return new DirectError('CONNECTION', `connection to ${host}:${port} failed (${why})`, details);
  }

  /** Returns the bytes of the request. */
  #send(pieces: readonly Uint8Array[]): number {
    let bytes = 0;
    for (const { byteLength } of pieces) bytes += byteLength;
    if (bytes <= JOINED_BYTES) {
      this.#socket.write(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces));
      return bytes;
    }
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork();
    return bytes;
  }

  /** Where the next bytes are to be read to. */
  #space(): Uint8Array {
    const landing = this.#landing;
    if (landing === null) return this.#scratch.subarray(this.#end);
    const target = landing.targets[landing.index]!;
    if (target.byteLength > landing.filled) return target.subarray(landing.filled);
    this.#fail(new Error('memory that an answer is received in was transferred'));
    return this.#scratch;
  }

  #received(bytes: number): void {
    this.#receivedAt = monotonicMs();
    try {
      if (this.#landing === null) this.#end += bytes;
      else this.#landed(this.#landing, bytes);
      while (this.#landing === null && this.#parse());
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #landed(landing: Landing, bytes: number): void {
    landing.filled += bytes;
    while (
      landing.index < landing.targets.length &&
      landing.filled === landing.targets[landing.index]!.byteLength
    ) {
      landing.index++;
      landing.filled = 0;
    }
    if (landing.index < landing.targets.length) return;
    this.#landing = null;
    landing.done();
  }

  /** Takes one frame from what has been received, or its beginning; false when more is needed. */
  #parse(): boolean {
    const available = this.#end - this.#start - FRAME_LENGTH_BYTES;
    if (available < FRAME_LENGTH_BYTES) return this.#makeRoom();
    const length = this.#scratch.readInt32BE(this.#start);
    if (length < FRAME_LENGTH_BYTES || length > MAX_FRAME_BYTES)
      throw new Error(`a frame of ${length} bytes`);
    const pending = this.#pending[0];
    const body = this.#start + FRAME_LENGTH_BYTES;
    if (pending === undefined || pending.correlationId !== this.#scratch.readInt32BE(body))
      throw new Error('an answer that nothing was asked for');
    const whole = available >= length;
    const have = Math.min(available, length);
    const opened = pending.open(
      whole
        ? Buffer.from(this.#scratch.subarray(body, body + have))
        : this.#scratch.subarray(body, body + have),
      whole,
    );
    if (opened === null) {
      if (length <= SCRATCH_BYTES / 2) return this.#makeRoom();
      // Of what lands only the message has to fit, not the data behind it.
      const isTooLarge = !pending.lands || have >= SCRATCH_BYTES / 2;
      return isTooLarge ? this.#gather(pending, length, have) : this.#makeRoom();
    }
    this.#land(pending, opened, length, body, have);
    this.#pending.shift();
    return true;
  }

  /** Puts what has come of a frame's rest where it belongs, and has the remainder read there. */
  #land(
    pending: Pending,
    { headBytes, targets }: { headBytes: number; targets: readonly Uint8Array[] },
    length: number,
    body: number,
    have: number,
  ): void {
    const rest = length - headBytes;
    let room = 0;
    for (const target of targets) room += target.byteLength;
    // Nobody waits for it any more, or it is not what was asked for.
    const places = room === rest ? targets : rest > 0 ? [Buffer.allocUnsafe(rest)] : [];
    if (room !== rest && targets.length > 0) throw new Error(`${rest} bytes of data in place of ${room}`);
    const landing: Landing = {
      targets: places.filter(({ byteLength }) => byteLength > 0),
      index: 0,
      filled: 0,
      done: pending.done,
      fail: pending.fail,
    };
    let from = body + headBytes;
    this.#start = body + have;
    if (this.#start === this.#end) this.#start = this.#end = 0;
    const end = body + have;
    this.#landing = landing;
    if (landing.targets.length === 0) this.#landed(landing, 0);
    while (from < end && this.#landing !== null) {
      const target = landing.targets[landing.index]!;
      const bytes = Math.min(end - from, target.byteLength - landing.filled);
      target.set(this.#scratch.subarray(from, from + bytes), landing.filled);
      from += bytes;
      this.#landed(landing, bytes);
    }
  }

  /** A large frame whose bytes are the message's own is received as a whole, into memory that the message keeps. */
  #gather(pending: Pending, length: number, have: number): boolean {
    const frame = Buffer.allocUnsafeSlow(length);
    const body = this.#start + FRAME_LENGTH_BYTES;
    this.#scratch.copy(frame, 0, body, body + have);
    this.#start = this.#end = 0;
    this.#pending.shift();
    this.#landing = {
      targets: [frame],
      index: 0,
      filled: have,
      fail: pending.fail,
      done: () => {
        try {
          scatter(frame, pending.open(frame, true)!);
        } catch (error) {
          pending.fail(error as Error);
          throw error;
        }
        pending.done();
      },
    };
    return true;
  }

  /** Makes sure that the rest of a frame has room behind what is there of it. Returns false, for the sake of its callers. */
  #makeRoom(): false {
    if (this.#start > 0 && this.#end >= SCRATCH_BYTES / 2) {
      this.#scratch.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    return false;
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    const doing = this.#isConnected ? 'receive' : 'connect';
    this.#failure = error instanceof DirectError ? error : this.#lost(doing, error);
    this.#socket.destroy();
    for (const pending of this.#pending.splice(0)) pending.fail(this.#failure);
    this.#landing?.fail(this.#failure);
    this.#landing = null;
    for (const action of this.#onClosed.splice(0)) action();
  }
}

/** Puts what follows the message of a frame where it belongs. */
function scatter(
  frame: Uint8Array,
  { headBytes, targets }: { headBytes: number; targets: readonly Uint8Array[] },
) {
  let at = headBytes;
  for (const target of targets) {
    if (at + target.byteLength > frame.byteLength)
      throw new Error(`${frame.byteLength - headBytes} bytes of data are too few`);
    target.set(frame.subarray(at, at + target.byteLength));
    at += target.byteLength;
  }
}
