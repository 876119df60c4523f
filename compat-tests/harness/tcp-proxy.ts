import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../src/util/free-port.ts';

/** Passes TCP connections on to a port of this machine, until the network between is to fail. */
export class TcpProxy {
  readonly address: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #stalled = false;
  /** What new connections get in place of the target. */
  #answer: string | null = null;
  /** What may pass before all connections end. */
  #bytesLeft = Number.POSITIVE_INFINITY;
  /** How often that has happened. */
  drops = 0;

  private constructor(port: number, target: number) {
    this.address = `127.0.0.1:${port}`;
    this.#server = createServer((here) => {
      if (this.#answer === null) this.#join(here, connect(target, '127.0.0.1'));
      else this.#refuse(here, this.#answer);
    });
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const port = await freePort();
    const proxy = new TcpProxy(port, targetPort);
    await new Promise<void>((done) => proxy.#server.listen(port, '127.0.0.1', done));
    return proxy;
  }

  #join(here: Socket, there: Socket): void {
    for (const [from, to] of [
      [here, there],
      [there, here],
    ] as const) {
      this.#add(from);
      from.on('close', () => to.destroy());
      from.on('data', (chunk) => this.#count(chunk.byteLength));
      from.pipe(to);
      if (this.#stalled) from.pause();
    }
  }

  #refuse(here: Socket, answer: string): void {
    this.#add(here);
    here.once('data', () => here.end(answer));
    here.resume();
  }

  #add(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {}); // what follows is its close
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #count(bytes: number): void {
    this.#bytesLeft -= bytes;
    if (this.#bytesLeft > 0) return;
    this.#bytesLeft = Number.POSITIVE_INFINITY;
    this.drops++;
    this.drop();
  }

  /** Ends all connections, in the middle of whatever is under way. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** As `drop`, when so many more bytes have passed, all connections and directions together. */
  dropAfter(bytes: number): void {
    this.#bytesLeft = bytes;
  }

  /** Ends all connections; new ones get this answer to whatever they ask first, and end. Null: they are passed on again. */
  answer(answer: string | null): void {
    this.#answer = answer;
    this.drop();
  }

  /** Nothing gets through, and nobody hears of it; or it goes on. */
  stall(on: boolean): void {
    this.#stalled = on;
    for (const socket of this.#sockets)
      if (on) socket.pause();
      else socket.resume();
  }

  async stop(): Promise<void> {
    this.drop();
    await new Promise((done) => this.#server.close(done));
  }
}
