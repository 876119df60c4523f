import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../util/clock.ts';
import { NativeMemory } from './arena.ts';
import {
  type FabricTransport,
  PEER_READS,
  PLAIN_TCP,
  type PublishedMemory,
  RemoteMemory,
  TLS_TCP,
  type Transfer,
} from './fabric.ts';
import { matchWays, type NamedEnd, noWayInCommon, type Way } from './fabric-choice.ts';
import {
  ATTACH_VERSION,
  fromWire,
  type InitiatorMessage,
  initiatorMessage,
  type TargetMessage,
  targetMessage,
  toWire,
} from './fabric-messages.ts';

const PROBE_BYTES = 1024;
/** Bytes of an offer to come by TCP that names no host. */
const TCP_OFFER_BYTES = new Map([
  [PLAIN_TCP, 18],
  [TLS_TCP, 50],
]);
const ANSWER_TIMEOUT_MS = 10_000;
/** Signs of life in the time after which silence is the end. */
const BEATS = 3;
const MAX_WAITING = 16;

export interface AttachOptions {
  /** The ways that may be taken here, best first. */
  readonly ways: readonly Way[];
  /** See `hostIdentity`. */
  readonly host: string;
  /** The transport of a way; an initiator's is shared by all its attachments, and has the arena registered. */
  readonly open: (way: Way) => Promise<FabricTransport>;
  /** Sends to the other end; whatever carries the control connection frames and orders messages. */
  readonly send: (message: string) => void;
  readonly clock: Clock;
}

/** What both ends have: a way to wait for the next step, signs of life, an end. */
abstract class AttachmentEnd<Incoming extends { type: string }> {
  protected readonly options: AttachOptions;
  readonly #waiting: Incoming[] = [];
  #wake: ((message: Incoming) => void) | null = null;
  #fail: (error: Error) => void = () => {};
  #pulse: Timer | null = null;
  /** Own signs of life since the last one of the other end. */
  #unheardBeats = 0;
  #ended: string | null = null;
  readonly #onEnd: ((reason: string) => void)[] = [];

  constructor(options: AttachOptions) {
    this.options = options;
  }

  /** Why it has ended; null while it has not. */
  get ended(): string | null {
    return this.#ended;
  }

  /** Called once, with the reason, when the attachment ends, whoever ended it. */
  onEnd(listener: (reason: string) => void): void {
    this.#onEnd.push(listener);
  }

