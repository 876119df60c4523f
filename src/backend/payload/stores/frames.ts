import type { Socket } from 'node:net';
import { MAX_FRAME_BYTES, MAX_GREETING_BYTES } from './messages.ts';
import { PROTOCOL } from './tls/settings.ts';

/** Bytes that may wait for a peer that does not read. */
const MAX_UNSENT_BYTES = 16 * MAX_FRAME_BYTES;
const LENGTH_BYTES = 4;
/** The first two bytes of whoever begins TLS. */
const TLS_GREETING = 0x1603;
/** How long what was sent last may take to leave when the connection is closed gently. */
const GENTLY_MS = 1000;

export interface FrameEvents {
  onFrame(message: string): void;
  /** Called once, whoever closed it. */
  onClose(reason: string): void;
}

/** A message as it goes out. */
export function frameOf(message: string): Buffer {
  const length = Buffer.byteLength(message);
  if (length > MAX_FRAME_BYTES) throw new Error(`a message of ${length} bytes is too long`);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + length);
  frame.writeUInt32BE(length, 0);
  frame.write(message, LENGTH_BYTES);
  return frame;
}

/**
 * Messages of text over a socket: four bytes of length, big-endian, then UTF-8. A frame that is too long closes the connection, and so does a
 * peer that takes nothing.
 */
export class Frames {
  readonly #socket: Socket;
  readonly #events: FrameEvents;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Below so many bytes there is nothing to be done with them. */
  #wanted = LENGTH_BYTES;
  #limit = MAX_GREETING_BYTES;
  #reason = 'the other end closed the connection';
  #received = false;
  #closed = false;
  /** What is sent in one turn leaves by one system call. */
  #isHolding = false;

  constructor(socket: Socket, events: FrameEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => {
      this.#reason = error.message;
    });
    socket.on('close', () => this.#ended());
  }

  /** Something has come. */
  get received(): boolean {
    return this.#received;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Both ends have shown who they are: frames may be as long as they come. */
  allowLong(): void {
    this.#limit = MAX_FRAME_BYTES;
  }

  send(message: string): void {
    if (this.#closed) return;
    this.#hold();
    this.#socket.write(frameOf(message));
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) this.close('the other end does not read');
  }

  #hold(): void {
    if (this.#isHolding) return;
    this.#isHolding = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#isHolding = false;
      this.#socket.uncork();
    });
  }

  /** What was sent is still delivered where `gently`, if the other end takes it soon. */
  close(reason: string, gently = false): void {
    if (this.#closed) return;
    this.#reason = reason;
    if (gently) {
      this.#socket.destroySoon();
      const timer = setTimeout(() => this.#socket.destroy(), GENTLY_MS);
      timer.unref();
      this.#socket.once('close', () => clearTimeout(timer));
    } else this.#socket.destroy();
    this.#ended();
  }

  #ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#chunks = [];
    this.#events.onClose(this.#reason);
  }

  #take(chunk: Buffer): void {
    if (this.#closed) return;
    this.#received = true;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (!this.#closed && this.#bytes >= this.#wanted) {
      const all = this.#joined();
      const length = all.readUInt32BE(0);
      if (length > this.#limit) {
        this.close(
          length >>> 16 === TLS_GREETING
            ? `it begins TLS, which is not spoken here: set ${PROTOCOL}=SSL here, or PLAINTEXT there`
            : `a frame of ${length} bytes came; ${this.#limit} are allowed`,
        );
        return;
      }
      this.#wanted = LENGTH_BYTES + length;
      if (all.length < this.#wanted) return;
      this.#wanted = LENGTH_BYTES;
      const message = all.toString('utf8', LENGTH_BYTES, LENGTH_BYTES + length);
      const rest = all.subarray(LENGTH_BYTES + length);
      this.#chunks = rest.length > 0 ? [rest] : [];
      this.#bytes = rest.length;
      this.#events.onFrame(message);
    }
  }

  #joined(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!;
  }
}
