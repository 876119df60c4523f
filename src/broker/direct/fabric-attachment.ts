import type { Move } from '../../native/direct.ts';
import { type LocalRange, PEER_READS, PEER_WRITES, type Transfer } from '../../native/fabric.ts';
import { type AttachedTarget, type AttachOptions, InitiatorAttachment } from '../../native/fabric-attach.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Logger } from '../../util/logger.ts';
import type { Owned } from './attachment-table.ts';
import { Attachment, type AttachmentLimits } from './attachments.ts';
import type { AnswerRoom } from './direct-gets.ts';

/** Ranges of one transfer; the transport takes no more. */
const MAX_RANGES = 65_536;
/** How long one step of attaching may take here: a provider is opened, and the client's memory read. */
const STEP_MS = 60_000;
const ENDS = {
  here: { name: 'the gateway', setting: 'fabric.provider' },
  there: { name: 'the client', setting: 'its option fabric.provider' },
};
/** Of what fails, what is no fault of the client's memory. */
const BUSY = 'ENOBUFS';

export interface FabricAttachmentOptions extends AttachmentLimits, Omit<AttachOptions, 'send'> {
  /** `direct.fabric.timeout.ms` */
  readonly timeoutMs: number;
  /** For the memory that data holds on its way to or from this client. */
  readonly room: AnswerRoom;
  readonly logger: Logger;
}

/** Memory as its client describes it. */
export interface PublishedRegion {
  readonly region: number;
  /** Of its first byte, as the provider counts. */
  readonly address: bigint;
  readonly key: bigint;
  readonly bytes: bigint;
}

/** Data for the client's memory. */
export interface Delivery {
  readonly piece: MemoryPiece;
  readonly region: number;
  readonly offset: number;
}

/**
 * One connection's client, whose memory is reached over libfabric. Descriptors refer to regions that were published; addresses and keys are
 * those of then. A client whose memory cannot be reached in time is let go of, so that it holds up nobody else: it has to connect anew.
 */
export class FabricAttachment extends Attachment {
  readonly #options: FabricAttachmentOptions;
  readonly #initiator: InitiatorAttachment;
  readonly #keys = new Map<number, bigint>();
  #begun = false;
  /** Takes the answer to a step of attaching. */
  #answer: ((message: string | null) => void) | null = null;
  #target: AttachedTarget | null = null;
  #sequence = 0n;
  /** Why the client's memory is not reached any more. */
  #failure: string | null = null;

