import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { arenaStats, NativeMemory } from '../../../../native/arena.ts';
import { FabricTransport } from '../../../../native/fabric.ts';
import { Store } from '../../../../native/store.ts';
import type { StoreError } from '../messages.ts';
import { StoreConnection } from '../store-connection.ts';
import { connectionTo, FILE, movesBytes, startServer } from '../testing.ts';
import { StoreDirectory } from './store-directory.ts';
import type { StoreServer } from './store-server.ts';

describe('A store', () => {
  const root = mkdtempSync(join(tmpdir(), 'store-server-'));
  let native: Store;
  let directory: StoreDirectory;
  let server: StoreServer;

  before(async () => {
    native = new Store({ threads: 1 });
    directory = await StoreDirectory.open(join(root, 'store'), native, async () => undefined);
    server = await started();
  });

  function started(): Promise<StoreServer> {
    return startServer(directory, { zone: 'z' });
  }

  after(async () => {
    await server.stop();
    await directory.close();
    await native.shutdown();
    rmSync(root, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  function connected(): Promise<StoreConnection> {
    return StoreConnection.open(connectionTo(server.port));
  }

  it('has a gateway connect anew when the connection over which payload goes is lost', async () => {
    const connection = await connected();
    const memory = NativeMemory.allocate(8 << 20)!;
    const order = { file: FILE, position: 0, length: memory.byteLength, key: connection.key };
    const append = { ...order, source: memory.arenaOffset, fromMemory: true };
    const failure = async (timeoutMs: number) => {
      await connection.request({ op: 'remove', file: FILE });
      await connection.request({ op: 'create', file: FILE });
      const appended = connection.request({ op: 'append', ...append, timeoutMs });
      return appended.then(
        () => null,
        ({ code }: StoreError) => code,
      );
    };
    // What is on its way when its time is over ends by the end of that connection.
    let last: string | null = null;
    while (last !== 'ECONNRESET') last = await failure(last === 'ETIMEDOUT' ? 5000 : 1);
    await setTimeout(20);
    assert.match(connection.ended ?? 'it goes on', /lost/);
    await connection.closed;
    memory.release();
    const again = await connected();
    await again.request({ op: 'remove', file: FILE });
    await movesBytes(again, { length: 100_000 });
    again.end('the test has ended');
    await again.closed;
  });

  it('goes on when the system cannot give it a connection', async () => {
    let listening: Server | null = null;
    const found = (message: unknown) => {
      listening ??= (message as { socket: Socket & { server?: Server } }).socket.server ?? null;
    };
    subscribe('net.server.socket', found);
    const connection = await connected();
    unsubscribe('net.server.socket', found);
    (listening as Server | null)!.emit('error', new Error('accept EMFILE'));
    await connection.request({ op: 'status' });
    connection.end('the test has ended');
    await connection.closed;
  });

  it('keeps nothing of a way on which its memory cannot be registered', async () => {
    const { registerArena, close } = FabricTransport.prototype;
    const opened = new Set<FabricTransport>();
    FabricTransport.prototype.registerArena = async function (this: FabricTransport) {
      opened.add(this);
      throw new Error('memory cannot be registered');
    };
    FabricTransport.prototype.close = function (this: FabricTransport) {
      opened.delete(this);
      return close.call(this);
    };
    try {
      // Ways of the tests before are open.
      await server.stop();
      server = await started();
      await assert.rejects(connected(), /memory cannot be registered/);
      assert.equal(opened.size, 0);
    } finally {
      Object.assign(FabricTransport.prototype, { registerArena, close });
    }
  });

  it('starts on a disk that is full', async () => {
    const path = join(root, 'full');
    const open = () => StoreDirectory.open(path, native, async () => undefined);
    const before = await open();
    await before.close();
    // What is written there has no room.
    const written = join(path, 'store.properties.tmp');
    symlinkSync('/dev/full', written);
    const again = await open();
    assert.equal(again.id, before.id);
    await again.close();
    rmSync(written);
  });

  it('can be drained when its disk is full, which is noted when there is room', async () => {
    const properties = join(root, 'store', 'store.properties');
    symlinkSync('/dev/full', `${properties}.tmp`);
    await server.setDraining(true);
    assert.equal(server.status().draining, true);
    await directory.measure();
    assert.match(readFileSync(properties, 'utf8'), /^draining=false$/m);
    rmSync(`${properties}.tmp`);
    await directory.measure();
    assert.match(readFileSync(properties, 'utf8'), /^draining=true$/m);
    await server.setDraining(false);
  });

  it('is drained or not as was said last, also when that is said by several at a time', async () => {
    await Promise.all([true, false, true].map((on) => server.setDraining(on)));
    assert.equal(directory.draining, true);
    assert.match(readFileSync(join(root, 'store', 'store.properties'), 'utf8'), /^draining=true$/m);
    await server.setDraining(false);
  });
});
