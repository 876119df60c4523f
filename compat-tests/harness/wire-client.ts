import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { requestHeaderVersion, responseHeaderVersion } from '../../src/protocol/api-keys.ts';
import { requestHeader } from '../../src/protocol/generated/request-header.ts';
import { responseHeader } from '../../src/protocol/generated/response-header.ts';
import type { MessageCodec } from '../../src/protocol/wire/codec.ts';
import { Reader } from '../../src/protocol/wire/reader.ts';
import { Writer } from '../../src/protocol/wire/writer.ts';

interface Waiting {
  readonly resolve: (frame: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** A connection that sends single requests of any version, for what client libraries do not let one try. */
export class WireClient {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #received = Buffer.alloc(0);
  #correlationId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => this.#receive(bytes));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the broker closed the connection')));
  }

  static async connect(bootstrap: string): Promise<WireClient> {
    const [host, port] = bootstrap.split(':');
    const socket = connect(Number(port), host);
    await once(socket, 'connect');
    return new WireClient(socket);
  }

  /** Answers come in the order of the requests. Rejects when the connection closes. */
  async call<Req, Res>(
    [requestCodec, responseCodec]: readonly [MessageCodec<Req>, MessageCodec<Res>],
    version: number,
    request: Partial<Req>,
  ): Promise<Res> {
    const body = await this.exchange(requestCodec, version, request);
    return responseCodec.read(new Reader(body), version);
  }

  /** As `call`, with the answer as it came, without its header. */
  async exchange<Req>(
    requestCodec: MessageCodec<Req>,
    version: number,
    request: Partial<Req>,
  ): Promise<Uint8Array> {
    const frame = await new Promise<Buffer>((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error('the connection is closed'));
      this.#waiting.push({ resolve, reject });
      this.sendUnanswered(requestCodec, version, request);
    });
    const reader = new Reader(frame);
    responseHeader.read(reader, responseHeaderVersion(requestCodec.apiKey, version));
    return reader.view(reader.remaining);
  }

  /** Sends a request that gets no answer. */
  sendUnanswered<Req>(requestCodec: MessageCodec<Req>, version: number, request: Partial<Req>): void {
    const { apiKey } = requestCodec;
    const writer = new Writer();
    const header = requestHeader.create({
      requestApiKey: apiKey,
      requestApiVersion: version,
      correlationId: ++this.#correlationId,
      clientId: 'wire',
    });
    requestHeader.write(writer, header, requestHeaderVersion(apiKey, version));
    requestCodec.write(writer, requestCodec.create(request), version);
    const bytes = writer.finishBytes();
    const length = Buffer.alloc(4);
    length.writeInt32BE(bytes.byteLength);
    this.#socket.write(Buffer.concat([length, bytes]));
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0);
      if (this.#received.length < end) return;
      this.#waiting.shift()?.resolve(this.#received.subarray(4, end));
      this.#received = this.#received.subarray(end);
    }
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
