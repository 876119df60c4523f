import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { requestHeaderVersion, responseHeaderVersion } from '../../protocol/api-keys.ts';
import { requestHeader } from '../../protocol/generated/request-header.ts';
import { responseHeader } from '../../protocol/generated/response-header.ts';
import type { MessageCodec } from '../../protocol/wire/codec.ts';
import { Reader } from '../../protocol/wire/reader.ts';
import { Writer } from '../../protocol/wire/writer.ts';
import type { AnyHandler, RequestContext } from './handler.ts';

/** A client of the wire protocol, for tests. */
export class Client {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #received = Buffer.alloc(0);
  #waiter: (() => void) | null = null;
  #correlationId = 0;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('error', () => {});
    this.socket.on('data', (data) => {
      this.#received = Buffer.concat([this.#received, data]);
      this.#waiter?.();
    });
    this.closed = new Promise((resolve) => this.socket.on('close', () => resolve()));
  }

  /** Returns the correlation id. */
  send<T>(codec: MessageCodec<T>, version: number, body: Partial<T>): number {
    const writer = new Writer();
    const known = Math.min(version, codec.maxVersion);
    const header = requestHeader.create({
      requestApiKey: codec.apiKey,
      requestApiVersion: version,
      correlationId: ++this.#correlationId,
      clientId: 'test',
    });
    requestHeader.write(writer, header, requestHeaderVersion(codec.apiKey, version));
    codec.write(writer, codec.create(body), known);
    this.sendFrame(writer.finishBytes());
    return this.#correlationId;
  }

  sendFrame(bytes: Uint8Array): void {
    const length = Buffer.alloc(4);
    length.writeInt32BE(bytes.length);
    this.socket.write(Buffer.concat([length, bytes]));
  }

  async receive<T>(codec: MessageCodec<T>, version: number): Promise<{ correlationId: number; body: T }> {
    while (this.#received.length < 4 || this.#received.length < 4 + this.#received.readInt32BE(0)) {
      await new Promise<void>((resolve) => {
        this.#waiter = resolve;
      });
    }
    const end = 4 + this.#received.readInt32BE(0);
    const reader = new Reader(this.#received, 4, end);
    const header = responseHeader.read(reader, responseHeaderVersion(codec.apiKey, version));
    const body = codec.read(reader, version);
    assert.equal(reader.remaining, 0);
    this.#received = this.#received.subarray(end);
    return { correlationId: header.correlationId, body };
  }
}

/** A handler of all versions. */
export function handler<Req, Res>(
  request: MessageCodec<Req>,
  response: MessageCodec<Res>,
  handle: (request: Req, context: RequestContext) => Res | null | Promise<Res | null>,
): AnyHandler {
  const { apiKey, minVersion, maxVersion } = request;
  return { apiKey, minVersion, maxVersion, request, response, handle };
}
