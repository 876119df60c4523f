/** The little of the Kafka protocol that a benchmark needs itself: is somebody there, and do they answer? */
import { connect, type Socket } from 'node:net';

/** ApiVersions v0 with correlation id 1 and client id "bench". */
const apiVersionsRequest = Buffer.from([
  0, 0, 0, 15, 0, 18, 0, 0, 0, 0, 0, 1, 0, 5, 0x62, 0x65, 0x6e, 0x63, 0x68,
]);

export function splitAddress(bootstrap: string): { host: string; port: number } {
  const at = bootstrap.lastIndexOf(':');
  const port = Number(bootstrap.slice(at + 1));
  if (at <= 0 || !Number.isInteger(port) || port <= 0)
    throw new Error(`${bootstrap} is not an address; give host:port`);
  return { host: bootstrap.slice(0, at).replace(/^\[|\]$/g, ''), port };
}

export function dial(bootstrap: string): Promise<Socket> {
  const { host, port } = splitAddress(bootstrap);
  return new Promise((done, fail) => {
    const socket = connect(port, host);
    socket.once('connect', () => done(socket));
    socket.once('error', fail);
  });
}

/** Sends one request and resolves when its answer begins. */
export function greet(socket: Socket): Promise<void> {
  return new Promise((done, fail) => {
    socket.once('data', () => done());
    socket.once('error', fail);
    socket.once('close', () => fail(new Error('the broker closed the connection')));
    socket.write(apiVersionsRequest);
  });
}

/** Whether the broker answers a request at all; false after five seconds, in which one that speaks another protocol may only listen. */
export async function answers(bootstrap: string, withinMs = 5000): Promise<boolean> {
  try {
    const socket = await dial(bootstrap);
    socket.setTimeout(withinMs, () => socket.destroy());
    try {
      await greet(socket);
      return true;
    } finally {
      socket.destroy();
    }
  } catch {
    return false;
  }
}

export async function accepts(bootstrap: string): Promise<boolean> {
  try {
    (await dial(bootstrap)).destroy();
    return true;
  } catch {
    return false;
  }
}
