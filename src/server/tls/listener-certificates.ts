import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import type { ListenerTlsConfig } from '../../config/listener-tls.ts';
import type { NetTls } from '../../native/net.ts';
import { certificatesIn, privateKeysIn } from '../../util/pem.ts';
import {
  type PemFile,
  parseCertificate,
  readPemFile,
  stampOfFiles,
  subjectLine,
} from '../../util/pem-files.ts';
import type { ReadCertificates } from '../../util/renewed-certificates.ts';

/** What the files held when they were read. */
export interface ListenerCertificates extends ReadCertificates {
  readonly material: NetTls;
  /** Of the gateway's own certificate, in one line. */
  readonly subject: string;
  readonly validFromMs: number;
}

const keystoreFile = (file: string): PemFile => ({ file, setting: 'ssl.keystore.location' });
const truststoreFile = (file: string): PemFile => ({ file, setting: 'ssl.truststore.location' });

/** Changes when one of the files does; rejects when one is not there. */
export function stampOf({ keystore, truststore }: ListenerTlsConfig): Promise<string> {
  return stampOfFiles([
    ...('chain' in keystore ? [] : keystore.map(keystoreFile)),
    ...(truststore !== null && 'file' in truststore ? [truststoreFile(truststore.file)] : []),
  ]);
}

/** Which listeners it is of, for people. */
export function ofListeners({ listeners }: ListenerTlsConfig): string {
  return `${listeners.length === 1 ? 'listener' : 'listeners'} ${listeners.join(', ')}`;
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
  const own = parseCertificate(certificates[0]!, where);
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
    subject: subjectLine(own),
    validFromMs: Date.parse(own.validFrom),
    expiresMs: Math.min(...all.map(({ validTo }) => Date.parse(validTo))),
    authorities: authorities.map(({ certificate }) => subjectLine(certificate)),
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
  const texts = await Promise.all(keystore.map((file) => readPemFile(keystoreFile(file))));
  return { where: `ssl.keystore.location=${keystore.join()}`, text: texts.join('\n') };
}

async function authoritiesOf(
  truststore: ListenerTlsConfig['truststore'],
): Promise<{ pem: string; certificate: X509Certificate }[]> {
  if (truststore === null) return [];
  const isFile = 'file' in truststore;
  const where = isFile ? `ssl.truststore.location=${truststore.file}` : 'ssl.truststore.certificates';
  const text = isFile ? await readPemFile(truststoreFile(truststore.file)) : truststore.certificates;
  const found = certificatesIn(text).map((pem) => ({ pem, certificate: parseCertificate(pem, where) }));
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
