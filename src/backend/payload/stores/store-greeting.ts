import { connect, type Socket } from 'node:net';
import { connectError } from '../../../util/connect-error.ts';
import { clientProof, isSameProof, newNonce, storeProof } from './authentication.ts';
import type { Frames } from './frames.ts';
import { opening, parseMessage, STORE_VERSION, welcome } from './messages.ts';
import type { ConnectionOptions } from './store-connection.ts';
import { PROTOCOL } from './tls/settings.ts';

/** How long the connection may take, and then the store's first word. */
export const GREETING_MS = 10_000;
export const SILENT = 'the store does not answer';
/** Of a store that says nothing. */
export const MAYBE_TLS = `if it speaks TLS, set ${PROTOCOL}=SSL here`;

/** Who is at the other end. */
export interface StoreIdentity {
  readonly id: string;
  readonly zone: string;
  /** See `hostIdentity`. */
  readonly host: string;
}

/** Why nobody waits for a store any more. */
export const GIVEN_UP = 'it is not waited for any more';

/** Calls `action` when the signal is given, also if that was before; the result ends that. */
export function onAbort(signal: AbortSignal | undefined, action: () => void): () => void {
  if (signal?.aborted) action();
  signal?.addEventListener('abort', action);
  return () => signal?.removeEventListener('abort', action);
}

/** A connection on which a store may greet: with TLS it has shown its certificate. Rejects with an Error for people. */
export async function connected({ host, port, clock, tls, signal }: ConnectionOptions): Promise<Socket> {
  await tls?.refresh();
  const socket = tls ? tls.dial(host, port) : connect({ host, port });
  return await new Promise((resolve, reject) => {
    const timer = clock.setTimer(GREETING_MS, () => socket.destroy(new Error(SILENT)));
    const forget = onAbort(signal, () => socket.destroy(new Error(GIVEN_UP)));
    const ended = () => {
      timer.cancel();
      forget();
    };
    socket.once('error', (failure) => {
      ended();
      const error = connectError(failure);
      reject(tls ? tls.explain(error) : error);
    });
    socket.once(tls ? 'secureConnect' : 'connect', () => {
      ended();
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

/** What comes before the connection is one. */
export class Greetings {
  readonly #messages: string[] = [];
  #failed: string | null = null;
  #wake: (() => void) | null = null;

  take(message: string): void {
    this.#messages.push(message);
    this.#wake?.();
  }

  fail(reason: string): void {
    this.#failed ??= reason;
    this.#wake?.();
  }

  async next(): Promise<string> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#failed !== null) throw new Error(this.#failed);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  rest(): string[] {
    return this.#messages.splice(0);
  }
}

/** Both ends say who they are. `answered`: the store has been told. */
export async function greet(
  frames: Frames,
  waiting: Greetings,
  { secret, identity }: ConnectionOptions,
  answered: () => void,
): Promise<StoreIdentity> {
  const first = parseMessage(opening, await waiting.next());
  if (first.type === 'refused') throw new Error(`the store refuses: ${first.reason}`);
  if (first.version !== STORE_VERSION)
    throw new Error(`the store speaks version ${first.version}, this gateway ${STORE_VERSION}`);
  const said = { version: STORE_VERSION, nonce: newNonce(), ...identity };
  frames.send(JSON.stringify({ type: 'answer', ...said, proof: clientProof(secret, first, said) }));
  answered();
  const second = parseMessage(welcome, await waiting.next());
  if (second.type === 'refused') throw new Error(`the store refuses: ${second.reason}`);
  const { proof, store, zone, host } = second;
  const expected = storeProof(secret, first, said, { store, zone, host });
  if (store !== first.store || !isSameProof(proof, expected))
    throw new Error('the store does not know payload.stores.secret');
  return { id: store, zone, host };
}
