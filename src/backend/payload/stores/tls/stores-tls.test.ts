import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { arenaStats } from '../../../../native/arena.ts';
import { inspectFabric, PLAIN_TCP, TLS_TCP } from '../../../../native/fabric.ts';
import { Store } from '../../../../native/store.ts';
import { type Logger, silentLogger } from '../../../../util/logger.ts';
import { issue, makeAuthority, writeKeystore } from '../../../../util/testing/certificates.ts';
import { VirtualClock } from '../../../../util/testing/virtual-clock.ts';
import { StoreDirectory } from '../process/store-directory.ts';
import type { StoreServer } from '../process/store-server.ts';
import { type ConnectionOptions, StoreConnection } from '../store-connection.ts';
import { connectionTo, fabricOf, movesBytes, PLAIN, startServer } from '../testing.ts';
import type { StoresTlsSettings } from './settings.ts';
import { StoresTls } from './stores-tls.ts';
import { storeWays } from './ways.ts';

const DAY_MS = 86_400_000;
/** Many pieces of the transport, and not all whole. */
const LENGTH = 3_000_001;
const STORE = { name: 'a store', hosts: ['store.example'], addresses: ['127.0.0.1'] };

describe('TLS between gateways and stores', () => {
  const root = mkdtempSync(join(tmpdir(), 'stores-tls-'));
  const authority = makeAuthority('our CA');
  const truststore = join(root, 'ca.pem');
  writeFileSync(truststore, authority.pem);
  const storeKeystore = writeKeystore(join(root, 'store.pem'), authority, STORE);
  const gatewayKeystore = writeKeystore(join(root, 'gateway.pem'), authority, { name: 'gateway 1' });
  const warnings: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (fields) => warnings.push(JSON.stringify(fields)),
    child: () => logger,
  };
  let native: Store;
  let directory: StoreDirectory;
  const servers: StoreServer[] = [];
  const open: (StoreConnection | Socket)[] = [];

  function tlsOf(keystore: string | string[], changes: Partial<StoresTlsSettings> = {}): StoresTls {
    return new StoresTls(
      {
        keystore: [keystore].flat(),
        keyPassword: '',
        truststore,
        clientAuth: 'required',
        checkHost: true,
        allowedNames: [],
        allowsUnencryptedPayload: false,
        ...changes,
      },
      logger,
    );
  }

  async function startStore(tls: StoresTls | null, secret = ''): Promise<StoreServer> {
    const more = { zone: 'z', heartbeatMs: 10_000, fabric: fabricOf(''), logger };
    const server = await startServer(directory, { secret, tls, ...more });
    servers.push(server);
    return server;
  }

  function options(
    port: number,
    tls: StoresTls | null,
    changes: Partial<ConnectionOptions> = {},
  ): ConnectionOptions {
    const way = { ...PLAIN, provider: tls ? TLS_TCP : PLAIN_TCP };
    return connectionTo(port, { secret: '', tls, ...changes }, way);
  }

  async function connected(...args: Parameters<typeof options>): Promise<StoreConnection> {
    const connection = await StoreConnection.open(options(...args));
    open.push(connection);
    return connection;
  }

  async function warned(pattern: RegExp): Promise<void> {
    while (!warnings.some((warning) => pattern.test(warning))) await setTimeout(10);
  }

  before(async () => {
    native = new Store({ threads: 1 });
    directory = await StoreDirectory.open(join(root, 'store'), native, async () => undefined, {
      clock: new VirtualClock(),
      logger: silentLogger,
    });
  });

  afterEach(async () => {
    for (const one of open.splice(0)) {
      if (one instanceof StoreConnection) {
        one.end('the test has ended');
        await one.closed;
      } else one.destroy();
    }
    for (const server of servers.splice(0)) await server.stop();
    warnings.length = 0;
  });

  after(async () => {
    await directory.close();
    await native.shutdown();
    rmSync(root, { recursive: true });
    assert.equal(arenaStats().usedBytes, 0);
  });

  it('lets in who has a certificate, and encrypts payload', async () => {
    const server = await startStore(tlsOf(storeKeystore));
    const connection = await connected(server.port, tlsOf(gatewayKeystore));
    assert.equal(connection.provider, TLS_TCP);
    assert.deepEqual(server.attached, new Map([[TLS_TCP, 1]]));
    await movesBytes(connection, { length: LENGTH });
  });

  it('asks for the secret too where both have one', async () => {
    const secret = 'a secret for tests only';
    const server = await startStore(tlsOf(storeKeystore, { clientAuth: 'none' }), secret);
    await movesBytes(await connected(server.port, tlsOf([]), { secret }), { length: LENGTH });
    await assert.rejects(
      connected(server.port, tlsOf([])),
      /the store refuses: payload\.stores\.secret is not/,
    );
  });

  it('refuses gateways without a certificate, or with one that does not hold, and tells them why', async () => {
    const server = await startStore(tlsOf(storeKeystore, { allowedNames: ['gateway 1', 'gateway 2'] }));
    const other = makeAuthority('their CA');
    const expired = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
    const keystore = (name: string, by = authority, dates = {}) =>
      writeKeystore(join(root, 'other.pem'), by, { name, ...dates });
    const cases: [() => string[], RegExp][] = [
      [() => [], /the gateway shows no certificate: set payload\.stores\.ssl\.keystore\.location there/],
      [
        () => [keystore('gateway 1', other)],
        /of no CA that is trusted here .*payload\.stores\.ssl\.truststore/,
      ],
      [() => [keystore('gateway 1', authority, expired)], /the gateway's certificate has expired.*renew/],
      [
        () => [keystore('gateway 1', authority, { notBefore: new Date(Date.now() + DAY_MS) })],
        /the gateway's certificate is not valid yet: correct the clocks/,
      ],
      [
        () => [keystore('gateway 3')],
        /is for gateway 3, none of payload\.stores\.ssl\.allowed\.names of this store/,
      ],
    ];
    for (const [i, [files, reason]] of cases.entries()) {
      await assert.rejects(connected(server.port, tlsOf(files())), (error: Error) => {
        assert.match(error.message, /^the store refuses: /);
        assert.match(error.message, reason);
        return true;
      });
      assert.equal(server.refused, i + 1);
    }
    await connected(server.port, tlsOf(keystore('gateway 2')));
  });

  it('does not take other stores for ours', async () => {
    const other = makeAuthority('their CA');
    const expired = { notBefore: new Date(Date.now() - 9 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
    const cases: [string, RegExp][] = [
      [
        writeKeystore(join(root, 's1.pem'), other, STORE),
        /the store's certificate is of no CA that is trusted here/,
      ],
      [
        writeKeystore(join(root, 's2.pem'), authority, { ...STORE, ...expired }),
        /the store's certificate has expired/,
      ],
      [
        writeKeystore(join(root, 's3.pem'), authority, { ...STORE, addresses: ['127.0.0.2'] }),
        /is for store\.example, 127\.0\.0\.2, a store, not for 127\.0\.0\.1: give it one that names 127\.0\.0\.1/,
      ],
    ];
    for (const [keystore, reason] of cases) {
      const server = await startStore(tlsOf(keystore));
      const tls = tlsOf(gatewayKeystore);
      await assert.rejects(connected(server.port, tls), reason);
      assert.equal(tls.failures, 1);
    }
    const misnamed = await startStore(tlsOf(cases[2]![0]));
    await connected(misnamed.port, tlsOf(gatewayKeystore, { allowedNames: ['a store'] }));
    await connected(misnamed.port, tlsOf(gatewayKeystore, { checkHost: false }));
    await assert.rejects(connected(9, tlsOf(gatewayKeystore)), /ECONNREFUSED/);
    await assert.rejects(
      connected(misnamed.port, tlsOf(gatewayKeystore, { checkHost: false, allowedNames: ['b'] })),
      /none of payload\.stores\.ssl\.allowed\.names/,
    );
  });

  it('takes certificates that were renewed on disk, and keeps those before while they are not whole', async () => {
    const keystore = writeKeystore(join(root, 'renewed.pem'), authority, {
      ...STORE,
      notBefore: new Date(Date.now() - 9 * DAY_MS),
      notAfter: new Date(Date.now() - DAY_MS),
    });
    const tls = tlsOf(keystore);
    const server = await startStore(tls);
    assert.match(warnings.join(), /CN=a store/);
    const gateway = tlsOf(gatewayKeystore);
    await assert.rejects(connected(server.port, gateway), /has expired/);
    writeKeystore(keystore, authority, STORE);
    await connected(server.port, gateway);
    assert.equal(tls.reloads, 1);
    assert.ok(tls.expiresMs > Date.now() + 80 * DAY_MS);
    // The key of another certificate: half of what is to come.
    writeFileSync(keystore, issue(authority, STORE).pem + issue(authority, STORE).keyPem);
    await connected(server.port, gateway);
    assert.match(tls.trouble!, /the key is not the one of the first certificate/);
    writeKeystore(keystore, authority, STORE);
    await connected(server.port, gateway);
    assert.equal(tls.trouble, null);
    assert.equal(tls.reloads, 2);
  });

  it('says what to set where only one end speaks TLS', async () => {
    const plain = await startStore(null, 'a secret for tests only');
    await assert.rejects(
      connected(plain.port, tlsOf(gatewayKeystore)),
      /the store does not speak TLS: set payload\.stores\.security\.protocol=SSL there, or PLAINTEXT here/,
    );
    await warned(/it begins TLS, which is not spoken here/);
    const encrypted = await startStore(tlsOf(storeKeystore));
    const clock = new VirtualClock();
    const waiting = connected(encrypted.port, null, { clock });
    waiting.catch(() => undefined);
    const socket = connect(encrypted.port, '127.0.0.1');
    open.push(socket);
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(Buffer.from('\0\0\0\x02{}'));
    await closed;
    await warned(/the gateway does not speak TLS: set payload\.stores\.security\.protocol=SSL/);
    await clock.advance(10_000);
    await assert.rejects(waiting, /if it speaks TLS, set payload\.stores\.security\.protocol=SSL here/);
  });

  it('refuses who shows no certificate, whoever it is', async () => {
    const server = await startStore(tlsOf(storeKeystore));
    const silent = connectTls({
      port: server.port,
      host: '127.0.0.1',
      ca: authority.pem,
      rejectUnauthorized: false,
    });
    silent.on('error', () => undefined).resume();
    open.push(silent);
    await new Promise((resolve) => silent.once('close', resolve));
    assert.equal(server.refused, 1);
  });

  it('says which file cannot be used, and why', async () => {
    const { pem, keyPem, key } = issue(authority, STORE);
    const file = join(root, 'bad.pem');
    const cases: [string, Partial<StoresTlsSettings>, RegExp][] = [
      [pem, {}, /keystore\.location=.*bad\.pem holds 1 certificates and 0 private keys in PEM/],
      [keyPem, {}, /holds 0 certificates and 1 private keys/],
      [pem + issue(authority, STORE).keyPem, {}, /the key is not the one of the first certificate/],
      [
        pem + key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'right' }),
        { keyPassword: 'wrong' },
        /payload\.stores\.ssl\.key\.password does not open it/,
      ],
      [
        pem + keyPem,
        { truststore: join(root, 'none') },
        /truststore\.location=.*none cannot be read: ENOENT/,
      ],
      [pem + keyPem, { truststore: join(root, 'store.pem.key') }, /cannot be read/],
    ];
    for (const [content, changes, reason] of cases) {
      writeFileSync(file, content);
      await assert.rejects(tlsOf(file, changes).refresh(), reason);
    }
    const separate = join(root, 'key.pem');
    writeFileSync(file, pem);
    writeFileSync(
      separate,
      key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'right' }),
    );
    const tls = tlsOf([file, separate], { keyPassword: 'right' });
    await tls.refresh();
    assert.deepEqual(tls.certificate?.names, ['store.example', '127.0.0.1', 'a store']);
    assert.deepEqual(tls.authorities, ['CN=our CA']);
  });

  it('lets payload go unencrypted only where that is allowed', async () => {
    const report = await inspectFabric('');
    const all = {
      ...report,
      providers: [
        {
          ...{ provider: 'verbs;ofi_rxm', domain: 'mlx5_0', network: 'ib', device: '', bitsPerSecond: 0 },
          ...{ memoryModes: '', against: '' },
        },
      ],
    };
    const names = (provider: string, tls: StoresTls | null) =>
      storeWays(all, { provider, domain: '' }, tls).map((way) => way.provider);
    const strict = tlsOf(storeKeystore);
    const allowing = tlsOf(storeKeystore, { allowsUnencryptedPayload: true });
    assert.deepEqual(names('', null), ['verbs;ofi_rxm', PLAIN_TCP]);
    assert.deepEqual(names('', strict), [TLS_TCP]);
    assert.deepEqual(names('', allowing), ['verbs;ofi_rxm', TLS_TCP]);
    assert.deepEqual(names('verbs;ofi_rxm', allowing), ['verbs;ofi_rxm']);
    assert.deepEqual(names(PLAIN_TCP, allowing), [PLAIN_TCP]);
    assert.deepEqual(names(TLS_TCP, strict), [TLS_TCP]);
    for (const provider of ['verbs;ofi_rxm', PLAIN_TCP])
      assert.throws(
        () => names(provider, strict),
        /does not encrypt payload.*payload\.stores\.unencrypted\.payload\.enable=true/,
      );
    assert.throws(() => names(TLS_TCP, null), /needs payload\.stores\.security\.protocol=SSL/);
  });

  it('outlives connections that are reset before TLS begins on them', async () => {
    const tls = tlsOf(storeKeystore);
    const server = await startStore(tls);
    const refresh = tls.refresh.bind(tls);
    tls.refresh = () => setTimeout(50).then(refresh);
    const socket = connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    await setTimeout(10);
    socket.resetAndDestroy();
    await setTimeout(100);
    await connected(server.port, tlsOf(gatewayKeystore));
  });

  it('stops without waiting for connections on which TLS has not begun', async () => {
    const server = await startStore(tlsOf(storeKeystore));
    const socket = connect(server.port, '127.0.0.1');
    open.push(socket);
    await once(socket, 'connect');
    await setTimeout(50);
    const stopped = server.stop().then(() => true);
    assert.equal(await Promise.race([stopped, setTimeout(2000, false)]), true);
  });
});
