import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arenaStats, NativeMemory } from '../../../../native/arena.ts';
import { crc32c } from '../../../../native/batch.ts';
import { Store } from '../../../../native/store.ts';
import type { Identity } from '../authentication.ts';
import { StoreConnection } from '../store-connection.ts';
import { connectionTo, FILE, startServer } from '../testing.ts';
import { StoreDirectory } from './store-directory.ts';
import type { StoreServer } from './store-server.ts';

/** More than one piece of the store. */
const BYTES = 9_000_000;
const GATEWAY: Identity = { role: 'gateway', cluster: 'c', node: 1 };

describe('A store that passes payload on', () => {
  const root = mkdtempSync(join(tmpdir(), 'relays-'));
  const directories: StoreDirectory[] = [];
  const servers: StoreServer[] = [];
  const open: StoreConnection[] = [];
  let native: Store;
  let memory: NativeMemory;
  /** Takes connections, and says nothing. */
  let silent: Server;

  before(async () => {
    native = new Store({ threads: 1 });
    for (const name of ['a', 'b'])
      directories.push(await StoreDirectory.open(join(root, name), native, async () => undefined));
    silent = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  });
  beforeEach(async () => {
    for (const directory of directories) servers.push(await startServer(directory, { heartbeatMs: 10_000 }));
    memory = NativeMemory.allocate(BYTES)!;
    memory.bytes().forEach((_, i, bytes) => {
      bytes[i] = (i * 13) >> 2;
    });
  });
  afterEach(async () => {
    for (const connection of open.splice(0)) {
      connection.end('the test has ended');
      await connection.closed;
    }
    for (const server of servers.splice(0)) await server.stop();
    memory.release();
  });
  after(async () => {
    silent.close();
    for (const directory of directories) await directory.close();
    await native.shutdown();
    rmSync(root, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  const addressOf = (store: number) => `127.0.0.1:${servers[store]!.port}`;
  const relayTo = (store: number, address = addressOf(store)) =>
    ({ op: 'relay', store: directories[store]!.id, address }) as const;

  async function connected(store: number, identity = GATEWAY): Promise<StoreConnection> {
    const connection = await StoreConnection.open(connectionTo(servers[store]!.port, { identity }));
    open.push(connection);
    return connection;
  }

  /** An append of all of the memory, or less, that goes on to the other store. */
  const appendTo = (first: StoreConnection, position: number, length = BYTES) => {
    const order = { position, length, source: memory.arenaOffset, key: first.key, timeoutMs: 10_000 };
    const onward = [{ store: directories[1]!.id, file: FILE }];
    return first.request({ op: 'append', file: FILE, ...order, fromMemory: false, onward });
  };

  it('has another one take it, in order and whole', async () => {
    const [first, second] = [await connected(0), await connected(1)];
    for (const connection of [first, second]) await connection.request({ op: 'create', file: FILE });
    await first.request(relayTo(1));
    // It is open already.
    await first.request(relayTo(1));
    const lengths = [BYTES, 1000, 0, 4096, BYTES];
    let position = 0;
    const appended = lengths.map((length) => {
      const at = position;
      position += length;
      return appendTo(first, at, length);
    });
    for (const { failed } of await Promise.all(appended)) assert.deepEqual(failed, []);
    const expected = lengths.reduce((crc, length) => crc32c(memory.bytes().subarray(0, length), crc), 0);
    for (const connection of [first, second]) {
      await connection.request({ op: 'sync', file: FILE });
      const range = { position: 0, length: position, seed: 0 };
      assert.deepEqual(await connection.request({ op: 'check', file: FILE, ...range }), {
        crc: expected,
        length: position,
      });
      await connection.request({ op: 'remove', file: FILE });
    }
  });

  it('says which copies did not come about', async () => {
    const [first, second] = [await connected(0), await connected(1)];
    await first.request({ op: 'create', file: FILE });
    // No way was asked for.
    const [unconnected] = (await appendTo(first, 0)).failed;
    assert.deepEqual([unconnected!.store, unconnected!.code], [directories[1]!.id, 'ENOTCONN']);
    await first.request(relayTo(1));
    assert.equal((await appendTo(first, BYTES)).failed[0]!.code, 'ENOENT');
    await second.request({ op: 'create', file: FILE });
    assert.equal((await appendTo(first, 2 * BYTES, 10)).failed[0]!.code, 'EILSEQ');
    // Its own copy is there all the same.
    assert.equal((await first.request({ op: 'list', after: '' })).files[0]!.bytes, 2 * BYTES + 10);
    for (const connection of [first, second]) await connection.request({ op: 'remove', file: FILE });
  });

  it('finds out that a store cannot be reached, soon', async () => {
    const first = await connected(0);
    const { port } = silent.address() as { port: number };
    await assert.rejects(first.request(relayTo(1, `127.0.0.1:${port}`)), { code: 'ETIMEDOUT' });
    await assert.rejects(first.request(relayTo(1, '127.0.0.1:1')), { code: 'ECONNREFUSED' });
    await assert.rejects(first.request(relayTo(1, 'nonsense')), /no host:port/);
    await assert.rejects(first.request(relayTo(1, addressOf(0))), { code: 'EHOSTUNREACH' });
    await first.request(relayTo(1));
  });

  it('is let do no more than pass on what is one gateway’s', async () => {
    const second = await connected(1);
    await second.request({ op: 'create', file: FILE });
    const store = await connected(1, { role: 'store', cluster: 'c', node: 1, via: 'another' });
    for (const operation of [
      { op: 'list', after: '' },
      { op: 'remove', file: FILE },
      { op: 'drain', on: true },
      relayTo(0),
    ] as const)
      await assert.rejects(store.request(operation), { code: 'EACCES' });
    await store.request({ op: 'status' });
    const order = { position: 0, length: 10, source: memory.arenaOffset, timeoutMs: 5000, fromMemory: false };
    const append = (by: StoreConnection) => by.request({ op: 'append', file: FILE, key: by.key, ...order });
    const stranger = await connected(1, { role: 'store', cluster: 'c', node: 2, via: 'another' });
    await assert.rejects(append(stranger), { code: 'ENOENT' });
    await append(store);
    // The gateway itself is still there.
    assert.equal((await second.request({ op: 'list', after: '' })).files[0]!.bytes, 10);
    await second.request({ op: 'remove', file: FILE });
  });

  it('takes nothing more for a gateway that is gone, and leaves what it passed on', async () => {
    const [first, second] = [await connected(0), await connected(1)];
    for (const connection of [first, second]) await connection.request({ op: 'create', file: FILE });
    await first.request(relayTo(1));
    const appends = Array.from({ length: 8 }, (_, i) => appendTo(first, i * BYTES));
    const settled = Promise.allSettled(appends);
    first.end('the gateway is gone');
    await first.closed;
    await settled;
    const again = await connected(0);
    for (const connection of [again, second]) await connection.request({ op: 'remove', file: FILE });
  });
});
