// docker/compose.bench.yaml without Docker: the gateway starts with what its service states, and passes the service's own health check.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { freePort } from '../../src/util/free-port.ts';
import { root } from '../paths.ts';
import { accepts } from '../systems/wire.ts';

interface Service {
  network_mode: string;
  environment?: Record<string, string | number>;
  command?: string[];
  healthcheck?: { test: string[] };
}

const text = readFileSync(join(root, 'docker/compose.bench.yaml'), 'utf8');
const run = promisify(execFile);

/** Addresses of a service, wherever it states them. */
const addressesOf = (service: Service): string[] =>
  [...new Set(JSON.stringify(service).match(/127\.0\.0\.1:\d+/g))].sort();

describe('the compose file of the benchmark', () => {
  const services: Record<string, Service> = parse(text).services;

  it('has each system on the host’s network at addresses of its own, and names them where it says how to use it', () => {
    assert.deepEqual(Object.keys(services), ['kafka', 'redpanda', 'kafabric']);
    const all = Object.values(services).flatMap(addressesOf);
    assert.equal(new Set(all).size, all.length, all.join(' '));
    for (const { network_mode } of Object.values(services)) assert.equal(network_mode, 'host');
    const [target] = /(?<=--target )\S+/.exec(text)!;
    assert.ok(addressesOf(services.redpanda!).includes(target), target);
  });

  it('starts the gateway, which its health check finds ready', async () => {
    const data = mkdtempSync(join(tmpdir(), 'kafabric-compose-'));
    // Other ports than those which somebody's may have.
    let stated = JSON.stringify(services.kafabric);
    for (const address of addressesOf(services.kafabric!))
      stated = stated.replaceAll(address, `127.0.0.1:${await freePort()}`);
    const { environment, healthcheck } = JSON.parse(stated) as Required<Service>;
    const [, program, ...args] = healthcheck.test;
    assert.equal(program, 'node');
    const env = { ...process.env, ...environment, KAFABRIC_LOG_DIRS: data } as NodeJS.ProcessEnv;
    const gateway = spawn(process.execPath, [join(root, 'dist/kafabric/main.js'), 'start'], {
      env,
      stdio: 'ignore',
    });
    const ended = once(gateway, 'exit');
    try {
      const ready = () =>
        run(process.execPath, args).then(
          () => true,
          () => false,
        );
      while (gateway.exitCode === null && !(await ready())) await sleep(100);
      assert.equal(gateway.exitCode, null, 'the gateway ended');
      assert.ok(await accepts(String(environment.KAFABRIC_LISTENERS).replace('PLAINTEXT://', '')));
    } finally {
      gateway.kill('SIGTERM');
      await ended;
      rmSync(data, { recursive: true, force: true });
    }
  });
});
