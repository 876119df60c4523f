import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';

/** Who issues certificates, and what a chain of them ends with. */
export interface Authority {
  readonly name: string;
  readonly pem: string;
  readonly key: KeyObject;
}

export interface CertificateWish {
  /** The common name. */
  readonly name: string;
  /** Of hosts; addresses in IPv4. */
  readonly hosts?: readonly string[];
  readonly addresses?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

export interface IssuedCertificate {
  readonly pem: string;
  readonly keyPem: string;
  readonly key: KeyObject;
}

const DAY_MS = 86_400_000;

/** One element of DER: a tag, a length, what it holds. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  const digits = Buffer.from(length.toString(16).padStart(length < 0x100 ? 2 : 4, '0'), 'hex');
  return Buffer.concat([Buffer.of(tag, 0x80 | digits.length), digits, content]);
}

const sequence = (...parts: readonly Buffer[]) => der(0x30, ...parts);
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const COMMON_NAME = oid('550403');
const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'));
const ALTERNATIVE_NAMES = oid('551d11');
const BASIC_CONSTRAINTS = oid('551d13');
const TRUE = Buffer.of(0x01, 0x01, 0xff);

const nameOf = (name: string) => sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(name)))));

/** GeneralizedTime, to the second. */
const timeOf = (date: Date) =>
  der(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));

const extension = (id: Buffer, critical: boolean, value: Buffer) =>
  sequence(id, ...(critical ? [TRUE] : []), der(0x04, value));

const pemOf = (content: Buffer) =>
  `-----BEGIN CERTIFICATE-----\n${content.toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;

let serial = 1;

function certificateOf(
  { name, hosts = [], addresses = [], notBefore, notAfter }: CertificateWish,
  publicKey: KeyObject,
  issuer: { name: string; key: KeyObject },
  isAuthority: boolean,
): string {
  const now = Date.now();
  const names = [
    ...hosts.map((host) => der(0x82, Buffer.from(host))),
    ...addresses.map((address) => der(0x87, Buffer.from(address.split('.').map(Number)))),
  ];
  const extensions = [
    extension(BASIC_CONSTRAINTS, true, sequence(...(isAuthority ? [TRUE] : []))),
    ...(names.length > 0 ? [extension(ALTERNATIVE_NAMES, false, sequence(...names))] : []),
  ];
  const content = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1, serial++ & 0x7f)),
    ECDSA_SHA256,
    nameOf(issuer.name),
    sequence(timeOf(notBefore ?? new Date(now - DAY_MS)), timeOf(notAfter ?? new Date(now + 90 * DAY_MS))),
    nameOf(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', content, issuer.key);
  return pemOf(sequence(content, ECDSA_SHA256, der(0x03, Buffer.of(0), signature)));
}

const newKey = () => generateKeyPairSync('ec', { namedCurve: 'prime256v1' });

/** A certificate authority for tests. */
export function makeAuthority(name: string): Authority {
  const { publicKey, privateKey } = newKey();
  return { name, key: privateKey, pem: certificateOf({ name }, publicKey, { name, key: privateKey }, true) };
}

/** A certificate that the authority issues, and its key. */
export function issue(authority: Authority, wish: CertificateWish): IssuedCertificate {
  const { publicKey, privateKey } = newKey();
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  return { key: privateKey, keyPem, pem: certificateOf(wish, publicKey, authority, false) };
}

/** Issues one, and writes it and its key to a file as a keystore; the file's path. */
export function writeKeystore(file: string, authority: Authority, wish: CertificateWish): string {
  const { pem, keyPem } = issue(authority, wish);
  writeFileSync(file, pem + keyPem);
  return file;
}
