import type { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { certificatesIn, privateKeysIn } from '../../../../util/pem.ts';
import {
  type PemFile,
  parseCertificate,
  readPemFile,
  stampOfFiles,
  subjectLine,
} from '../../../../util/pem-files.ts';
import type { ReadCertificates } from '../../../../util/renewed-certificates.ts';
import { PREFIX, type StoresTlsSettings } from './settings.ts';

/** This end's certificate. */
export interface OwnCertificate {
  readonly subject: string;
  readonly names: readonly string[];
  readonly validFromMs: number;
  readonly expiresMs: number;
}

/** What the files held when they were read. */
export interface Credentials extends ReadCertificates {
  readonly context: SecureContext;
  /** For servers, which make the context themselves. */
  readonly options: SecureContextOptions;
  /** Null when this end has none. */
  readonly certificate: OwnCertificate | null;
}

const keystoreFile = (file: string): PemFile => ({ file, setting: `${PREFIX}.keystore.location` });
const truststoreFile = (file: string): PemFile => ({ file, setting: `${PREFIX}.truststore.location` });

/** Changes when one of the files does; rejects when one is not there. */
export function stampOf({ keystore, truststore }: StoresTlsSettings): Promise<string> {
  return stampOfFiles([
    ...keystore.map(keystoreFile),
    ...(truststore === '' ? [] : [truststoreFile(truststore)]),
  ]);
}

/** Rejects with an Error for people, which names the setting, when the files do not hold what they should. */
export async function readCredentials(settings: StoresTlsSettings): Promise<Credentials> {
  const { keystore, truststore, keyPassword } = settings;
  const stores = await Promise.all(keystore.map((file) => readPemFile(keystoreFile(file))));
  const trusted = truststore === '' ? '' : await readPemFile(truststoreFile(truststore));
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
  const roots = authorities.map((text) => parseCertificate(text, `${PREFIX}.truststore.location`));
  const own = chain.length === 0 ? null : parseCertificate(chain[0]!, `${PREFIX}.keystore.location`);
  return {
    context: contextOf(options, keystore),
    options,
    subject: own && subjectLine(own),
    certificate: own && {
      subject: subjectLine(own),
      names: namesOf(own),
      validFromMs: Date.parse(own.validFrom),
      expiresMs: Date.parse(own.validTo),
    },
    authorities: roots.map(subjectLine),
    expiresMs: Math.min(
      Number.POSITIVE_INFINITY,
      ...[...roots, ...(own === null ? [] : [own])].map(({ validTo }) => Date.parse(validTo)),
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
