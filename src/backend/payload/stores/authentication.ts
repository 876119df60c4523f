import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { z } from 'zod';
import { type answer, STORE_VERSION, type welcome } from './messages.ts';

type Answer = z.output<typeof answer>;
type Welcome = Extract<z.output<typeof welcome>, { type: 'welcome' }>;

/** Who talks to a store. */
export interface Identity {
  readonly role: 'gateway' | 'operator';
  readonly cluster: string;
  readonly node: number;
}

export function newNonce(): string {
  return randomBytes(32).toString('hex');
}

/** A client's proof: for this store's nonce, and for nothing else. */
export function clientProof(
  secret: string,
  storeNonce: string,
  said: Omit<Answer, 'proof' | 'type'>,
): string {
  const { role, cluster, node, nonce, version } = said;
  return proof(secret, ['client', version, storeNonce, nonce, role, cluster, node]);
}

/** A store's proof, for the client's nonce. */
export function storeProof(
  secret: string,
  nonces: { store: string; client: string },
  said: Omit<Welcome, 'proof' | 'type'>,
): string {
  const { store, zone, host } = said;
  return proof(secret, ['store', STORE_VERSION, nonces.client, nonces.store, store, zone, host]);
}

/** Takes the same time wherever they differ. */
export function isSameProof(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a, 'hex'), Buffer.from(b, 'hex')];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Parts are put so that no two lists of them look the same. */
function proof(secret: string, parts: readonly (string | number)[]): string {
  return createHmac('sha256', secret)
    .update(JSON.stringify(['kafabric-store', ...parts]))
    .digest('hex');
}
