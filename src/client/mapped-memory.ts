import { constants } from 'node:os';
import { LentMemory, type LentRange } from '../native/direct.ts';
import { ErrorCode } from '../protocol/errors.ts';
import type { EncodedBatch } from './batch-encoder.ts';
import type { Connection } from './connection.ts';
import { brokerError, DirectError } from './errors.ts';
import { MapRequests } from './map-requests.ts';

const BORROW_TIMEOUT_MS = 5_000;
const { EAGAIN, ECONNREFUSED, ECONNRESET, EPIPE } = constants.errno;
/** Errors of a socket whose other end is no more, before or while it was asked, and of one at which too many ask. */
const PASSING: ReadonlySet<number> = new Set([ECONNREFUSED, ECONNRESET, EPIPE, EAGAIN]);
/** Room before and behind the data, for what makes a batch of it: headers, keys, metadata. What needs more is copied. */
const HEAD_BYTES = 4096;
const TAIL_BYTES = 16 * 1024;

/** A part of an event's data where it lies, which must only be read. */
export interface View {
  readonly bytes: Uint8Array;
  /** The bytes are no longer used: `bytes`, and all views of its buffer, may be empty from now on. */
  release(): void;
}

/** Where a batch lies that is put from where it is. */
export interface InPlace {
  readonly region: number;
  readonly offset: bigint;
  readonly length: number;
}

/**
 * Memory of the gateway to write an event's data into. A push of all of it hands it over: it is empty then. What is not pushed is released.
 */
export class MappedBuffer {
  readonly bytes: Uint8Array;
  readonly owner: MappedChannel;
  readonly lease: number;
  readonly #range: LentRange;
  readonly #all: Uint8Array;
  readonly #onRelease: (buffer: MappedBuffer) => void;
  #framed = false;
  #released = false;

  constructor(
    owner: MappedChannel,
    lease: number,
    range: LentRange,
    byteLength: number,
    onRelease: (buffer: MappedBuffer) => void,
  ) {
    this.owner = owner;
    this.lease = lease;
    this.#range = range;
    this.#all = range.bytes;
    this.bytes = this.#all.subarray(HEAD_BYTES, HEAD_BYTES + byteLength);
    this.#onRelease = onRelease;
  }

  /** Where bytes of this buffer lie in what was lent. */
  offsetOf({ byteOffset }: Uint8Array): number {
    return byteOffset - this.#all.byteOffset;
  }

