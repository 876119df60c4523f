import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { issue, makeAuthority } from '../util/testing/certificates.ts';
import { type Client, frame, pause, Server, waitUntil } from './net.fixture.ts';
import type { NetTls } from './net.ts';
import { FilePiece } from './pieces.ts';
import { Store } from './store.ts';

const authority = makeAuthority('CA of gateways');
const clients = makeAuthority('CA of clients');
const stranger = makeAuthority('another CA');
const own = issue(authority, { name: 'gateway', addresses: ['127.0.0.1'] });
const simulation = issue(clients, { name: 'simulation, Überlingen' });
const trust = { ca: authority.pem };
const shown = { ...trust, cert: simulation.pem, key: simulation.keyPem };

const material = (changes: Partial<NetTls> = {}): NetTls => ({
  certificates: [own.pem],
  key: own.keyPem,
  authorities: [clients.pem],
  clientAuth: 'none',
  allowsVersion12: true,
  ...changes,
});

describe('Net with TLS', () => {
  let server: Server;
  const client = (tls: Parameters<Server['connect']>[0] = trust) => server.connect(tls);
  afterEach(() => server.end());

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    it(`answers pipelined requests of every size in order (${version})`, async () => {
      server = await new Server({ threads: 2 }).start(material());
      const sizes = [
        0, 1, 100, 16_379, 16_380, 16_384, 32_768, 32_769, 100_000, 3, 1_000_000, 5, 131_072, 0, 7,
      ];
      const all = Array.from({ length: 4 }, async (_, c) => {
        const one = client({ ...trust, minVersion: version, maxVersion: version });
        const bodies = Array.from({ length: 60 }, (_, i) =>
          Buffer.alloc(sizes[(i + c) % sizes.length]!, Buffer.from(`${i + c} and more`)),
        );
        for (const body of bodies) one.write(frame(body));
        for (const body of bodies) assert.ok((await one.read()).equals(body));
        assert.equal((one.socket as TLSSocket).getProtocol(), version);
      });
      await Promise.all(all);
      // They are counted a moment after they were sent.
      await waitUntil(() => server.net.stats().replies === 240);
    });

  it('is read to its end where more was sent at once than a turn takes', async () => {
    server = await new Server({ threads: 1 }).start(material());
    const body = Buffer.alloc(20 * 2 ** 20);
    for (let i = 0; i < body.length; i += 4093) body[i] = i % 251;
    const one = client();
    // Small ones behind it are in the same records.
    one.write(
      Buffer.concat([frame('before'), frame(body), ...Array.from({ length: 500 }, () => frame('after'))]),
    );
    assert.equal((await one.read()).toString(), 'before');
    assert.ok((await one.read()).equals(body));
    for (let i = 0; i < 500; i++) assert.equal((await one.read()).toString(), 'after');
  });

  it('assembles frames that arrive byte by byte, and does not tell of whom it does not know', async () => {
    server = await new Server({ largeFrameBytes: 16 }).start(material());
    const one = client();
    one.socket.setNoDelay(true);
    for (const body of ['abc', 'a frame that counts as a large one']) {
      for (const byte of frame(body)) {
        one.write(Uint8Array.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.equal((await one.read()).toString(), body);
    }
    assert.deepEqual(server.subjects, ['']);
  });

  it('waits for room and goes on, with what it has taken from the socket already', async () => {
    const held: number[] = [];
    server = await new Server({ maxRequestsPerConnection: 5 }, (_, connection) =>
      held.push(connection),
    ).start(material());
    const one = client();
    for (let i = 0; i < 50; i++) one.write(frame('x'.repeat(1000)));
    await waitUntil(() => held.length === 5);
    await pause(50);
    assert.equal(held.length, 5);
    for (let answered = 0; answered < 50; answered++) {
      await waitUntil(() => held.length > answered);
      server.net.reply(held[answered]!, [frame(`${answered}`)]);
      assert.equal((await one.read()).toString(), `${answered}`);
    }
  });

  it('sends what is in files', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'net-tls-'));
    const path = join(directory, 'data');
    const content = Buffer.alloc(12 * 2 ** 20);
    for (let i = 0; i < content.length; i += 1021) content[i] = i % 253;
    writeFileSync(path, content);
    const store = new Store({ threads: 1 });
    const file = await store.open(path, { readOnly: true });
    try {
      server = await new Server({}, (at, connection) => {
        const head = Buffer.alloc(4);
        head.writeInt32BE(content.length + 3);
        at.net.reply(connection, [head, Buffer.from('abc'), new FilePiece(file, 0, content.length)]);
      }).start(material());
      const one = client();
      one.write(frame('please'));
      await pause(50);
      const got = await one.read();
      assert.ok(got.equals(Buffer.concat([Buffer.from('abc'), content])));
    } finally {
      await file.close();
      await store.shutdown();
      rmSync(directory, { recursive: true });
    }
  });

  it('knows clients by their certificates, and turns away those whose do not hold', async () => {
    server = await new Server().start(material({ clientAuth: 'required' }));
    const one = client(shown).write(frame('hello'));
    assert.equal((await one.read()).toString(), 'hello');
    assert.deepEqual(server.subjects, ['CN=simulation\\, Überlingen']);
    const expired = issue(clients, { name: 'x', notBefore: new Date(0), notAfter: new Date(1000) });
    const other = issue(stranger, { name: 'x' });
    for (const [certificate, failure] of [
      [null, /did not return a certificate/],
      [expired, /certificate has expired/],
      [other, /unable to get local issuer|unable to verify/],
    ] as const) {
      const before = server.closes.length;
      const shows = certificate === null ? {} : { cert: certificate.pem, key: certificate.keyPem };
      const refused = client({ ...trust, ...shows }).write(frame('hello'));
      await refused.closed;
      await waitUntil(() => server.closes.length > before);
      assert.equal(server.closes.at(-1)![0], 'TLS failed');
      assert.match(server.failures.at(-1)!, failure);
    }
    assert.equal(server.frames, 1);
  });

  it('asks, and takes those without a certificate, where it need not be shown', async () => {
    server = await new Server().start(material({ clientAuth: 'requested' }));
    for (const [tls, subject] of [
      [trust, ''],
      [shown, 'CN=simulation\\, Überlingen'],
    ] as const) {
      const one = client(tls).write(frame('hello'));
      assert.equal((await one.read()).toString(), 'hello');
      assert.equal(server.subjects.at(-1), subject);
    }
  });

  it('says what is no TLS, and what takes too long', async () => {
    server = await new Server().start(material());
    const clear = client(null).write(frame('hello'));
    await clear.closed;
    await waitUntil(() => server.closes.length === 1);
    assert.equal(server.closes[0]![0], 'TLS failed');
    assert.match(server.failures[0]!, /wrong version number|packet length|http request/);
    const gone = client(null);
    await new Promise((resolve) => gone.socket.once('connect', resolve));
    gone.socket.end();
    await waitUntil(() => server.closes.length === 2);
    assert.equal(server.closes[1]![0], 'closed by peer');
    await server.end();
    // Those above may take longer on a slow machine.
    server = await new Server({ handshakeMs: 200 }).start(material());
    const silent = client(null);
    await silent.closed;
    await waitUntil(() => server.closes.length === 1);
    assert.equal(server.closes[0]![0], 'TLS failed');
    assert.match(server.failures[0]!, /longer than 200 ms/);
  });

  it('ends with its peer, wherever that is', async () => {
    server = await new Server().start(material());
    const one = client().write(frame('hello'));
    await one.read();
    one.write(frame('x'.repeat(100_000)).subarray(0, 50_000));
    await waitUntil(() => server.net.stats().receivedBytes > 50_000);
    one.socket.end();
    await server.nextClose();
    assert.deepEqual(server.closes, [['truncated frame', 50_000]]);
    const other = client().write(frame('hello'));
    await other.read();
    other.socket.destroy();
    await server.nextClose();
    assert.ok(['closed by peer', 'reset'].includes(server.closes[1]![0]));
  });

  it('shows another certificate to connections that come when there is one', async () => {
    server = await new Server().start(material());
    const before = client().write(frame('a'));
    await before.read();
    const renewed = issue(authority, { name: 'renewed', addresses: ['127.0.0.1'] });
    server.net.setTls(server.listener, material({ certificates: [renewed.pem], key: renewed.keyPem }));
    const after = client().write(frame('b'));
    await after.read();
    assert.equal((await before.write(frame('c')).read()).toString(), 'c');
    const nameOf = (one: Client) => (one.socket as TLSSocket).getPeerCertificate().subject.CN;
    assert.deepEqual([nameOf(before), nameOf(after)], ['gateway', 'renewed']);
    assert.throws(
      () => server.net.setTls(server.listener, material({ key: renewed.keyPem })),
      /the key cannot be used: .*mismatch/,
    );
    assert.throws(
      () => server.net.setTls(server.listener, material({ certificates: ['x'] })),
      /a certificate cannot be used/,
    );
    assert.equal((await client().write(frame('d')).read()).toString(), 'd');
  });

  it('serves many at once, some of whom leave in the middle', async () => {
    server = await new Server({ threads: 2 }).start(material());
    const body = Buffer.alloc(300_000, 'many');
    const all = Array.from({ length: 30 }, async (_, i) => {
      const one = client().write(frame(body));
      if (i % 3 === 0) {
        await pause(i);
        one.socket.destroy();
        return;
      }
      for (let round = 0; round < 5; round++) {
        assert.ok((await one.read()).equals(body));
        one.write(frame(body));
      }
    });
    await Promise.all(all);
  });
});
