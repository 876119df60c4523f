import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { ListenerTlsConfig } from '../../config/listener-tls.ts';
import type { NetTls } from '../../native/net.ts';
import { certificatesIn, privateKeysIn } from '../../util/pem.ts';

/** Far more than chains and lists of CAs take. */
const MAX_FILE_BYTES = 4 << 20;

/** What the files held when they were read. */
export interface ListenerCertificates {
  readonly material: NetTls;
  /** Of the gateway's own certificate, in one line. */
  readonly subject: string;
  readonly validFromMs: number;
  /** When the first of its own certificate and the CAs' expires. */
  readonly expiresMs: number;
  /** Subjects of the CAs. */
  readonly authorities: readonly string[];
}

/** Changes when one of the files does; rejects when one is not there. */
export async function stampOf({ keystore, truststore }: ListenerTlsConfig): Promise<string> {
  const files = [
    ...('chain' in keystore ? [] : keystore.map((file) => [file, 'ssl.keystore.location'] as const)),
    ...(truststore !== null && 'file' in truststore
      ? [[truststore.file, 'ssl.truststore.location'] as const]
      : []),
  ];
  const stats = await Promise.all(
    files.map(([file, setting]) =>
      stat(file).catch((error: Error) => {
        throw new Error(`${setting}=${file} cannot be read: ${error.message}`);
      }),
    ),
  );
  return stats.map(({ ino, size, mtimeMs, ctimeMs }) => [ino, size, mtimeMs, ctimeMs].join()).join(';');
}

/** Rejects with an Error for people, which names the setting, when the files do not hold what they should. */
export async function readCertificates(config: ListenerTlsConfig): Promise<ListenerCertificates> {
  const { keystore, truststore, clientAuth, allowsVersion12 } = config;
  const { where, text } = await keystoreText(keystore);
  const certificates = certificatesIn(text);
  const keys = privateKeysIn(text);
  if (certificates.length === 0 || keys.length !== 1)
    throw new Error(
      `${where} holds ${certificates.length} certificates and ${keys.length} private keys in PEM: a certificate (with its chain behind it) and one key are needed`,
    );
  const own = parsed(certificates[0]!, where);
  const key = openedKey(keys[0]!, config.keyPassword, where);
  if (!own.checkPrivateKey(key)) throw new Error(`${where}: the key is not the one of the first certificate`);
  const authorities = await authoritiesOf(truststore);
  const all = [own, ...authorities.map(({ certificate }) => certificate)];
  return {
    material: {
      certificates,
      key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
      authorities: authorities.map(({ pem }) => pem),
      clientAuth,
      allowsVersion12,
    },
    subject: lineOf(own.subject),
    validFromMs: Date.parse(own.validFrom),
    expiresMs: Math.min(...all.map(({ validTo }) => Date.parse(validTo))),
    authorities: authorities.map(({ certificate }) => lineOf(certificate.subject)),
  };
}

async function keystoreText(
  keystore: ListenerTlsConfig['keystore'],
): Promise<{ where: string; text: string }> {
  if ('chain' in keystore)
    return {
      where: 'ssl.keystore.certificate.chain with ssl.keystore.key',
      text: `${keystore.chain}\n${keystore.key}`,
    };
  const texts = await Promise.all(keystore.map((file) => read(file, 'ssl.keystore.location')));
  return { where: `ssl.keystore.location=${keystore.join()}`, text: texts.join('\n') };
}

async function authoritiesOf(
  truststore: ListenerTlsConfig['truststore'],
): Promise<{ pem: string; certificate: X509Certificate }[]> {
  if (truststore === null) return [];
  const isFile = 'file' in truststore;
  const where = isFile ? `ssl.truststore.location=${truststore.file}` : 'ssl.truststore.certificates';
  const text = isFile ? await read(truststore.file, 'ssl.truststore.location') : truststore.certificates;
  const found = certificatesIn(text).map((pem) => ({ pem, certificate: parsed(pem, where) }));
  if (found.length === 0) throw new Error(`${where} holds no certificate in PEM`);
  return found;
}

function openedKey(pem: string, passphrase: string, where: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, ...(passphrase !== '' && { passphrase }) });
  } catch (error) {
    const isEncrypted = pem.includes('ENCRYPTED');
    throw new Error(
      `${where}: ${isEncrypted ? 'the key is encrypted, and ssl.key.password does not open it' : `the key cannot be used: ${(error as Error).message}`}`,
    );
  }
}

function parsed(pem: string, where: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new Error(`${where} holds what is no certificate: ${(error as Error).message}`);
  }
}

const lineOf = (subject: string) => subject.split('\n').join(', ');

async function read(file: string, setting: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES) throw new Error(`${size} bytes are too large to be certificates`);
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`${setting}=${file} cannot be read: ${(error as Error).message}`);
  }
}
