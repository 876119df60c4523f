// Simulation and analysis, one after the other, against a gateway that this starts and stops: node examples/heat/run.mjs
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
const [plain, direct, metrics] = [await freePort(), await freePort(), await freePort()];
const directory = mkdtempSync(join(tmpdir(), 'kafabric-heat-'));
const settings = {
  listeners: `PLAINTEXT://127.0.0.1:${plain},DIRECT://127.0.0.1:${direct}`,
  'metrics.listener': `http://127.0.0.1:${metrics}`,
  'log.dirs': join(directory, 'data'),
  'arena.bytes': '268435456',
};
const overrides = Object.entries(settings).flatMap(([key, value]) => ['--override', `${key}=${value}`]);
const gateway = spawn(
  process.execPath,
  [here('../../dist/src/server/cli/main.js'), 'start', '--log-level', 'warn', ...overrides],
  { stdio: ['ignore', 'inherit', 'inherit'] },
);
try {
  for (let ready = false; !ready; ) {
    if (gateway.exitCode !== null) throw new Error('the gateway did not start');
    ready = await fetch(`http://127.0.0.1:${metrics}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (!ready) await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const [steps = '30', side = '256'] = process.argv.slice(2);
  const bootstrap = `127.0.0.1:${direct}`;
  const run = (name, ...args) =>
    execFileSync(process.execPath, [here(name), bootstrap, ...args], { stdio: 'inherit' });
  run('simulation.mjs', steps, side);
  run('analysis.mjs', steps);
} finally {
  const ended = new Promise((resolve) => gateway.once('exit', resolve));
  gateway.kill();
  if (gateway.exitCode === null) await ended;
  rmSync(directory, { recursive: true, force: true });
}
