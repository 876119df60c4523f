import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { silentLogger } from '../../../util/logger.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import { StorePeers, type StorePeersOptions } from './store-peers.ts';
import { FABRIC_OPTIONS } from './testing.ts';

describe('The stores of a gateway', () => {
  const root = mkdtempSync(join(tmpdir(), 'store-peers-'));
  const clock = new VirtualClock();
  after(() => rmSync(root, { recursive: true }));

  function peersAt(stores: string[], changes: Partial<StorePeersOptions> = {}): StorePeers {
    const nothing = () => undefined;
    return new StorePeers(
      {
        stores,
        secret: 'a secret for tests only',
        owner: { clusterId: 'c', nodeId: 1 },
        zone: '',
        fabric: { wish: { provider: 'plain-tcp', domain: '' }, options: FABRIC_OPTIONS },
        requestTimeoutMs: 1000,
        clock,
        logger: silentLogger,
        ...changes,
      },
      { up: nothing, down: nothing, drainingChanged: nothing, endWanted: nothing, looked: nothing },
    );
  }

  it('are not reached any more when they are closed while it is looked for new ones', async () => {
    const peers = peersAt([root]);
    await peers.connect();
    writeFileSync(join(root, 'one.address'), '127.0.0.1:1\n');
    clock.tick(5000);
    await peers.close();
    await setTimeout(50);
    assert.deepEqual(peers.all, []);
    assert.equal(clock.pending, 0);
  });

});
