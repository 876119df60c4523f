import type { BrokerKey, BrokerValues } from './definitions/index.ts';
import { listenerKeyOf } from './listener-keys.ts';
import { type Listener, speaksTls } from './listeners.ts';
import { splitList } from './value.ts';

/** What `ssl.*` say of listeners that speak TLS. */
export interface ListenerTlsConfig {
  /** Names of those that it is the same for. */
  readonly listeners: readonly string[];
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

/**
 * Of the listeners that speak TLS: without one nothing of it is looked at.
 * @param settingsFor what is set for one listener
 */
export function resolveListenerTls(
  listeners: readonly Listener[],
  settingsFor: (listener: string) => { get: Get; attempt: Attempt },
): ListenerTlsConfig[] {
  const found = new Map<string, ListenerTlsConfig>();
  for (const { name } of listeners.filter(speaksTls)) {
    const { get, attempt } = settingsFor(name);
    const config = tlsConfigOf(get, attempt);
    if (config === null) continue;
    const key = JSON.stringify(config);
    found.set(key, { ...config, listeners: [...(found.get(key)?.listeners ?? []), name] });
  }
  return [...found.values()];
}

function tlsConfigOf(get: Get, attempt: Attempt): Omit<ListenerTlsConfig, 'listeners'> | null {
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
  const own = listenerKeyOf(name);
  if (encrypted.some((one) => one.name === own?.listener))
    return 'a listener that speaks TLS must not do without, and this version does not have it for one listener: see docs/security.md for what it has';
  return NEEDED.test(name)
    ? 'this version does not do that, and a listener that speaks TLS must not do without'
    : null;
}
