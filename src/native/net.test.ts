import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { arenaStats } from './arena.ts';
import { echo, frame, pause, Server, waitUntil } from './net.fixture.ts';
import type { CloseReason } from './net.ts';

describe('Net', () => {
  let server: Server;
  const client = () => server.connect();
  afterEach(() => server.end());

  it('answers pipelined requests of every size in order', async () => {
    server = await new Server({ threads: 2 }).start();
    const sizes = [0, 1, 100, 16384, 32768, 32769, 40000, 100_000, 3, 1_000_000, 5, 131_072, 0, 7];
    const all = Array.from({ length: 4 }, async (_, c) => {
      const one = client();
      const bodies = Array.from({ length: 60 }, (_, i) =>
        Buffer.alloc(sizes[(i + c) % sizes.length]!, i + c),
      );
      for (const body of bodies) one.write(frame(body));
      for (const body of bodies) assert.ok((await one.read()).equals(body));
    });
    await Promise.all(all);
    // They are counted a moment after they were sent.
    await waitUntil(() => server.net.stats().replies === 240);
  });

  it('sends the first replies of a turn while the last requests are handled', async () => {
    const requests = 16;
    let handled = 0;
    let sentMeanwhile = 0;
    server = await new Server({}, ({ net }, connection, bytes) => {
      net.reply(connection, [frame(bytes)]);
      if (++handled < requests) return;
      // What is sent from here on is none of this thread's doing.
      const patience = performance.now() + 5_000;
      while (sentMeanwhile === 0 && performance.now() < patience) sentMeanwhile = net.stats().replies;
    }).start();
    const one = client().write(Buffer.concat(Array.from({ length: requests }, (_, i) => frame(`${i}`))));
    for (let i = 0; i < requests; i++) assert.equal((await one.read()).toString(), `${i}`);
    assert.ok(sentMeanwhile > 0);
  });

  it('assembles frames that arrive byte by byte', async () => {
    server = await new Server({ largeFrameBytes: 16 }).start();
    const one = client();
    one.socket.setNoDelay(true);
    for (const body of ['abc', 'a frame that counts as a large one']) {
      for (const byte of frame(body)) {
        one.write(Uint8Array.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.equal((await one.read()).toString(), body);
    }
  });

  it('echoes frames of 100 MiB', async () => {
    server = await new Server().start();
    const body = Buffer.alloc(100 * 2 ** 20);
    for (let i = 0; i < body.length; i += 4093) body[i] = i % 251;
    const one = client().write(frame(body));
    assert.ok((await one.read()).equals(body));
  });

  it('stops reading a connection at its own limit and goes on after replies', async () => {
    const held: number[] = [];
    server = await new Server({ maxRequestsPerConnection: 5 }, (_, connection) =>
      held.push(connection),
    ).start();
    const one = client();
    for (let i = 0; i < 50; i++) one.write(frame('x'.repeat(1000)));
    await waitUntil(() => held.length === 5);
    await pause(50);
    assert.equal(held.length, 5);
    let answered = 0;
    while (answered < 50) {
      await waitUntil(() => held.length > answered);
      server.net.reply(held[answered]!, [frame(`${answered}`)]);
      assert.equal((await one.read()).toString(), `${answered++}`);
    }
  });

  it('holds all connections to the shared limit without stopping for good', async () => {
    let inFlight = 0;
    let peak = 0;
    server = await new Server(
      { threads: 2, maxInFlightBytes: 200_000 },
      (self, connection, bytes, memory) => {
        inFlight += bytes.length;
        peak = Math.max(peak, inFlight);
        const length = bytes.length;
        setTimeout(() => {
          inFlight -= length;
          memory?.release();
          self.net.reply(connection, [frame('ok')]);
        }, 1);
      },
    ).start();
    const all = Array.from({ length: 8 }, async () => {
      const one = client();
      for (let i = 0; i < 20; i++) one.write(frame(Buffer.alloc(60_000)));
      for (let i = 0; i < 20; i++) await one.read();
    });
    await Promise.all(all);
    assert.ok(peak <= 200_000 + 2 * 60_000, `${peak}`);
  });

  it('does not let a slow reader delay others, nor take more from it', async () => {
    const big = Buffer.alloc(8 * 2 ** 20, 1);
    server = await new Server(
      { maxRequestsPerConnection: 8, maxBytesPerConnection: 20 * 2 ** 20 },
      (self, connection, bytes) => {
        self.net.reply(connection, [frame(bytes.length === 1 ? big : 'quick')]);
      },
    ).start();
    const slow = client();
    slow.socket.pause();
    for (let i = 0; i < 100; i++) slow.write(frame('x'));
    const quick = client();
    for (let i = 0; i < 20; i++) {
      quick.write(frame('hello'));
      assert.equal((await quick.read()).toString(), 'quick');
    }
    assert.ok(server.frames < 50, `${server.frames}`);
    slow.socket.resume();
    for (let i = 0; i < 100; i++) assert.equal((await slow.read()).length, big.length);
  });

  it('gives requests without an answer no answer, in order', async () => {
    server = await new Server({}, (self, connection, bytes) => {
      if (bytes[0] === 0) self.net.skip(connection);
      else echo(self, connection, bytes, null);
    }).start();
    const one = client();
    for (const body of ['\0', 'a', '\0', '\0', 'b', '\0']) one.write(frame(body));
    assert.equal((await one.read()).toString(), 'a');
    assert.equal((await one.read()).toString(), 'b');
    await waitUntil(() => server.net.stats().replies === 6);
    assert.equal(server.net.stats().inFlightBytes, 0);
  });

  const refusals: [string, Buffer, CloseReason, number][] = [
    ['an oversized frame', Buffer.from([0x7f, 0, 0, 0]), 'oversized frame', 0x7f000000],
    ['a negative length', Buffer.from([0xff, 0xff, 0xff, 0xfe]), 'negative frame length', -2],
    ['a TLS hello', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 1, 0]), 'tls-on-plaintext', 0x16030102],
  ];
  for (const [name, bytes, reason, detail] of refusals) {
    it(`closes the connection on ${name} and serves the others`, async () => {
      server = await new Server().start();
      const good = client();
      const bad = client().write(bytes);
      await bad.closed;
      await waitUntil(() => server.closes.length === 1);
      assert.deepEqual(server.closes, [[reason, detail]]);
      good.write(frame('still here'));
      assert.equal((await good.read()).toString(), 'still here');
    });
  }

  it('tells a truncated frame from an orderly end', async () => {
    server = await new Server().start();
    const orderly = client().write(frame('a'));
    await orderly.read();
    orderly.socket.end();
    await server.nextClose();
    client().socket.end(frame('abc').subarray(0, 6));
    await server.nextClose();
    client().socket.end(frame(Buffer.alloc(100_000)).subarray(0, 50_000));
    await server.nextClose();
    assert.deepEqual(server.closes, [
      ['closed by peer', 0],
      ['truncated frame', 6],
      ['truncated frame', 50_000],
    ]);
  });

  it('survives resets while requests are pending and replies are made', async () => {
    const pending: number[] = [];
    server = await new Server({}, (_, connection) => pending.push(connection)).start();
    for (let i = 0; i < 20; i++) {
      const one = client();
      one.write(frame('x')).write(frame('y'));
      await waitUntil(() => pending.length === 2 * (i + 1));
      one.socket.resetAndDestroy();
    }
    for (const connection of pending) server.net.reply(connection, [frame(Buffer.alloc(100_000))]);
    await waitUntil(() => server.closes.length === 20);
    assert.ok(server.closes.every(([reason]) => reason === 'reset' || reason === 'closed by peer'));
  });

  it('closes idle connections, but not those that wait for an answer', async () => {
    const pending: number[] = [];
    const served = async () => {
      await waitUntil(() => pending.length > 0);
      return false;
    };
    server = await new Server({ idleMs: 100 }, (_, connection) => pending.push(connection)).start();
    let waiting = client().write(frame('x'));
    // On a slow machine its request may come too late.
    let late = 0;
    while (await Promise.race([waiting.closed.then(() => true), served()])) {
      late++;
      waiting = client().write(frame('x'));
    }
    const idle = client();
    await idle.closed;
    await waitUntil(() => server.closes.length > late);
    await pause(150);
    assert.deepEqual(server.closes, Array(late + 1).fill(['idle', 0]));
    server.net.reply(pending[0]!, [frame('late')]);
    assert.equal((await waiting.read()).toString(), 'late');
  });

  it('keeps max.connections by not accepting more until one closes', async () => {
    server = await new Server({ maxConnections: 2 }).start();
    const [first, second, third] = [client(), client(), client().write(frame('c'))];
    first.write(frame('a'));
    second.write(frame('b'));
    await first.read();
    await second.read();
    await pause(50);
    assert.equal(server.opened, 2);
    first.socket.destroy();
    assert.equal((await third.read()).toString(), 'c');
  });

  it('refuses more than max.connections.per.ip', async () => {
    server = await new Server({ maxConnectionsPerIp: 1 }).start();
    const first = client().write(frame('a'));
    await first.read();
    await client().closed;
    await waitUntil(() => server.refused.length === 1);
    assert.deepEqual(server.refused, ['127.0.0.1']);
    assert.equal(server.opened, 1);
  });

  it('answers pending requests during shutdown, and ends the idle at once', async () => {
    const pending: number[] = [];
    server = await new Server({ threads: 2 }, (_, connection) => pending.push(connection)).start();
    const [answered, idle] = [client(), client()];
    answered.write(frame('x'));
    await waitUntil(() => pending.length === 1);
    const ended = server.net.shutdown(60_000);
    await idle.closed;
    server.net.reply(pending[0]!, [frame('bye')]);
    assert.equal((await answered.read()).toString(), 'bye');
    await answered.closed;
    await ended;
  });

  it('cuts off at the deadline of a shutdown what is not answered by then', async () => {
    const pending: number[] = [];
    server = await new Server({ threads: 2 }, (_, connection) => pending.push(connection)).start();
    const abandoned = client();
    abandoned.write(frame('x')).write(frame(Buffer.alloc(100_000)).subarray(0, 50_000));
    await waitUntil(() => pending.length === 1);
    await server.net.shutdown(300);
    await abandoned.closed;
    server.net.reply(pending[0]!, [frame('too late')]);
  });

  it('closes a connection here once its replies are sent', async () => {
    server = await new Server({}, (self, connection) => {
      self.net.reply(connection, [frame(Buffer.alloc(3_000_000))]);
      self.net.close(connection);
    }).start();
    const one = client().write(frame('x')).write(frame('y'));
    assert.equal((await one.read()).length, 3_000_000);
    await one.closed;
    await waitUntil(() => server.closes.length === 1);
    assert.deepEqual(server.closes, [['closed here', 0]]);
  });

  it('reports a port in use by its code', async () => {
    server = await new Server().start();
    await assert.rejects(server.net.listen('127.0.0.1', server.port), { code: 'EADDRINUSE' });
  });

  it('listens on all interfaces without a host', async () => {
    server = await new Server().start();
    const { port } = await server.net.listen('', 0);
    const addresses = networkInterfaces().lo?.map(({ address }) => address) ?? ['127.0.0.1'];
    for (const address of addresses) {
      const socket = connect(port, address);
      await new Promise((resolve, reject) => socket.on('connect', resolve).on('error', reject));
      socket.destroy();
    }
    await waitUntil(() => server.closes.length === addresses.length);
  });

  it('checks its options', async () => {
    server = await new Server().start();
    assert.throws(() => new Server({ threads: 0 }), /threads must be between 1 and 64/);
    assert.throws(
      () => new Server({ maxFrameBytes: arenaStats().capacityBytes + 1 }),
      /larger than the arena/,
    );
  });
});