  /** Puts what makes a batch of the data around it; null when there is no room for it, or it is there: the gateway may have taken the batch over. */
  frame(before: readonly Uint8Array[], after: readonly Uint8Array[]): InPlace | null {
    const head = sizeOf(before);
    const tail = sizeOf(after);
    if (this.#framed || head > HEAD_BYTES || tail > TAIL_BYTES) return null;
    this.#framed = true;
    const start = HEAD_BYTES - head;
    const dataEnd = HEAD_BYTES + this.bytes.byteLength;
    copyTo(this.#all, start, before);
    copyTo(this.#all, dataEnd, after);
    return { region: -this.lease, offset: BigInt(start), length: dataEnd + tail - start };
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#onRelease(this);
    this.#range.unmap();
    this.owner.release(this.lease);
  }
}

/** What one connection has mapped of the gateway's memory. */
export class MappedChannel {
  readonly #memory: LentMemory;
  readonly #requests: MapRequests;

  private constructor(connection: Connection, attachmentId: bigint, memory: LentMemory) {
    this.#requests = new MapRequests(connection, attachmentId);
    this.#memory = memory;
    // The gateway keeps what is lent for as long as any of it is mapped here.
    connection.onClosed(() => memory.close());
  }

  static async open(
    connection: Connection,
    attachmentId: bigint,
    socketName: string,
    token: Uint8Array,
  ): Promise<MappedChannel> {
    const memory = await LentMemory.borrow(socketName, token, BORROW_TIMEOUT_MS);
    if (typeof memory !== 'number') return new MappedChannel(connection, attachmentId, memory);
    throw new DirectError('CONNECTION', `the gateway lets nobody map its memory (errno ${-memory})`, {
      doing: 'attach',
      todo:
        -memory === EAGAIN
          ? 'too many clients ask at the same time; try again'
          : 'both must be on one machine and in one network namespace, of one user, or see direct.mapped.uids',
      // It was ended in the middle of that; another will be there.
      retriable: connection.isClosed || PASSING.has(-memory),
    });
  }

  /** Rejects with BUFFER_FULL at a limit of the gateway. @param onRelease called when the buffer is of no more use */
  async allocate(bytes: number, onRelease: (buffer: MappedBuffer) => void): Promise<MappedBuffer> {
    const doing = 'allocate';
    const all = HEAD_BYTES + bytes + TAIL_BYTES;
    const { lease, offset } = checked(await this.#requests.allocate(BigInt(all), doing), doing);
    const range = this.#map(lease, Number(offset), all, true, doing);
    return new MappedBuffer(this, lease, range, bytes, onRelease);
  }

  /** Rejects with a DirectError. The bytes are not checked: `crc` is what theirs has to be. */
  async view(
    reference: Uint8Array,
    offset: number,
    length: number,
    doing: string,
  ): Promise<View & { readonly crc: number }> {
    const asked = await this.#requests.view({ reference, offset, length }, doing);
    const { lease, offset: at, crc } = checked(asked, doing);
    const range = this.#map(lease, Number(at), length, false, doing);
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      range.unmap();
      this.release(lease);
    };
    return { bytes: range.bytes, crc, release };
  }

  release(lease: number): void {
    this.#requests.release(lease);
  }

  #map(lease: number, offset: number, bytes: number, writable: boolean, doing: string): LentRange {
    try {
      return this.#memory.map(offset, bytes, writable);
    } catch (cause) {
      this.release(lease);
      throw new DirectError('BUFFER_FULL', 'memory of the gateway cannot be mapped', { doing, cause });
    }
  }
}

/** @throws DirectError that says why there is none */
function checked<T extends { errorCode: number; errorMessage: string | null }>(
  one: T | undefined,
  doing: string,
): T {
  if (one === undefined) throw new DirectError('BROKER', 'an answer without what was asked for', { doing });
  const { errorCode, errorMessage } = one;
  if (errorCode === ErrorCode.POLICY_VIOLATION || errorCode === ErrorCode.REQUEST_TIMED_OUT)
    throw new DirectError('BUFFER_FULL', errorMessage ?? 'a limit of the gateway', {
      doing,
      todo: 'release what is no longer used, or raise the limit',
      retriable: true,
    });
  if (errorCode !== 0) throw brokerError(errorCode, errorMessage, doing);
  return one;
}

/** A batch of one event whose data is all of a buffer of this connection, in place; null for any other. */
export function inPlace(
  { pieces, eventOf }: EncodedBatch,
  bufferAt: (piece: Uint8Array) => MappedBuffer | null,
  channel: MappedChannel | null,
): InPlace | null {
  if (channel === null) return null;
  const at = eventOf.findIndex((event) => event >= 0);
  if (at < 0 || eventOf.findIndex((event, i) => event >= 0 && i > at) >= 0) return null;
  const data = pieces[at]!;
  const buffer = bufferAt(data);
  if (buffer === null || buffer.owner !== channel || data.byteLength !== buffer.bytes.byteLength) return null;
  return buffer.frame(pieces.slice(0, at), pieces.slice(at + 1));
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const { byteLength } of pieces) bytes += byteLength;
  return bytes;
}

function copyTo(target: Uint8Array, offset: number, pieces: readonly Uint8Array[]): void {
  let at = offset;
  for (const piece of pieces) {
    target.set(piece, at);
    at += piece.byteLength;
  }
}
