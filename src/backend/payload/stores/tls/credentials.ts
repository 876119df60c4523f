import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { certificatesIn, privateKeysIn } from '../../../../util/pem.ts';
import { PREFIX, type StoresTlsSettings } from './settings.ts';

/** Far more than chains and lists of CAs take. */
const MAX_FILE_BYTES = 4 << 20;

/** This end's certificate. */
export interface OwnCertificate {
  readonly subject: string;
  readonly names: readonly string[];
  readonly validFromMs: number;
  readonly expiresMs: number;
}

/** What the files held when they were read. */
export interface Credentials {
  readonly context: SecureContext;
  /** For servers, which make the context themselves. */
  readonly options: SecureContextOptions;
  /** Null when this end has none. */
  readonly certificate: OwnCertificate | null;
  /** Subjects of the CAs, and when the first of them expires; Infinity without any. */
  readonly authorities: readonly string[];
  readonly authorityExpiresMs: number;
}

/** Changes when one of the files does; rejects when one is not there. */
export async function stampOf({ keystore, truststore }: StoresTlsSettings): Promise<string> {
  const files = [...keystore, ...(truststore === '' ? [] : [truststore])];
  const stats = await Promise.all(
    files.map((file) =>
      stat(file).catch((error: Error) => {
        throw new Error(`${whereOf(file, truststore)} cannot be read: ${error.message}`);
      }),
    ),
  );
  return stats.map(({ ino, size, mtimeMs, ctimeMs }) => [ino, size, mtimeMs, ctimeMs].join()).join(';');
}

/** Rejects with an Error for people, which names the setting, when the files do not hold what they should. */
export async function readCredentials(settings: StoresTlsSettings): Promise<Credentials> {
  const { keystore, truststore, keyPassword } = settings;
  const stores = await Promise.all(keystore.map((file) => read(file, `${PREFIX}.keystore.location`)));
  const trusted = truststore === '' ? '' : await read(truststore, `${PREFIX}.truststore.location`);
  const chain = stores.flatMap(certificatesIn);
  const keys = stores.flatMap(privateKeysIn);
  const authorities = certificatesIn(trusted);
  if (truststore !== '' && authorities.length === 0)
    throw new Error(`${PREFIX}.truststore.location=${truststore} holds no certificate in PEM`);
  if (keystore.length > 0 && (chain.length === 0 || keys.length !== 1))
    throw new Error(
      `${PREFIX}.keystore.location=${keystore.join()} holds ${chain.length} certificates and ${keys.length} private keys in PEM: a certificate (with its chain behind it) and one key are needed`,
    );
  const options: SecureContextOptions = {
    // Without a truststore nobody is asked for a certificate; the system's CAs are never meant.
    ca: authorities,
    minVersion: 'TLSv1.3',
    ...(chain.length > 0 && { cert: chain.join('\n'), key: keys[0]! }),
    ...(keyPassword !== '' && { passphrase: keyPassword }),
  };
  const roots = authorities.map((text) => parsed(text, `${PREFIX}.truststore.location`));
  const own = chain.length === 0 ? null : parsed(chain[0]!, `${PREFIX}.keystore.location`);
  return {
    context: contextOf(options, keystore),
    options,
    certificate: own && {
      subject: lineOf(own.subject),
      names: namesOf(own),
      validFromMs: Date.parse(own.validFrom),
      expiresMs: Date.parse(own.validTo),
    },
    authorities: roots.map(({ subject }) => lineOf(subject)),
    authorityExpiresMs: Math.min(
      Number.POSITIVE_INFINITY,
      ...roots.map(({ validTo }) => Date.parse(validTo)),
    ),
  };
}

/** The names that a certificate is for: of hosts and addresses, and its common name. */
export function namesOf(certificate: X509Certificate): string[] {
  const alternatives = (certificate.subjectAltName ?? '').split(', ').flatMap((entry) => {
    const [, name] = /^(?:DNS|IP Address):(.+)$/.exec(entry) ?? [];
    return name === undefined ? [] : [name];
  });
  const common = certificate.subject.split('\n').filter((line) => line.startsWith('CN='));
  return [...new Set([...alternatives, ...common.map((line) => line.slice(3))])];
}

function contextOf(options: SecureContextOptions, keystore: readonly string[]): SecureContext {
  try {
    return createSecureContext(options);
  } catch (error) {
    const { message } = error as Error;
    const advice = /mismatch/.test(message)
      ? 'the key is not the one of the first certificate'
      : /bad decrypt|password|interrupted or cancelled|passphrase/i.test(message)
        ? `the key is encrypted, and ${PREFIX}.key.password does not open it`
        : message;
    throw new Error(`${PREFIX}.keystore.location=${keystore.join()} cannot be used: ${advice}`);
  }
}

function parsed(pem: string, setting: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new Error(`${setting} holds what is no certificate: ${(error as Error).message}`);
  }
}

const lineOf = (subject: string) => subject.split('\n').join(', ');

const whereOf = (file: string, truststore: string) =>
  `${PREFIX}.${file === truststore ? 'truststore' : 'keystore'}.location=${file}`;

async function read(file: string, setting: string): Promise<string> {
  const { size } = await stat(file);
  if (size > MAX_FILE_BYTES)
    throw new Error(`${setting}=${file} is ${size} bytes, too large to be certificates`);
  return await readFile(file, 'utf8');
}
