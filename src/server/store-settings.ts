import { readFileSync } from 'node:fs';
import type { KafabricConfig } from '../config/index.ts';

const MIN_SECRET = 16;

/**
 * `payload.stores.secret`, or what its file holds; empty without either.
 * @throws Error for people when it cannot be read, or is too short to be one
 */
export function storesSecret(config: KafabricConfig): string {
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
