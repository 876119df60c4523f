import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { systemClock } from '../../../util/clock.ts';
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

  it('are not waited for when they are closed, if they do not answer', async () => {
    const sockets: Socket[] = [];
    const silent: Server = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const peers = peersAt([`127.0.0.1:${(silent.address() as AddressInfo).port}`], { clock: systemClock });
    const connecting = peers.connect();
    while (sockets.length === 0) await setTimeout(5);
    const closed = peers.close().then(() => true);
    const result = await Promise.race([closed, setTimeout(1000, false)]);
    for (const socket of sockets) socket.destroy();
    await Promise.all([connecting, closed]);
    await peers.close();
    silent.close();
    assert.equal(result, true);
  });
});
