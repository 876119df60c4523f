// Starts a gateway of its own for an example, on free ports and an empty directory, and removes it again.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../dist/kafabric/main.js', import.meta.url));

// Below the ports that Linux gives to outgoing connections by default: one of those cannot take it before the gateway does.
const freePort = async () => {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const server = createServer();
    const free = await new Promise((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    server.close();
    if (free) return port;
  }
};

/** With which an example ends that was interrupted. */
const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/**
 * Runs `work({ plain, direct })` beside a gateway: the addresses of its listener for Kafka clients and of its direct one. Whatever ends the example, but for
 * kill -9, ends the gateway.
 * @param settings configuration keys beyond those that are needed
 */
export async function withGateway(settings, work) {
  const [plain, direct, metrics] = [await freePort(), await freePort(), await freePort()];
  const directory = mkdtempSync(join(tmpdir(), 'kafabric-example-'));
  const all = {
    listeners: `PLAINTEXT://127.0.0.1:${plain},DIRECT://127.0.0.1:${direct}`,
    'metrics.listener': `http://127.0.0.1:${metrics}`,
    'log.dirs': join(directory, 'data'),
    'arena.bytes': '268435456',
    ...settings,
  };
  const overrides = Object.entries(all).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
  const gateway = spawn(process.execPath, [program, 'start', '--log-level', 'warn', ...overrides], {
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true, // Ctrl-C is for the example: a second signal would end a gateway that is stopping
  });
  let runs = true;
  const ended = new Promise((resolve) => gateway.once('exit', resolve)).then(() => {
    runs = false;
  });
  let removed = null;
  const remove = () => {
    if (removed === null) gateway.kill();
    removed ??= ended.then(() => rmSync(directory, { recursive: true, force: true }));
    return removed;
  };
  const interrupt = (signal) => remove().then(() => process.exit(EXIT_CODES[signal]));
  for (const signal of Object.keys(EXIT_CODES)) process.once(signal, interrupt);
  try {
    for (let ready = false; !ready; ) {
      if (!runs) throw new Error('the gateway did not start: npm run build comes first');
      ready = await fetch(`http://127.0.0.1:${metrics}/health/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (!ready) await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return await work({ plain: `127.0.0.1:${plain}`, direct: `127.0.0.1:${direct}` });
  } finally {
    for (const signal of Object.keys(EXIT_CODES)) process.off(signal, interrupt);
    await remove();
  }
}
