import { readFileSync } from 'node:fs';
import { PREFIX, PROTOCOL, UNENCRYPTED } from '../backend/payload/stores/tls/settings.ts';
import { type StoresSecurity, StoresTls } from '../backend/payload/stores/tls/stores-tls.ts';
import type { KafabricConfig } from '../config/index.ts';
import type { Logger } from '../util/logger.ts';

const MIN_SECRET = 16;

/**
 * How gateways and stores know each other, at either end.
 * @throws Error for people when the settings do not fit together, or a secret cannot be read
 */
export function storesSecurity(config: KafabricConfig, logger: Logger): StoresSecurity {
  return { secret: storesSecret(config), tls: storesTls(config, logger) };
}

function storesTls(config: KafabricConfig, logger: Logger): StoresTls | null {
  const keystore = config.get(`${PREFIX}.keystore.location`);
  const truststore = config.get(`${PREFIX}.truststore.location`);
  if (config.get(PROTOCOL) !== 'SSL') {
    if (keystore.length > 0 || truststore !== '' || config.get(UNENCRYPTED))
      throw new Error(`${PREFIX}.* and ${UNENCRYPTED} need ${PROTOCOL}=SSL`);
    return null;
  }
  if (truststore === '')
    throw new Error(`${PROTOCOL}=SSL needs ${PREFIX}.truststore.location: the CAs of peers`);
  const settings = {
    keystore,
    truststore,
    keyPassword: config.get(`${PREFIX}.key.password`),
    clientAuth: config.get(`${PREFIX}.client.auth`) as 'required' | 'requested' | 'none',
    checkHost: config.get(`${PREFIX}.endpoint.identification.algorithm`) === 'https',
    allowedNames: config.get(`${PREFIX}.allowed.names`),
    allowsUnencryptedPayload: config.get(UNENCRYPTED),
  };
  return new StoresTls(settings, logger.child({ component: 'stores' }));
}

/**
 * What a store needs to know gateways by.
 * @throws Error for people when that is missing
 */
export function ofStore({ secret, tls }: StoresSecurity): StoresSecurity {
  if (!tls && secret === '')
    throw new Error(
      `a store needs payload.stores.secret or payload.stores.secret.file, the one of its gateways, or ${PROTOCOL}=SSL`,
    );
  if (tls && tls.settings.keystore.length === 0)
    throw new Error(`a store needs a certificate: ${PREFIX}.keystore.location`);
  if (tls && tls.settings.clientAuth !== 'required' && secret === '')
    throw new Error(
      `${PREFIX}.client.auth=${tls.settings.clientAuth} needs payload.stores.secret: it says who gateways are`,
    );
  return { secret, tls: tls ?? null };
}

/**
 * `payload.stores.secret`, or what its file holds; empty without either.
 * @throws Error for people when it cannot be read, or is too short to be one
 */
function storesSecret(config: KafabricConfig): string {
  const file = config.get('payload.stores.secret.file');
  const configured = config.get('payload.stores.secret');
  if (file !== '' && configured !== '')
    throw new Error('set payload.stores.secret or payload.stores.secret.file, not both');
  const secret = file === '' ? configured : readSecret(file);
  if (secret !== '' && secret.length < MIN_SECRET)
    throw new Error(`payload.stores.secret needs at least ${MIN_SECRET} characters`);
  return secret;
}

function readSecret(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new Error(`payload.stores.secret.file cannot be read: ${(error as Error).message}`);
  }
}
