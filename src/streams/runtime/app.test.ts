import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { freePort } from '../../util/free-port.ts';
import { issue, makeAuthority } from '../../util/testing/certificates.ts';
import { StreamsBuilder } from '../dsl/builder.ts';
import { StreamsApp } from './app.ts';

describe('an application', () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'kafabric-app-'));
  after(() => rmSync(stateDir, { recursive: true, force: true }));

  it('is closed when nothing of it is left', async () => {
    const builder = new StreamsBuilder();
    builder.stream('in').to('out');
    const bootstrap = `127.0.0.1:${await freePort()}`;
    const app = new StreamsApp(builder.build(), { applicationId: 'app', bootstrap, stateDir });
    const started = app.start();
    while (readdirSync(stateDir).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await app.close({ timeoutMs: 100 });
    assert.deepEqual(readdirSync(stateDir), []);
    assert.equal(app.state, 'closed');
    await started;
  });

  it('goes on, and ends, when a function that is told its states throws', async () => {
    const builder = new StreamsBuilder();
    builder.stream('in').to('out');
    const states: string[] = [];
    const onState = (state: string) => {
      states.push(state);
      throw new Error('of the application');
    };
    const bootstrap = `127.0.0.1:${await freePort()}`;
    const app = new StreamsApp(builder.build(), { applicationId: 'app', bootstrap, onState });
    const started = app.start();
    await app.close({ timeoutMs: 100 });
    await Promise.all([started, app.ended]);
    assert.deepEqual(states, ['rebalancing', 'closing', 'closed']);
  });

  it('says that it is closing from the call on', async () => {
    const builder = new StreamsBuilder();
    builder.stream('in').to('out');
    const app = new StreamsApp(builder.build(), { applicationId: 'app', bootstrap: 'none:1' });
    const started = app.start();
    const closed = app.close();
    assert.equal(app.state, 'closing');
    await Promise.all([started, closed]);
    assert.equal(app.state, 'closed');
  });

  it('fails when the certificate of a broker does not hold', async () => {
    const issued = issue(makeAuthority('of nobody'), { name: 'broker', addresses: ['127.0.0.1'] });
    const server = createServer({ cert: issued.pem, key: issued.keyPem });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    try {
      const builder = new StreamsBuilder();
      builder.stream('in').to('out');
      const bootstrap = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const app = new StreamsApp(builder.build(), { applicationId: 'app', bootstrap, tls: {} });
      await assert.rejects(app.start());
      assert.equal(app.state, 'failed');
    } finally {
      server.close();
    }
  });
});
