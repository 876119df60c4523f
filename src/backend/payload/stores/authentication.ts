import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type * as z from 'zod';
import type { answer, welcome } from './messages.ts';

type Answer = z.output<typeof answer>;
type Welcome = Extract<z.output<typeof welcome>, { type: 'welcome' }>;

/** Who talks to a store. */
export interface Identity {
  /** `store`: one that passes on what a gateway has it take, which is named here like the gateway itself. */
  readonly role: 'gateway' | 'operator' | 'store';
  readonly cluster: string;
  readonly node: number;
  /** The id of the store that passes on. */
  readonly via?: string | undefined;
}

export function newNonce(): string {
  return randomBytes(32).toString('hex');
}

type Said = Omit<Answer, 'proof' | 'type'>;

/** A client's proof: that this client, and no other, talks to this store, for the nonces of both, and for nothing else. */
export function clientProof(secret: string, challenge: { nonce: string; store: string }, said: Said): string {
  return proof(secret, ['client', ...greeting(challenge, said)]);
}

/** A store's proof, for the same two ends and their nonces. */
export function storeProof(
  secret: string,
  challenge: { nonce: string; store: string },
  said: Said,
  { store, zone, host }: Omit<Welcome, 'proof' | 'type'>,
): string {
  return proof(secret, ['store', ...greeting(challenge, said), store, zone, host]);
}

function greeting(challenge: { nonce: string; store: string }, said: Said): (string | number)[] {
  const { role, cluster, node, via = '', nonce, version } = said;
  return [version, challenge.nonce, challenge.store, nonce, role, cluster, node, via];
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