  /** The other end is told. */
  detach(reason: string): void {
    if (this.#ended === null) this.options.send(JSON.stringify({ type: 'detach', reason }));
    this.lost(reason);
  }

  /** The control connection is gone, or the other end does not answer. */
  lost(reason: string): void {
    if (this.#ended !== null) return;
    this.#ended = reason;
    this.#pulse?.cancel();
    this.#fail(new Error(reason));
    this.release(reason);
    for (const listener of this.#onEnd) listener(reason);
  }

  /** Gives up what it holds. */
  protected abstract release(reason: string): void;
  protected abstract parse(message: string): Incoming;
  /** What is no step of attaching. */
  protected abstract handle(message: Incoming): boolean;

  /** What the other end has sent, in order. */
  receive(message: string): void {
    if (this.#ended !== null) return;
    this.#unheardBeats = 0;
    try {
      const parsed = this.parse(message);
      if (parsed.type === 'ping') return;
      if (parsed.type === 'detach')
        this.lost(`the other end detached: ${(parsed as { reason?: string }).reason}`);
      else if (!this.handle(parsed)) this.#deliver(parsed);
    } catch (error) {
      this.detach((error as Error).message);
    }
  }

  #deliver(message: Incoming): void {
    const wake = this.#wake;
    this.#wake = null;
    if (wake !== null) wake(message);
    else if (this.#waiting.push(message) > MAX_WAITING) throw new Error('the peer does not wait for answers');
  }

  /** The next step; rejects when it does not come in time, or the attachment ends. */
  protected next(timeoutMs: number): Promise<Incoming> {
    if (this.#ended !== null) return Promise.reject(new Error(this.#ended));
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) return Promise.resolve(waiting);
    return new Promise((resolve, reject) => {
      const timer = this.options.clock.setTimer(timeoutMs, () => {
        this.#wake = null;
        reject(new Error('the other end does not answer'));
      });
      this.#wake = (message) => {
        timer.cancel();
        resolve(message);
      };
      this.#fail = (error) => {
        timer.cancel();
        reject(error);
      };
    });
  }

  /**
   * From now on both ends send at least every third of the time; silence for all of it is the end. 0: nobody does, what carries the messages
   * says when the other end is gone. What counts is how often this end itself has spoken meanwhile: one that stood still has signs of life to read.
   */
  protected startPulse(heartbeatMs: number): void {
    this.#pulse?.cancel();
    if (heartbeatMs === 0) return;
    const { clock, send } = this.options;
    this.#unheardBeats = 0;
    const beat = () => {
      if (++this.#unheardBeats > BEATS) {
        this.lost('the other end is silent');
        return;
      }
      send('{"type":"ping"}');
      this.#pulse = clock.setTimer(heartbeatMs / BEATS, beat);
    };
    this.#pulse = clock.setTimer(heartbeatMs / BEATS, beat);
  }
}

/** An attached target, as its initiator sees it. */
export interface AttachedTarget {
  readonly transport: FabricTransport;
  readonly peer: number;
  readonly way: Way;
  /** What the target has published; kept up to date. */
  readonly memory: RemoteMemory;
}

/** The initiator and its target. */
export interface AttachmentEnds {
  readonly here: NamedEnd;
  readonly there: NamedEnd;
}

/** The initiator's end of one attachment: finds the best way that both have and that a probe gets through. */
export class InitiatorAttachment extends AttachmentEnd<TargetMessage> {
  readonly attachment: bigint = randomBytes(8).readBigUInt64LE();
  readonly memory = new RemoteMemory(this.attachment);
  readonly #heartbeatMs: number;
  readonly #ends: AttachmentEnds;
  #peer: { transport: FabricTransport; peer: number } | null = null;

  /** `ends`: what both are called where they do not come together. */
  constructor(options: AttachOptions & { heartbeatMs: number; ends: AttachmentEnds }) {
    super(options);
    this.#heartbeatMs = options.heartbeatMs;
    this.#ends = options.ends;
  }

  /** Resolves when the target is attached; rejects, and the target is told why, when there is no way to it. */
  async attach(): Promise<AttachedTarget> {
    const offer = await this.next(ANSWER_TIMEOUT_MS);
    if (offer.type !== 'offer') return this.#refuse('the target must begin with an offer');
    if (offer.version !== ATTACH_VERSION)
      return this.#refuse(`the target speaks version ${offer.version}, this end ${ATTACH_VERSION}`);
    this.startPulse(this.#heartbeatMs);
    const failures: string[] = [];
    const pairs = matchWays(this.options.ways, offer.ways, offer.host === this.options.host);
    for (const [round, [our, their]] of pairs.entries()) {
      try {
        return await this.#tryWay(round, our, their);
      } catch (error) {
        if (this.ended !== null) throw error;
        failures.push(`${our.provider} on ${our.domain || 'any'}: ${(error as Error).message}`);
      }
    }
    if (failures.length > 0) return this.#refuse(failures.join('; '));
    const { here, there } = this.#ends;
    return this.#refuse(noWayInCommon({ ...here, ways: this.options.ways }, { ...there, ways: offer.ways }));
  }

  #refuse(reason: string): never {
    this.options.send(toWire({ type: 'refused', reason: reason.slice(0, 1000) }));
    this.lost(reason);
    throw new Error(reason);
  }

  async #tryWay(round: number, our: Way, their: Way): Promise<AttachedTarget> {
    const transport = await this.options.open(our);
    const { attachment } = this;
    const offer = transport.offer().toString('base64');
    const heartbeatMs = this.#heartbeatMs;
    this.options.send(toWire({ type: 'choice', round, attachment, way: their, offer, heartbeatMs }));
    const ready = await this.next(ANSWER_TIMEOUT_MS);
    if (ready.type === 'unable' && ready.round === round) throw new Error(ready.reason);
    if (ready.type !== 'ready' || ready.round !== round) throw new Error(`unexpected ${ready.type}`);
    const peer = await transport.addPeer(Buffer.from(ready.answer, 'base64'));
    try {
      await this.#probe(transport, peer, ready.probe);
    } catch (error) {
      transport.removePeer(peer, 'it was not reached');
      throw error;
    }
    this.#peer = { transport, peer };
    if (this.ended !== null) {
      this.release(this.ended);
      throw new Error(this.ended);
    }
    this.options.send(toWire({ type: 'attached', round }));
    return { transport, peer, way: our, memory: this.memory };
  }

  /** Reads what the target has told, which also makes the connection. */
  async #probe(
    transport: FabricTransport,
    peer: number,
    probe: { address: bigint; key: bigint; content: string },
  ): Promise<void> {
    const content = Buffer.from(probe.content, 'base64');
    const memory = NativeMemory.allocate(Math.max(content.length, 1));
    if (memory === null) throw new Error('the arena is full');
    try {
      const range = BigUint64Array.of(probe.address, BigInt(content.length), probe.key);
      const read: Transfer = transport.read(peer, range, [{ memory, offset: 0 }], ANSWER_TIMEOUT_MS);
      await read.done;
      if (!content.equals(memory.bytes().subarray(0, content.length)))
        throw new Error('the probe read something else');
    } finally {
      memory.release();
    }
  }

