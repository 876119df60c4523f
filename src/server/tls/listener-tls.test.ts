import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { ListenerTlsConfig } from '../../config/listener-tls.ts';
import type { NetTls } from '../../native/net.ts';
import { type Logger, silentLogger } from '../../util/logger.ts';
import { issue, makeAuthority, writeKeystore } from '../../util/testing/certificates.ts';
import { VirtualClock } from '../../util/testing/virtual-clock.ts';
import { checkListenerCertificates } from '../doctor/listener-certificates.ts';
import { readCertificates } from './listener-certificates.ts';
import { ListenerTls, LOOK_MS } from './listener-tls.ts';

const DAY_MS = 86_400_000;

describe('certificates of listeners', () => {
  const root = mkdtempSync(join(tmpdir(), 'listener-tls-'));
  const authority = makeAuthority('our CA');
  const truststore = { file: join(root, 'ca.pem') };
  writeFileSync(truststore.file, authority.pem);
  const file = join(root, 'gateway.pem');
  const write = (name: string, dates = {}) => writeKeystore(file, authority, { name, ...dates });

  const configOf = (changes: Partial<ListenerTlsConfig> = {}): ListenerTlsConfig => ({
    ...{ listeners: ['SSL'], keystore: [file], keyPassword: '', truststore },
    ...{ clientAuth: 'required', allowsVersion12: true },
    ...changes,
  });

  beforeEach(() => {
    write('gateway');
  });
  after(() => rmSync(root, { recursive: true }));

  it('are read from files, one or several, and from values that have lost their line ends', async () => {
    const { pem, keyPem } = issue(authority, { name: 'in parts' });
    const [chain, key] = [join(root, 'tls.crt'), join(root, 'tls.key')];
    writeFileSync(chain, pem + authority.pem);
    writeFileSync(key, keyPem);
    const flat = (text: string) => text.replaceAll('\n', ' ');
    const inline = { chain: flat(pem + authority.pem), key: flat(keyPem) };
    const certificates = flat(authority.pem);
    for (const config of [
      configOf({ keystore: [chain, key] }),
      configOf({ keystore: inline, truststore: { certificates } }),
    ]) {
      const { material, subject, authorities } = await readCertificates(config);
      assert.deepEqual(material.certificates, [pem, authority.pem]);
      assert.equal(material.key, keyPem);
      assert.deepEqual(material.authorities, [authority.pem]);
      assert.deepEqual([subject, authorities], ['CN=in parts', ['CN=our CA']]);
    }
  });

  it('have keys that may be encrypted', async () => {
    const { pem, key, keyPem } = issue(authority, { name: 'encrypted' });
    const cipher = { format: 'pem', cipher: 'aes-256-cbc', passphrase: 'right' } as const;
    // As PKCS #8, and in OpenSSL's old way, with headers.
    for (const encrypted of [
      key.export({ type: 'pkcs8', ...cipher }),
      key.export({ type: 'sec1', ...cipher }),
    ]) {
      const keystore = { chain: pem, key: encrypted as string };
      const { material } = await readCertificates(configOf({ keystore, keyPassword: 'right' }));
      assert.equal(material.key, keyPem);
      for (const keyPassword of ['', 'wrong'])
        await assert.rejects(
          readCertificates(configOf({ keystore, keyPassword })),
          /the key is encrypted, and ssl\.key\.password does not open it/,
        );
    }
  });

  it('are refused, and why, where they are not what they should be', async () => {
    const { pem } = issue(authority, { name: 'a' });
    const { keyPem } = issue(authority, { name: 'b' });
    const broken = pem.replace('MII', 'AAA');
    for (const [changes, message] of [
      [{ keystore: { chain: pem, key: keyPem } }, /the key is not the one of the first certificate/],
      [{ keystore: { chain: pem, key: pem } }, /holds 2 certificates and 0 private keys/],
      [{ keystore: { chain: broken, key: keyPem } }, /holds what is no certificate/],
      [{ keystore: [join(root, 'nowhere')] }, /ssl\.keystore\.location=.*nowhere cannot be read/],
      [{ truststore: { certificates: keyPem } }, /ssl\.truststore\.certificates holds no certificate/],
    ] as const)
      await assert.rejects(readCertificates(configOf(changes)), message);
  });

  it('are read again when they have changed, and used when they are whole', async () => {
    const clock = new VirtualClock();
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (fields) => warnings.push(JSON.stringify(fields)) };
    const tls = await ListenerTls.open(configOf(), clock, logger);
    const used: NetTls[] = [];
    tls.onRenewed((material) => used.push(material));
    const first = tls.material;
    const looked = async () => {
      clock.tick(LOOK_MS);
      await tls.look();
    };
    await looked();
    assert.equal(tls.material, first);
    writeFileSync(file, issue(authority, { name: 'without key' }).pem);
    await looked();
    assert.equal(tls.material, first);
    assert.match(tls.trouble!, /1 certificates and 0 private keys/);
    write('renewed');
    await looked();
    assert.notEqual(tls.material, first);
    assert.deepEqual(used, [tls.material]);
    assert.deepEqual([tls.trouble, tls.reloads, warnings.length], [null, 1, 1]);
    tls.close();
  });

  it('are looked at no more when the listeners are closed while they are', async () => {
    const clock = new VirtualClock();
    const tls = await ListenerTls.open(configOf(), clock, silentLogger);
    clock.tick(LOOK_MS);
    tls.close();
    await tls.look();
    await turn();
    assert.equal(clock.pending, 0);
  });

  it('are examined', async () => {
    const now = Date.now();
    const statusOf = async (changes: Partial<ListenerTlsConfig> = {}) => {
      const { status, text } = await checkListenerCertificates(configOf(changes), now);
      return `${status}: ${text}`;
    };
    assert.match(
      await statusOf(),
      /^ok: listener SSL: TLS with certificate CN=gateway, clients’ are required, of CN=our CA, good until/,
    );
    write('soon', { notAfter: new Date(now + DAY_MS) });
    assert.match(await statusOf(), /^note: .*CN=soon.*that is soon/);
    write('over', { notAfter: new Date(now - DAY_MS), notBefore: new Date(now - 2 * DAY_MS) });
    assert.match(await statusOf(), /^problem: .*that is over/);
    write('early', { notBefore: new Date(now + DAY_MS) });
    assert.match(await statusOf(), /^problem: .*not yet valid/);
    assert.match(await statusOf({ keystore: [join(root, 'nowhere')] }), /^problem: .*cannot be read/);
  });
});
