import type { Socket } from 'node:net';
import type * as z from 'zod';
import type { FabricTransport } from '../../../../native/fabric.ts';
import { type AttachedTarget, InitiatorAttachment } from '../../../../native/fabric-attach.ts';
import type { Way } from '../../../../native/fabric-choice.ts';
import type { Clock, Timer } from '../../../../util/clock.ts';
import type { Logger } from '../../../../util/logger.ts';
import { clientProof, type Identity, isSameProof, newNonce, storeProof } from '../authentication.ts';
import { Frames } from '../frames.ts';
import {
  answer,
  type FromStore,
  parseMessage,
  STORE_VERSION,
  type StoreError,
  type StoreStatus,
  toStore,
} from '../messages.ts';
import type { Operations } from './operations.ts';

/** How long whoever connects may take to say who it is, and before that to begin TLS. */
export const GREETING_MS = 10_000;
const SETTING = 'fabric.provider';
const HERE = { name: 'the store', setting: SETTING };
const THERE = {
  gateway: { name: 'the gateway', setting: SETTING },
  store: { name: 'the store that passes on', setting: SETTING },
};
/** What a transfer fails with when the connection over which payload goes is lost: over TCP none is made anew for what is attached. */
const LOST = 'ECONNRESET';
/** Requests of one gateway that are not answered. */
const MAX_REQUESTS = 16_384;
/** An operator who asks for nothing for so long is gone; gateways give signs of life. */
const OPERATOR_IDLE_MS = 600_000;

export interface SessionOptions {
  readonly secret: string;
  readonly store: { readonly id: string; readonly zone: string; readonly host: string };
  readonly heartbeatMs: number;
  readonly ways: readonly Way[];
  readonly open: (way: Way) => Promise<FabricTransport>;
  readonly status: () => StoreStatus;
  /** Ends the session that the gateway had before; resolves when nothing of it is left. */
  readonly admit: (session: StoreSession) => Promise<Operations>;
  readonly closed: (session: StoreSession, reason: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** One connection to a store: who it is, then what it wants. */
export class StoreSession {
  identity: Identity | null = null;
  readonly remote: string;
  readonly #options: SessionOptions;
  readonly #frames: Frames;
  readonly #challenge: { readonly nonce: string; readonly store: string };
  readonly #running = new Set<Promise<void>>();
  readonly #greeting: Timer;
  #state: 'greeting' | 'admitting' | 'open' | 'ended' = 'greeting';
  #attachment: InitiatorAttachment | null = null;
  #target: AttachedTarget | null = null;
  #operations: Operations | null = null;
  #beat: Timer | null = null;

  constructor(socket: Socket, options: SessionOptions) {
    this.#options = options;
    this.#challenge = { nonce: newNonce(), store: options.store.id };
    this.remote = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#frames = new Frames(socket, {
      onFrame: (message) => this.#receive(message),
      onClose: (reason) => this.end(reason),
    });
    this.#greeting = options.clock.setTimer(GREETING_MS, () => this.end('it does not say who it is'));
    this.#frames.send(JSON.stringify({ type: 'challenge', version: STORE_VERSION, ...this.#challenge }));
  }

  /** It has not shown who it is. */
  get isGreeting(): boolean {
    return this.#state === 'greeting';
  }

  /** What carries payload; empty before that is known. */
  get provider(): string {
    return this.#target?.transport.provider ?? '';
  }

  /** The gateway's memory, when it is attached. */
  get target(): AttachedTarget | null {
    return this.#target;
  }

