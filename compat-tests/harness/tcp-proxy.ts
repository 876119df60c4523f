import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../src/util/free-port.ts';

/** Passes TCP connections on to a port of this machine, until the network between is to fail. */
export class TcpProxy {
  readonly address: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #stalled = false;

  private constructor(port: number, target: number) {
    this.address = `127.0.0.1:${port}`;
    this.#server = createServer((here) => this.#join(here, connect(target, '127.0.0.1')));
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
      this.#sockets.add(from);
      from.on('error', () => {}); // what follows is its close
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
      if (this.#stalled) from.pause();
    }
  }

  /** Ends all connections, in the middle of whatever is under way. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
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