  protected release(reason: string): void {
    this.#peer?.transport.removePeer(this.#peer.peer, reason);
    this.#peer = null;
  }

  protected parse(message: string): TargetMessage {
    return fromWire(targetMessage, message);
  }

  protected handle(message: TargetMessage): boolean {
    if (message.type === 'publish') {
      this.memory.publish(message, this.options.clock.now());
      return true;
    }
    if (message.type !== 'withdraw') return false;
    this.memory.withdraw(message.region);
    return true;
  }
}

/** An initiator's offer, of which one to come by TCP without a host means the one that the control connection goes to. */
export function offerFrom({ provider }: { provider: string }, base64: string, peerHost: string): Buffer {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length > (TCP_OFFER_BYTES.get(provider) ?? 0)) return bytes;
  return Buffer.concat([bytes, Buffer.from(peerHost)]);
}

/** An attachment as its target sees it. */
export interface AttachedInitiator {
  readonly transport: FabricTransport;
  readonly way: Way;
  /** Goes into each order. */
  readonly attachment: bigint;
}

/** The target's end of one attachment. Its transport is its own: `onEnd` is the time to close it. */
export class TargetAttachment extends AttachmentEnd<InitiatorMessage> {
  readonly #peerHost: string;
  #transport: FabricTransport | null = null;

  /** `peerHost`: the numeric address that the control connection goes to. */
  constructor(options: AttachOptions & { peerHost: string }) {
    super(options);
    this.#peerHost = options.peerHost;
  }

  /** Resolves when the initiator has reached us; rejects when it refuses, or there is no way. */
  async attach(): Promise<AttachedInitiator> {
    const { ways, host } = this.options;
    const probe = NativeMemory.allocate(PROBE_BYTES);
    if (probe === null) throw new Error('the arena is full');
    probe.bytes().set(randomBytes(PROBE_BYTES));
    this.options.send(toWire({ type: 'offer', version: ATTACH_VERSION, host, ways: [...ways] }));
    let latest: { way: Way; attachment: bigint; round: number; published: PublishedMemory | null } | null =
      null;
    try {
      for (;;) {
        // Each round of the initiator may take the time of its own waiting.
        const message = await this.next(3 * ANSWER_TIMEOUT_MS);
        if (message.type === 'refused') throw new Error(message.reason);
        if (message.type === 'choice') {
          this.startPulse(message.heartbeatMs);
          const published = await this.#choose(message, probe);
          latest = { way: message.way, attachment: message.attachment, round: message.round, published };
        } else if (message.type === 'attached') {
          const transport = this.#transport;
          if (latest === null || transport === null || message.round !== latest.round)
            throw new Error('the initiator attached to a way that was not taken');
          if (latest.published !== null) await transport.withdraw(latest.published);
          return { transport, way: latest.way, attachment: latest.attachment };
        }
      }
    } catch (error) {
      this.lost((error as Error).message);
      await this.#transport?.close();
      throw error;
    } finally {
      probe.release();
    }
  }

  async #choose(
    choice: InitiatorMessage & { type: 'choice' },
    probe: NativeMemory,
  ): Promise<PublishedMemory | null> {
    await this.#transport?.close();
    this.#transport = null;
    const { round } = choice;
    try {
      const way = this.options.ways.find(
        (own) =>
          own.provider === choice.way.provider &&
          own.domain === choice.way.domain &&
          own.network === choice.way.network,
      );
      if (way === undefined) throw new Error('this way was not offered');
      const transport = await this.options.open(way);
      this.#transport = transport;
      const published = await transport.publish(probe, PEER_READS);
      const answer = (await transport.answer(offerFrom(choice.way, choice.offer, this.#peerHost))).toString(
        'base64',
      );
      const content = Buffer.from(probe.bytes()).toString('base64');
      const { address, key } = published;
      this.options.send(toWire({ type: 'ready', round, answer, probe: { address, key, content } }));
      return published;
    } catch (error) {
      this.options.send(toWire({ type: 'unable', round, reason: (error as Error).message.slice(0, 1000) }));
      return null;
    }
  }

  /** Tells the initiator of memory that was published with the transport. */
  publish(published: PublishedMemory, region: bigint, length: number, access: number, expiresMs = 0): void {
    const { address, key } = published;
    this.options.send(
      toWire({ type: 'publish', region, address, key, length: BigInt(length), access, expiresMs }),
    );
  }

  /** Orders for the region are refused from now on. */
  withdraw(region: bigint): void {
    this.options.send(toWire({ type: 'withdraw', region }));
  }

  protected release(): void {}

  protected parse(message: string): InitiatorMessage {
    return fromWire(initiatorMessage, message);
  }

  protected handle(): boolean {
    return false;
  }
}
