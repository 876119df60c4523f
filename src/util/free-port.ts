import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

/** Below these are the ports of services that machines have anyway. */
const LOWEST = 10_000;
const ATTEMPTS = 100;
const PORT_RANGE = '/proc/sys/net/ipv4/ip_local_port_range';

const given = new Set<number>();

/**
 * A TCP port of `host` that nobody listens on, for a listener to be opened later, by another process perhaps.
 *
 * It is not of the range from which the system gives outgoing connections their ports (RFC 6056): one of those could take it before the
 * listener does. A process is never given the same port twice. Rejects when `host` is no address of this machine.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const end = firstEphemeralPort();
  for (let attempt = 0; end > LOWEST && attempt < ATTEMPTS; attempt++) {
    const port = randomInt(LOWEST, end);
    if (given.has(port)) continue;
    const bound = await bind(host, port);
    if (bound !== port) continue;
    given.add(port);
    return port;
  }
  return (await bind(host, 0)) ?? 0;
}

function firstEphemeralPort(): number {
  try {
    return Number.parseInt(readFileSync(PORT_RANGE, 'utf8'), 10);
  } catch {
    return 0; // not Linux
  }
}

/** The port that could be listened on, free again; null when another has it. */
function bind(host: string, port: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(null) : reject(error),
    );
    server.listen(port, host, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : null));
    });
  });
}