  constructor({ id, owner }: Owned, options: FabricAttachmentOptions) {
    super(id, owner, false);
    this.#options = options;
    this.#initiator = new InitiatorAttachment({
      ...options,
      // The client's connection says when it is gone.
      heartbeatMs: 0,
      ends: ENDS,
      send: (message) => this.#answer?.(message),
    });
    this.#initiator.onEnd(() => this.#answer?.(null));
  }

  /** What carries its data; empty before it is attached. */
  get provider(): string {
    return this.#target?.way.provider ?? '';
  }

  /** One step of attaching: what the client says. Resolves to the answer; null when there is none. @throws ApiError when it is not the time */
  exchange(message: string): Promise<string | null> {
    if (this.#answer !== null) throw invalid('one step of attaching at a time');
    if (this.#target !== null) throw invalid('this connection is attached already');
    return new Promise((resolve) => {
      const timer = this.#options.clock.setTimer(STEP_MS, () => this.#initiator.detach('it took too long'));
      this.#answer = (answer) => {
        timer.cancel();
        this.#answer = null;
        resolve(answer);
      };
      if (!this.#begun) this.#begin();
      this.#initiator.receive(message);
      if (this.#initiator.ended !== null) this.#answer?.(null);
    });
  }

  #begin(): void {
    this.#begun = true;
    const { logger } = this.#options;
    this.#initiator.attach().then(
      (target) => {
        this.#target = target;
        const { provider, domain } = target.way;
        logger.debug({ attachment: this.id, provider, domain }, 'a direct client is attached by the fabric');
      },
      (error: Error) =>
        logger.debug({ attachment: this.id, reason: error.message }, 'a direct client was not attached'),
    );
  }

  /** @throws ApiError when it cannot be, or a limit would be exceeded */
  publish({ region, address, key, bytes }: PublishedRegion): void {
    const target = this.#attached();
    const { maxRegions, maxRegionBytes, clock } = this.#options;
    if (region < 0 || this.regions.has(region)) throw invalid(`region ${region} has an impossible name`);
    if (this.regions.size >= maxRegions)
      throw tooMuch(`${maxRegions} regions are published (direct.max.regions)`);
    if (bytes <= 0n || bytes + BigInt(this.bytes) > BigInt(maxRegionBytes))
      throw tooMuch(`${bytes} bytes more are not from 1 to ${maxRegionBytes} (direct.max.region.bytes)`);
    const words = { address: BigInt.asUintN(64, address), key: BigInt.asUintN(64, key), length: bytes };
    const access = PEER_READS | PEER_WRITES;
    try {
      target.memory.publish({ region: BigInt(region), ...words, access, expiresMs: 0 }, clock.now());
    } catch (error) {
      throw invalid((error as Error).message);
    }
    this.regions.set(region, { region, bytes: Number(bytes) });
    this.#keys.set(region, words.key);
  }

  override release(region: number): boolean {
    if (!this.regions.delete(region)) return false;
    this.#keys.delete(region);
    this.#target?.memory.withdraw(BigInt(region));
    return true;
  }

  override async hold<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    const { room } = this.#options;
    try {
      await room.acquire(bytes);
    } catch {
      throw new ApiError(ErrorCode.NETWORK_EXCEPTION, 'the connection has ended');
    }
    try {
      return await work();
    } finally {
      room.release(bytes);
    }
  }

  override async pull(moves: readonly Move[]): Promise<void> {
    const { transport, peer } = this.#attached();
    await this.#transfer(false, moves.length, (start, end) => {
      const taken = moves.slice(start, end);
      const ranges = this.#ranges(
        false,
        taken.map(({ region, targetOffset, blocks }) => ({
          region: region!,
          offset: targetOffset!,
          length: blocks[0]!.block,
        })),
      );
      const locals: LocalRange[] = taken.map(({ memory, blocks }) => ({ memory, offset: blocks[0]!.offset }));
      return transport.read(peer, ranges, locals, this.#options.timeoutMs);
    });
  }

  /** Puts data into the client's memory. @throws ApiError, and any part of it may be there then */
  async push(deliveries: readonly Delivery[]): Promise<void> {
    if (deliveries.length === 0) return;
    const { transport, peer } = this.#attached();
    await this.#transfer(true, deliveries.length, (start, end) => {
      const given = deliveries.slice(start, end);
      const ranges = this.#ranges(
        true,
        given.map(({ piece, region, offset }) => ({ region, offset, length: piece.byteLength })),
      );
      const locals: LocalRange[] = given.map(({ piece: { memory, offset } }) => ({ memory, offset }));
      return transport.write(peer, ranges, locals, this.#options.timeoutMs);
    });
  }

  end(): void {
    for (const region of [...this.regions.keys()]) this.release(region);
    this.#failure ??= 'the client has detached';
    // It hears so by its connection.
    this.#initiator.lost(this.#failure);
  }

  #attached(): AttachedTarget {
    if (this.#failure !== null) throw new ApiError(ErrorCode.NETWORK_EXCEPTION, this.#failure);
    if (this.#target !== null) return this.#target;
    throw invalid('this connection is not attached by the fabric');
  }

  /** @throws ApiError when the parts are not, or no longer, inside what was published */
  #ranges(write: boolean, parts: { region: number; offset: number; length: number }[]): BigUint64Array {
    const { memory } = this.#attached();
    const now = this.#options.clock.now();
    const words = parts.map(({ region, offset, length }) => ({
      region: BigInt(region),
      key: this.#keys.get(region) ?? 0n,
      offset: BigInt(offset),
      length: BigInt(length),
    }));
    const { attachment } = memory;
    const order = { attachment, sequence: ++this.#sequence, expiresMs: now + 1, write, parts: words };
    try {
      return memory.resolve(order, now);
    } catch (error) {
      throw invalid(`${(error as Error).message}: keep it attached until the answer has come`);
    }
  }

  /** Resolves, or rejects with an ApiError, when nothing is under way any more. */
  async #transfer(
    write: boolean,
    count: number,
    start: (from: number, to: number) => Transfer,
  ): Promise<void> {
    const started: Promise<unknown>[] = [];
    let failure: unknown = null;
    try {
      for (let from = 0; from < count; from += MAX_RANGES)
        started.push(start(from, Math.min(count, from + MAX_RANGES)).done);
    } catch (error) {
      failure = error;
    }
    for (const ended of await Promise.allSettled(started))
      if (ended.status === 'rejected') failure ??= ended.reason;
    if (failure !== null) throw failure instanceof ApiError ? failure : this.#failed(failure as Error, write);
  }

  #failed(error: Error & { code?: string }, write: boolean): ApiError {
    const { provider, domain } = this.#target!.way;
    if (error.code === BUSY)
      return new ApiError(ErrorCode.REQUEST_TIMED_OUT, `too much is under way over ${provider}`);
    if (this.#failure === null) {
      const what = write ? 'written' : 'read';
      this.#failure = `the client’s memory cannot be ${what} over ${provider}: ${error.message}`;
      const fields = { attachment: this.id, provider, domain, reason: error.message };
      this.#options.logger.warn(fields, `memory of a direct client cannot be ${what}: it is detached`);
      this.#initiator.lost(this.#failure);
    }
    return new ApiError(ErrorCode.NETWORK_EXCEPTION, this.#failure);
  }
}

function invalid(message: string): ApiError {
  return new ApiError(ErrorCode.INVALID_REQUEST, message);
}

function tooMuch(message: string): ApiError {
  return new ApiError(ErrorCode.POLICY_VIOLATION, message);
}
