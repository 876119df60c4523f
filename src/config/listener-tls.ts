import type { BrokerKey, BrokerValues } from './definitions/index.ts';
import { type Listener, speaksTls } from './listeners.ts';
import { splitList } from './value.ts';

/** What `ssl.*` say, of all listeners that speak TLS. */
export interface ListenerTlsConfig {
  /** Files with the certificate, those of the CAs behind it, and the key; or these themselves. */
  readonly keystore: readonly string[] | { readonly chain: string; readonly key: string };
  /** Of the key; empty: it is not encrypted. */
  readonly keyPassword: string;
  /** A file with the certificates of clients' CAs, or these themselves; null: there are none. */
  readonly truststore: { readonly file: string } | { readonly certificates: string } | null;
  readonly clientAuth: 'none' | 'requested' | 'required';
  /** TLS 1.2 is spoken too. */
  readonly allowsVersion12: boolean;
}

type Get = <K extends BrokerKey>(key: K) => BrokerValues[K];
/** Notes what goes wrong as a problem of a key. */
type Attempt = <T>(key: BrokerKey, action: () => T) => T | undefined;

/** Keys of Kafka's that say who is let in, or how: a listener that speaks TLS must not come up without what they ask for. */
const NEEDED =
  /^(ssl\.(cipher\.suites|principal\.mapping\.rules|engine\.factory\.class)|principal\.builder\.class)$/;

/** Null when no listener speaks TLS: then nothing of it is looked at. */
export function resolveListenerTls(
  get: Get,
  attempt: Attempt,
  listeners: readonly Listener[],
): ListenerTlsConfig | null {
  if (!listeners.some(speaksTls)) return null;
  for (const key of ['ssl.keystore.type', 'ssl.truststore.type'] as const)
    attempt(key, () => {
      if (get(key).toUpperCase() !== 'PEM')
        throw new Error(
          'only PEM is read: openssl pkcs12 makes it of a keystore of Java that keytool has converted to PKCS12',
        );
    });
  const keystore = attempt('ssl.keystore.location', () => keystoreOf(get));
  const truststore = attempt('ssl.truststore.location', () => truststoreOf(get));
  const allowsVersion12 = attempt('ssl.enabled.protocols', () => allows12(get('ssl.enabled.protocols')));
  const clientAuth = get('ssl.client.auth') as ListenerTlsConfig['clientAuth'];
  attempt('ssl.client.auth', () => {
    if (clientAuth !== 'none' && truststore === null)
      throw new Error('needs ssl.truststore.location, or ssl.truststore.certificates: the CAs of clients');
  });
  if (keystore === undefined || truststore === undefined || allowsVersion12 === undefined) return null;
  const keyPassword = get('ssl.key.password') ?? '';
  return { keystore, keyPassword, truststore, clientAuth, allowsVersion12 };
}

function keystoreOf(get: Get): ListenerTlsConfig['keystore'] {
  const [location, chain, key] = [
    get('ssl.keystore.location') ?? '',
    get('ssl.keystore.certificate.chain') ?? '',
    get('ssl.keystore.key') ?? '',
  ];
  if (location !== '' && (chain !== '' || key !== ''))
    throw new Error('set this, or ssl.keystore.certificate.chain and ssl.keystore.key, not both');
  if (location !== '') return splitList(location);
  if (chain === '' || key === '')
    throw new Error(
      'a listener that speaks TLS needs the PEM file with its certificate and key here, or ssl.keystore.certificate.chain and ssl.keystore.key',
    );
  return { chain, key };
}

function truststoreOf(get: Get): ListenerTlsConfig['truststore'] {
  const [file, certificates] = [
    get('ssl.truststore.location') ?? '',
    get('ssl.truststore.certificates') ?? '',
  ];
  if (file !== '' && certificates !== '')
    throw new Error('set this, or ssl.truststore.certificates, not both');
  if (file !== '') return { file };
  return certificates === '' ? null : { certificates };
}

function allows12(versions: readonly string[]): boolean {
  const old = versions.find((version) => !['TLSv1.2', 'TLSv1.3'].includes(version));
  if (old !== undefined) throw new Error(`${old} is not spoken: TLSv1.3 and TLSv1.2 are`);
  if (!versions.includes('TLSv1.3')) throw new Error('TLSv1.3 is always spoken: name it');
  return versions.includes('TLSv1.2');
}

/** Why a key of Kafka's, which has no effect otherwise, cannot be passed over; null for most. */
export function objectionToIgnoring(name: string, listeners: readonly Listener[]): string | null {
  const encrypted = listeners.filter(speaksTls);
  if (encrypted.length === 0) return null;
  const [, listener] = /^listener\.name\.(.+?)\.(?:ssl|sasl|principal)\./.exec(name) ?? [];
  const isOfOne = encrypted.some((one) => one.name.toLowerCase() === listener?.toLowerCase());
  if (isOfOne) return 'listeners have no TLS settings of their own in this version: ssl.* are those of all';
  return NEEDED.test(name)
    ? 'this version does not do that, and a listener that speaks TLS must not do without'
    : null;
}
