import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../util/free-port.ts';
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
});
