import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { arenaStats, type NativeMemory } from './arena.ts';
import { type CloseReason, Net, type NetOptions, type NetTls } from './net.ts';
import { MemoryPiece, type Piece } from './pieces.ts';

export function frame(body: Uint8Array | string): Buffer {
  const bytes = Buffer.from(body);
  const head = Buffer.alloc(4);
  head.writeInt32BE(bytes.length);
  return Buffer.concat([head, bytes]);
}

/** A Net whose every frame goes to `onFrame`, by default echoed. */
export class Server {
  readonly net: Net;
  readonly closes: [CloseReason, number][] = [];
  readonly refused: string[] = [];
  /** Of clients' certificates, and why TLS failed. */
  readonly subjects: string[] = [];
  readonly failures: string[] = [];
  listener = -1;
  opened = 0;
  frames = 0;
  port = 0;
  #onClose: (() => void)[] = [];
  readonly #clients: Client[] = [];

  constructor(
    options: Partial<NetOptions> = {},
    onFrame: (
      server: Server,
      connection: number,
      bytes: Uint8Array,
      memory: NativeMemory | null,
    ) => void = echo,
  ) {
    this.net = new Net(options, {
      onConnect: (_connection, { subject, failure }) => {
        this.opened++;
        this.subjects.push(subject);
        this.failures.push(failure);
      },
      onFrame: (connection, bytes, memory) => {
        this.frames++;
        onFrame(this, connection, bytes, memory);
      },
      onClose: (_connection, reason, detail) => {
        this.closes.push([reason, detail]);
        for (const done of this.#onClose.splice(0)) done();
      },
      onRefused: (_listener, address) => this.refused.push(address),
    });
  }

  /** @param tls for connections that speak it */
  async start(tls: NetTls | null = null): Promise<this> {
    ({ listener: this.listener, port: this.port } = await this.net.listen('127.0.0.1', 0, tls));
    return this;
  }

  /** @param tls what the client trusts and shows, over TLS */
  connect(tls: ConnectionOptions | null = null): Client {
    const client = new Client(this.port, tls);
    this.#clients.push(client);
    return client;
  }

  /** Ends its clients and itself, after which nothing may be left. */
  async end(): Promise<void> {
    for (const { socket } of this.#clients.splice(0)) socket.destroy();
    await this.net.shutdown(0);
    assert.equal(arenaStats().blocks, 0);
    assert.equal(this.net.stats().connections, 0);
  }

  nextClose(): Promise<void> {
    return new Promise((resolve) => this.#onClose.push(resolve));
  }
}

export function echo(
  server: Server,
  connection: number,
  bytes: Uint8Array,
  memory: NativeMemory | null,
): void {
  const head = Buffer.alloc(4);
  head.writeInt32BE(bytes.length);
  const pieces: Piece[] = [head, memory ? new MemoryPiece(memory) : bytes];
  server.net.reply(connection, pieces);
}

/** A raw client that cuts what it receives into frames. */
export class Client {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #received: Buffer[] = [];
  #size = 0;
  #waiter: (() => void) | null = null;

  /** @param tls what it trusts and shows, over TLS */
  constructor(port: number, tls: ConnectionOptions | null = null) {
    this.socket = tls === null ? connect(port, '127.0.0.1') : connectTls({ port, host: '127.0.0.1', ...tls });
    this.socket.on('error', () => {});
    this.socket.on('data', (data) => {
      this.#received.push(data);
      this.#size += data.length;
      this.#waiter?.();
    });
    this.closed = new Promise((resolve) => this.socket.on('close', () => resolve()));
  }

  write(bytes: Uint8Array): this {
    this.socket.write(bytes);
    return this;
  }

  async #take(size: number): Promise<Buffer> {
    while (this.#size < size) {
      await new Promise<void>((resolve) => {
        this.#waiter = resolve;
      });
    }
    const all = this.#received.length === 1 ? this.#received[0]! : Buffer.concat(this.#received);
    this.#received = [all.subarray(size)];
    this.#size -= size;
    return all.subarray(0, size);
  }

  async read(): Promise<Buffer> {
    return this.#take((await this.#take(4)).readInt32BE());
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function waitUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(1);
}