  /** Resolves when nothing that it asked for is under way. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
    await this.#operations?.closed();
  }

  end(reason: string): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#greeting.cancel();
    this.#beat?.cancel();
    this.#attachment?.detach(reason);
    this.#operations?.end(reason);
    this.#frames.close(reason, true);
    this.#options.closed(this, reason);
  }

  #send(message: FromStore): void {
    this.#frames.send(JSON.stringify(message));
  }

  #receive(text: string): void {
    try {
      switch (this.#state) {
        case 'greeting':
          this.#greeted(parseMessage(answer, text));
          break;
        case 'open':
          this.#handle(parseMessage(toStore, text));
          break;
        case 'admitting':
          throw new Error('it does not wait for the welcome');
        case 'ended':
      }
    } catch (error) {
      this.end((error as Error).message);
    }
  }

  #greeted(said: z.output<typeof answer>): void {
    const { secret, store } = this.#options;
    if (said.version !== STORE_VERSION) {
      this.#refuse(`it speaks version ${said.version}, this store ${STORE_VERSION}`);
      return;
    }
    const { role, cluster, node, via } = said;
    const expected = clientProof(secret, this.#challenge, said);
    if (!isSameProof(said.proof, expected)) {
      this.#refuse('payload.stores.secret is not the one of this store');
      return;
    }
    this.identity = { role, cluster, node, via };
    this.#state = 'admitting';
    this.#greeting.cancel();
    const { id, zone, host } = store;
    const welcome = { store: id, zone, host };
    const proof = storeProof(secret, this.#challenge, said, welcome);
    void this.#options.admit(this).then(
      (operations) => {
        if (this.#state !== 'admitting') return;
        this.#operations = operations;
        this.#state = 'open';
        this.#frames.allowLong();
        this.#frames.send(JSON.stringify({ type: 'welcome', proof, ...welcome }));
        if (role === 'operator') this.#watchIdle();
        else this.#attach(role);
      },
      (error: Error) => this.#refuse(error.message),
    );
  }

  #refuse(reason: string): void {
    this.#frames.send(JSON.stringify({ type: 'refused', reason: reason.slice(0, 1000) }));
    this.end(reason);
  }

  #attach(role: keyof typeof THERE): void {
    const { ways, store, clock, open, heartbeatMs, logger } = this.#options;
    const attachment = new InitiatorAttachment({
      ways,
      host: store.host,
      clock,
      open,
      heartbeatMs,
      ends: { here: HERE, there: THERE[role] },
      send: (message) => this.#send({ type: 'attach', message }),
    });
    this.#attachment = attachment;
    attachment.onEnd((reason) => this.end(reason));
    attachment.attach().then(
      (target) => {
        this.#target = target;
        const { provider, domain } = target.way;
        logger.info({ gateway: this.identity, remote: this.remote, provider, domain }, 'gateway is attached');
        this.#pulse();
      },
      (error: Error) => this.end(error.message),
    );
  }

  /** Tells how the store is. */
  #pulse(): void {
    const { clock, heartbeatMs, status } = this.#options;
    this.#beat = clock.setTimer(heartbeatMs / 2, () => {
      if (this.#state !== 'open') return;
      this.#send({ type: 'status', status: status() });
      this.#pulse();
    });
  }

  /** The store's state has changed. */
  tell(): void {
    if (this.#state === 'open' && this.#target !== null)
      this.#send({ type: 'status', status: this.#options.status() });
  }

  /** The gateway is to end the segment. */
  endFile(file: string): void {
    if (this.#state === 'open') this.#send({ type: 'end', file });
  }

  #watchIdle(): void {
    this.#beat?.cancel();
    this.#beat = this.#options.clock.setTimer(OPERATOR_IDLE_MS, () => this.end('it asks for nothing'));
  }

  #handle(message: z.output<typeof toStore>): void {
    if (this.identity!.role === 'operator') this.#watchIdle();
    if (message.type === 'attach') {
      if (this.#attachment === null) throw new Error('an operator has nothing to attach');
      this.#attachment.receive(message.message);
      return;
    }
    if (this.#running.size >= MAX_REQUESTS) throw new Error('it asks for too much at a time');
    const { id, operation } = message;
    const ended = (reply: FromStore) => {
      this.#running.delete(done);
      this.#reply(reply);
    };
    const done = this.#operations!.run(operation, BigInt(id), this.#target, this.identity!.role).then(
      (result) => ended({ type: 'done', id, result }),
      (error: unknown) => {
        const failure = describe(error);
        ended({ type: 'failed', id, ...failure });
        const isPayload = operation.op === 'append' || operation.op === 'read';
        if (isPayload && failure.code === LOST) this.end('the connection over which payload goes is lost');
      },
    );
    this.#running.add(done);
  }

  #reply(message: FromStore): void {
    if (this.#state === 'open') this.#send(message);
  }
}

function describe(error: unknown): { code: string; message: string } {
  const { code, message } = error as StoreError;
  return {
    code: typeof code === 'string' ? code.slice(0, 40) : 'EIO',
    message: String(message ?? error).slice(0, 1000),
  };
}
