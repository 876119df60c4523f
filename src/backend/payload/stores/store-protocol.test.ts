import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { arenaStats, NativeMemory } from '../../../native/arena.ts';
import { crc32c } from '../../../native/batch.ts';
import { inspectFabric } from '../../../native/fabric.ts';
import { Store } from '../../../native/store.ts';
import { type Clock, systemClock } from '../../../util/clock.ts';
import { silentLogger } from '../../../util/logger.ts';
import { VirtualClock } from '../../../util/testing/virtual-clock.ts';
import { clientProof, storeProof } from './authentication.ts';
import { type Operation, STORE_VERSION } from './messages.ts';
import { StoreDirectory } from './process/store-directory.ts';
import type { StoreServer } from './process/store-server.ts';
import { type ConnectionOptions, StoreConnection } from './store-connection.ts';
import { connectionTo, FILE, fabricOf, movesBytes, PLAIN, SECRET, startServer } from './testing.ts';

const { providers } = await inspectFabric('');
const libfabric = providers.find(({ provider, domain }) => provider === 'tcp;ofi_rxm' && domain !== 'lo');

describe('The control connection of a store', () => {
  const root = mkdtempSync(join(tmpdir(), 'store-protocol-'));
  /** When the disk is tried again. */
  const diskClock = new VirtualClock();
  let native: Store;
  let directory: StoreDirectory;
  let server: StoreServer;
  const open: (StoreConnection | Socket | Server)[] = [];

  before(async () => {
    native = new Store({ threads: 1 });
    directory = await StoreDirectory.open(join(root, 'store'), native, async () => undefined, {
      clock: diskClock,
      logger: silentLogger,
    });
    server = await started();
  });

  /** `provider`: `fabric.provider`; empty for what is chosen unasked. */
  function started(provider = ''): Promise<StoreServer> {
    return startServer(directory, { zone: 'z', heartbeatMs: 1000, fabric: fabricOf(provider) });
  }

  afterEach(async () => {
    for (const one of open.splice(0)) {
      if (one instanceof StoreConnection) {
        one.end('the test has ended');
        await one.closed;
      } else if ('destroy' in one) one.destroy();
      else one.close();
    }
  });

  after(async () => {
    await server.stop();
    await directory.close();
    await native.shutdown();
    rmSync(root, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  function options(changes: Partial<ConnectionOptions> = {}, way = PLAIN): ConnectionOptions {
    return connectionTo(server.port, changes, way);
  }

  async function connected(changes: Partial<ConnectionOptions> = {}, way = PLAIN): Promise<StoreConnection> {
    const connection = await StoreConnection.open(options(changes, way));
    open.push(connection);
    return connection;
  }

  /** What a store answers to bytes, until it closes the connection. */
  async function raw(
    send: (socket: Socket, challenge: { nonce: string; store: string }) => void,
  ): Promise<string> {
    const socket = connect(server.port, '127.0.0.1');
    open.push(socket);
    let received = Buffer.alloc(0);
    let sent = false;
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (sent) return;
      sent = true;
      send(socket, JSON.parse(received.toString('utf8', 4)));
    });
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('close', resolve));
    return received.toString('latin1');
  }

  const framed = (text: string) => {
    const frame = Buffer.alloc(4 + Buffer.byteLength(text));
    frame.writeUInt32BE(frame.length - 4);
    frame.write(text, 4);
    return frame;
  };

  async function movesPayload(connection: StoreConnection): Promise<void> {
    const length = 500_000;
    await movesBytes(connection, { length, times: 2 }, async (written) => {
      await connection.request({ op: 'seal', file: FILE, bytes: length + 1, trust: false });
      const range = { position: 1, length: 2 * length };
      const check = await connection.request({ op: 'check', file: FILE, ...range, seed: 0 });
      const crc = crc32c(written.subarray(0, 1), crc32c(written.subarray(1)));
      assert.deepEqual(check, { crc, length });
      assert.deepEqual((await connection.request({ op: 'list', after: '' })).files, [
        { file: FILE, bytes: length + 1, sealed: true },
      ]);
    });
    await connection.request({ op: 'remove', file: FILE });
  }

  it('moves payload over plain TCP', async () => {
    const connection = await connected();
    assert.deepEqual([connection.provider, connection.store.zone], ['plain-tcp', 'z']);
    await movesPayload(connection);
  });

  if (libfabric !== undefined)
    it('moves payload over libfabric', async () => {
      const named = await started(libfabric.provider);
      try {
        const connection = await connected({ port: named.port }, libfabric);
        assert.equal(connection.provider, 'tcp;ofi_rxm');
        await movesPayload(connection);
      } finally {
        await named.stop();
      }
    });

  it('refuses another secret, and so do gateways', async () => {
    const refused = server.refused;
    await assert.rejects(connected({ secret: 'another secret here' }), /the store refuses: .*secret/);
    assert.equal(server.refused, refused + 1);
    // A store that only pretends to know it.
    const liar = createServer((socket) => {
      const challenge = { type: 'challenge', version: STORE_VERSION, nonce: '0'.repeat(64), store: 's' };
      socket.write(framed(JSON.stringify(challenge)));
      const welcome = { type: 'welcome', proof: '0'.repeat(64), store: 's', zone: '', host: '' };
      socket.once('data', () => socket.write(framed(JSON.stringify(welcome))));
    });
    open.push(liar);
    await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve));
    const { port } = liar.address() as { port: number };
    await assert.rejects(connected({ port }), /does not know payload.stores.secret/);
  });

  it('accepts a proof for its own nonce, itself and this gateway only', async () => {
    const said = {
      version: STORE_VERSION,
      role: 'gateway',
      cluster: 'c',
      node: 1,
      nonce: '1'.repeat(64),
    } as const;
    const replayed = clientProof(SECRET, { nonce: '2'.repeat(64), store: directory.id }, said);
    const answer = await raw((socket) =>
      socket.write(framed(JSON.stringify({ type: 'answer', ...said, proof: replayed }))),
    );
    assert.match(answer, /"refused"/);
    const attempt = (change: object, changed: Partial<typeof said> | { node: number }) =>
      raw((socket, challenge) => {
        const proof = clientProof(SECRET, { ...challenge, ...change }, { ...said, ...changed });
        socket.write(framed(JSON.stringify({ type: 'answer', ...said, proof })));
      });
    // For another gateway than the one that it is for; for another store, to which somebody passes it on.
    assert.match(await attempt({}, { node: 2 }), /"refused"/);
    assert.match(await attempt({ store: 'another' }, {}), /"refused"/);
  });

  it('is no other store than the one that began to talk, and talks to no other gateway', async () => {
    // Somebody between the two passes on what stores say who know the secret.
    const between = async (said: object, shown: { store: string }) => {
      const server = createServer((socket) => {
        const challenge = { nonce: '3'.repeat(64), store: 'a-store' };
        socket.write(framed(JSON.stringify({ type: 'challenge', version: STORE_VERSION, ...challenge })));
        socket.once('data', (chunk: Buffer) => {
          const answer = { ...JSON.parse(chunk.toString('utf8', 4)), ...said };
          const identity = { ...shown, zone: '', host: '' };
          const proof = storeProof(SECRET, challenge, answer, identity);
          socket.write(framed(JSON.stringify({ type: 'welcome', proof, ...identity })));
        });
      });
      open.push(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return connected({ port: (server.address() as { port: number }).port, fabric: null });
    };
    await assert.rejects(between({}, { store: 'another' }), /does not know payload.stores.secret/);
    await assert.rejects(between({ node: 2 }, { store: 'a-store' }), /does not know payload.stores.secret/);
    await assert.rejects(between({ cluster: 'd' }, { store: 'a-store' }), /does not know/);
  });

  it('lets finding a way for payload take longer than the greeting may', async () => {
    const greetings = new Set<() => void>();
    const clock: Clock = {
      now: () => systemClock.now(),
      setTimer(delayMs, action) {
        if (delayMs !== 10_000 && delayMs !== 12_000) return systemClock.setTimer(delayMs, action);
        greetings.add(action);
        return { cancel: () => greetings.delete(action) };
      },
    };
    const { fabric } = options();
    const connection = await connected({
      clock,
      fabric: {
        ...fabric!,
        open: (way) => {
          // The time for all of them is over.
          for (const late of [...greetings]) late();
          return fabric!.open(way);
        },
      },
    });
    await connection.request({ op: 'status' });
  });

  it('checks and moves ranges of any size', async () => {
    const connection = await connected();
    const { key } = connection;
    const piece = NativeMemory.allocate(9 << 20)!;
    piece.bytes().forEach((_, i, bytes) => {
      bytes[i] = i * 31 + (i >> 12);
    });
    const length = piece.byteLength;
    const order = { file: FILE, length, key, timeoutMs: 20_000 };
    await connection.request({ op: 'create', file: FILE });
    const count = 8;
    let crc = 0;
    for (let i = 0; i < count; i++) {
      const from = { ...order, position: i * length, source: piece.arenaOffset };
      await connection.request({ op: 'append', ...from, fromMemory: false });
      crc = crc32c(piece.bytes(), crc);
    }
    const all = { position: 0, length: count * length, seed: 0 };
    assert.ok(all.length > 64 << 20);
    const check = await connection.request({ op: 'check', file: FILE, ...all });
    assert.deepEqual(check, { crc, length: all.length });
    const rest = { position: length, length: 2 ** 31, seed: 5 };
    assert.equal(
      (await connection.request({ op: 'check', file: FILE, ...rest })).length,
      (count - 1) * length,
    );
    const beyond = { position: all.length + 1, length: 10, seed: 77 };
    assert.deepEqual(await connection.request({ op: 'check', file: FILE, ...beyond }), {
      crc: 77,
      length: 0,
    });
    const sink = NativeMemory.allocate(length)!;
    const into = { ...order, position: 12_345, seed: 9, target: sink.arenaOffset };
    const read = await connection.request({ op: 'read', ...into });
    const expected = Buffer.concat([piece.bytes().subarray(12_345), piece.bytes().subarray(0, 12_345)]);
    assert.deepEqual(read, { crc: crc32c(expected, 9), length });
    assert.ok(expected.equals(sink.bytes()));
    await connection.request({ op: 'remove', file: FILE });
    piece.release();
    sink.release();
  });

  it('begins files with no more space of removed ones than they may grow to', async () => {
    const at = join(root, 'store');
    const kept = join(at, 'recycled-7.free');
    const bytes = 20 << 20;
    writeFileSync(kept, Buffer.alloc(bytes, 0xff));
    await native.recycleIn(at, bytes);
    const connection = await connected();
    try {
      await connection.request({ op: 'create', file: FILE, segmentBytes: bytes - 1 });
      assert.ok(existsSync(kept));
      await connection.request({ op: 'remove', file: FILE });
      await connection.request({ op: 'create', file: FILE, segmentBytes: bytes });
      assert.ok(!existsSync(kept));
    } finally {
      await native.recycleIn(at, 0);
    }
    await connection.request({ op: 'remove', file: FILE });
  });

  it('says that its disk has failed, takes nothing then, and still gives what it has', async () => {
    const connection = await connected();
    const { key } = connection;
    const source = NativeMemory.allocate(1000)!;
    source.bytes().fill(3);
    const order = { file: FILE, key, length: 1000, timeoutMs: 2000 };
    const append = { op: 'append', ...order, source: source.arenaOffset, fromMemory: false } as const;
    await connection.request({ op: 'create', file: FILE });
    await connection.request({ ...append, position: 0 });
    const told = new Promise<string>((resolve) => {
      connection.onStatus(({ trouble, freeBytes }) => {
        if (trouble !== undefined) resolve(`${trouble}, ${freeBytes} bytes are free`);
      });
    });
    directory.disk.failed(Object.assign(new Error('cannot flush: Input/output error'), { code: 'EIO' }));
    assert.match(await told, /the disk has failed: cannot flush.*, 0 bytes are free/);
    await assert.rejects(connection.request({ ...append, position: 1000 }), { code: 'EIO' });
    const another = FILE.replace('7-', '8-');
    await assert.rejects(connection.request({ op: 'create', file: another }), { code: 'EIO' });
    const read = await connection.request({
      op: 'read',
      ...order,
      position: 0,
      seed: 0,
      target: source.arenaOffset,
    });
    assert.equal(read.length, 1000);
    const well = new Promise<void>((resolve) => {
      connection.onStatus(({ trouble }) => {
        if (trouble === undefined) resolve();
      });
    });
    diskClock.tick(1000);
    await well;
    await connection.request({ ...append, position: 1000 });
    await connection.request({ op: 'remove', file: FILE });
    source.release();
  });

  it('closes on what is no message, before and after the greeting', async () => {
    const nonsense = [
      Buffer.from([0xff, 0xff, 0xff, 0xff]),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      framed('{'),
      framed('{"type":"request"}'),
      framed(`{"type":"answer","pad":"${'x'.repeat(5000)}"}`),
    ];
    for (const bytes of nonsense) await raw((socket) => socket.write(bytes));
    await raw((socket) => socket.end(Buffer.from([0, 0])));
    const greeted = (bytes: Buffer) =>
      raw((socket, challenge) => {
        const said = {
          version: STORE_VERSION,
          role: 'operator',
          cluster: 'c',
          node: 1,
          nonce: '1'.repeat(64),
        } as const;
        const proof = clientProof(SECRET, challenge, said);
        socket.write(framed(JSON.stringify({ type: 'answer', ...said, proof })));
        socket.once('data', () => socket.write(bytes));
      });
    for (const text of [
      '[]',
      '{"type":"request","id":0,"operation":{"op":"status"}}',
      '{"type":"request","id":1,"operation":{"op":"format"}}',
      '{"type":"request","id":1,"operation":{"op":"create","file":"../../etc/passwd"}}',
      '{"type":"attach","message":"{}"}',
    ])
      assert.match(await greeted(framed(text)), /"welcome"/);
    assert.match(await greeted(Buffer.from([0x7f, 0, 0, 0])), /"welcome"/);
  });

  it('has no room for many who do not say who they are, and then again', async () => {
    const silent = async () => {
      const socket = connect(server.port, '127.0.0.1');
      open.push(socket);
      socket.on('error', () => undefined);
      return new Promise<'greeted' | 'closed'>((resolve) => {
        socket.once('data', () => resolve('greeted'));
        socket.once('close', () => resolve('closed'));
      });
    };
    const first = await Promise.all(Array.from({ length: 128 }, silent));
    assert.ok(first.every((answer) => answer === 'greeted'));
    const { refused } = server;
    assert.equal(await silent(), 'closed');
    assert.ok(server.refused > refused);
    for (const socket of open) if ('destroy' in socket) socket.destroy();
    for (let attempt = await connected().catch(() => null); attempt === null; )
      attempt = await connected().catch(() => null);
  });

  it('checks what is asked for', async () => {
    const connection = await connected();
    const { key } = connection;
    const fails = (operation: Operation, code: string) =>
      assert.rejects(connection.request(operation), { code }, JSON.stringify(operation));
    const append = { op: 'append', file: FILE, position: 0, length: 1000, source: 0, key } as const;
    const rest = { fromMemory: false, timeoutMs: 1000 };
    await fails({ ...append, ...rest }, 'ENOENT');
    await connection.request({ op: 'create', file: FILE });
    await fails({ op: 'create', file: FILE }, 'EEXIST');
    await fails({ ...append, ...rest, key: 'abc' }, 'EKEYREJECTED');
    await fails({ ...append, ...rest, source: arenaStats().capacityBytes - 999 }, 'ERANGE');
    await fails({ ...append, ...rest, position: 5 }, 'EILSEQ');
    await connection.request({ ...append, ...rest });
    await fails({ ...append, ...rest }, 'EILSEQ');
    await fails({ op: 'seal', file: FILE, bytes: 1001, trust: true }, 'EBADMSG');
    await connection.request({ op: 'seal', file: FILE, bytes: 600, trust: false });
    await fails({ ...append, ...rest, position: 600 }, 'EPERM');
    const read = { op: 'read', file: FILE, position: 0, length: 600, seed: 0, key, timeoutMs: 1000 } as const;
    await fails({ ...read, target: Number.MAX_SAFE_INTEGER }, 'ERANGE');
    await fails({ op: 'punch', file: FILE, ranges: [0, 601] }, 'EINVAL');
    await fails({ op: 'punch', file: FILE, ranges: [0, 100, 100] }, 'EINVAL');
    assert.ok((await connection.request({ op: 'punch', file: FILE, ranges: [0, 600] })).held <= 600);
    await connection.request({ op: 'remove', file: FILE });
    await fails({ op: 'punch', file: FILE, ranges: [0, 600] }, 'ENOENT');
    await fails({ ...read, target: 0 }, 'ENOENT');
    const operator = await connected({
      identity: { role: 'operator', cluster: 'c', node: 1 },
      fabric: null,
    });
    await assert.rejects(operator.request({ op: 'list', after: '' }), { code: 'EACCES' });
  });

  it('lets a gateway that connects anew replace its connection, and no other one', async () => {
    const [first, other] = [
      await connected(),
      await connected({ identity: { role: 'gateway', cluster: 'c', node: 2 } }),
    ];
    await first.request({ op: 'create', file: FILE });
    const second = await connected();
    await first.closed;
    assert.match(first.ended!, /connected anew/);
    assert.equal(other.ended, null);
    assert.equal((await second.request({ op: 'list', after: '' })).files.length, 1);
    assert.equal((await other.request({ op: 'list', after: '' })).files.length, 0);
    await second.request({ op: 'remove', file: FILE });
  });

  it('ends when the store is silent, and when it is cut off in the middle', async () => {
    // A proxy that passes so many bytes from the store on, and then nothing, or closes.
    const proxied = async (limit: number, closes: boolean) => {
      const proxy = createServer((socket) => {
        const inner = connect(server.port, '127.0.0.1');
        open.push(socket, inner);
        let left = limit;
        socket.on('data', (chunk) => inner.write(chunk));
        inner.on('data', (chunk: Buffer) => {
          socket.write(chunk.subarray(0, left));
          left = Math.max(0, left - chunk.length);
          if (left === 0 && closes) socket.destroy();
        });
        for (const end of [socket, inner]) end.on('error', () => undefined);
        socket.on('close', () => inner.destroy());
      });
      open.push(proxy);
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
      return (proxy.address() as { port: number }).port;
    };
    for (const limit of [2, 50, 300, 500])
      await assert.rejects(connected({ port: await proxied(limit, true) }), Error, String(limit));
    // Perhaps just behind the greeting.
    for (const limit of [700, 800, 900, 1000, 1500]) {
      const opened = await connected({ port: await proxied(limit, true) }).catch(() => null);
      while (opened !== null && opened.ended === null) await setTimeout(5);
    }
    const silent = await connected({ port: await proxied(4000, false) });
    while (silent.ended === null) await setTimeout(20);
    await assert.rejects(silent.request({ op: 'status' }), { code: 'ENOTCONN' });
  });
});
