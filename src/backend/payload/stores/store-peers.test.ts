import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { arenaStats } from '../../../native/arena.ts';
import { Store } from '../../../native/store.ts';
import { systemClock } from '../../../util/clock.ts';
import { silentLogger } from '../../../util/logger.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import { Operations } from './process/operations.ts';
import { StoreDirectory } from './process/store-directory.ts';
import { StorePeers, type StorePeersEvents, type StorePeersOptions } from './store-peers.ts';
import { FABRIC_OPTIONS, SECRET, startServer } from './testing.ts';

describe('The stores of a gateway', () => {
  const root = mkdtempSync(join(tmpdir(), 'store-peers-'));
  const clock = new VirtualClock();
  after(() => rmSync(root, { recursive: true }));

  function peersAt(
    stores: string[],
    changes: Partial<StorePeersOptions> = {},
    more: Partial<StorePeersEvents> = {},
  ): StorePeers {
    const nothing = () => undefined;
    const events = { up: nothing, down: nothing, drainingChanged: nothing, endWanted: nothing };
    return new StorePeers(
      {
        stores,
        secret: SECRET,
        owner: { clusterId: 'c', nodeId: 1 },
        zone: '',
        fabric: { wish: { provider: 'plain-tcp', domain: '' }, options: FABRIC_OPTIONS },
        requestTimeoutMs: 1000,
        clock,
        logger: silentLogger,
        ...changes,
      },
      { ...events, looked: nothing, isNeeded: () => true, ...more },
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

  describe('whose addresses change', () => {
    const file = join(root, 'changing');
    let native: Store;
    let directory: StoreDirectory;
    let peers: StorePeers;
    let isNeeded: boolean;
    let looks: number;

    beforeEach(async () => {
      native = new Store({ threads: 1 });
      directory = await StoreDirectory.open(join(root, 'store'), native, async () => undefined);
      isNeeded = true;
      looks = 0;
      const looked = () => {
        looks++;
      };
      peers = peersAt([file], {}, { looked, isNeeded: () => isNeeded });
    });
    afterEach(async () => {
      await peers.close();
      await directory.close();
      await native.shutdown();
      assert.equal(arenaStats().usedBytes, 0);
    });

    const addresses = () => peers.all.map(({ address }) => address);
    const nameIn = (text: string) => writeFileSync(file, text);

    async function look(): Promise<void> {
      const before = looks;
      clock.tick(5000);
      while (looks === before) await setTimeout(1);
    }

    async function until(state: () => boolean): Promise<void> {
      while (!state()) await setTimeout(1);
    }

    it('are not looked for where nobody was', async () => {
      nameIn('127.0.0.1:1\n');
      await peers.connect();
      assert.deepEqual(addresses(), ['127.0.0.1:1']);
      // Who is named cannot be read.
      rmSync(file);
      await look();
      assert.deepEqual(addresses(), ['127.0.0.1:1']);
      nameIn('');
      await look();
      assert.deepEqual(addresses(), []);
    });

    it('are looked for where they were as long as they are needed', async () => {
      const server = await startServer(directory);
      const address = `127.0.0.1:${server.port}`;
      nameIn(address);
      await peers.connect();
      nameIn('');
      await look();
      assert.deepEqual([addresses(), peers.all[0]!.isUp], [[address], true]);
      await server.stop();
      await until(() => !peers.all[0]!.isUp);
      await look();
      assert.deepEqual(addresses(), [address]);
      isNeeded = false;
      await look();
      assert.deepEqual(addresses(), []);
    });

    it('are looked for ever less often when they are lost again and again', async () => {
      const server = await startServer(directory);
      nameIn(`127.0.0.1:${server.port}`);
      await peers.connect();
      const others = new VirtualClock();
      // One of the same name: either has the store leave the other.
      const rival = peersAt([file], { clock: others });
      const [one] = peers.all;
      await rival.connect();
      for (const delayMs of [100, 200, 400]) {
        await until(() => !one!.isUp);
        clock.tick(delayMs - 1);
        assert.equal(one!.circuit, 'open');
        clock.tick(1);
        await until(() => one!.isUp && !rival.all[0]!.isUp);
        others.tick(5000);
        await until(() => rival.all[0]!.isUp);
      }
      // It was of use for a while.
      await until(() => !one!.isUp);
      clock.tick(800);
      await until(() => one!.isUp);
      clock.tick(1000);
      others.tick(5000);
      await until(() => !one!.isUp);
      clock.tick(100);
      assert.equal(one!.circuit, 'half-open');
      await rival.close();
      await peers.close();
      await server.stop();
    });

    it('have less time for answers when the gateway stops, and are not looked for again', async () => {
      const server = await startServer(directory);
      nameIn(`127.0.0.1:${server.port}`);
      await peers.connect();
      const [peer] = peers.all;
      const { run } = Operations.prototype;
      let answer = () => {};
      const hangs = new Promise<never>((_, reject) => {
        answer = () => reject(new Error('too late'));
      });
      Operations.prototype.run = () => hangs;
      try {
        const refused = assert.rejects(
          peer!.request({ op: 'list', after: '' }),
          /did not answer list in time/,
        );
        peers.leave(500);
        clock.tick(499);
        assert.ok(peer!.isUp);
        clock.tick(1);
        await refused;
        clock.tick(60_000);
        assert.equal(peer!.circuit, 'open');
        await assert.rejects(peer!.request({ op: 'status' }), /did not answer list in time/);
      } finally {
        Operations.prototype.run = run;
        answer();
      }
      await peers.close();
      await server.stop();
    });

    it('are in at once where they are now, and not looked for where they were', async () => {
      const before = await startServer(directory);
      nameIn(`127.0.0.1:${before.port}`);
      await peers.connect();
      await before.stop();
      await until(() => !peers.all[0]!.isUp);
      const after = await startServer(directory);
      const address = `127.0.0.1:${after.port}`;
      nameIn(address);
      await look();
      await until(() => peers.all.at(-1)!.circuit !== 'half-open');
      assert.deepEqual([peers.all.at(-1)!.address, peers.all.at(-1)!.trouble], [address, null]);
      await look();
      assert.deepEqual(addresses(), [address]);
      await peers.close();
      await after.stop();
    });
  });
});
