import type { NativeMemory } from './arena.ts';
import { MemoryPiece, type Origin, type Piece } from './pieces.ts';

/** The part of the native class that takes replies. */
export interface OutboxCore {
  outbox(): { buffer: ArrayBuffer; dataBytes: number; commands: number };
  /** Takes over the first `commands` commands and their data. */
  submit(commands: number): void;
}

const Command = { bytes: 0, memory: 1, file: 2, close: 3, pause: 4, resume: 5 } as const;
/** How a command ends its reply. */
const End = { not: 0, reply: 1, reported: 2 } as const;
/** A command is kind, connection, ends the reply, memory handle or file id, offset, length; for memory, file id and position of its bytes. */
const commandFields = 8;

/** Collects replies in memory shared with native code, which takes all of them in one call. */
export class Outbox {
  readonly #core: OutboxCore;
  readonly #data: Uint8Array;
  readonly #commands: Float64Array;
  readonly #capacity: number;
  #count = 0;
  #dataLength = 0;
  #held: NativeMemory[] = [];
  #ended = false;

  constructor(core: OutboxCore) {
    const { buffer, dataBytes, commands } = core.outbox();
    this.#core = core;
    this.#data = new Uint8Array(buffer, 0, dataBytes);
    this.#commands = new Float64Array(buffer, dataBytes, commands * commandFields);
    this.#capacity = commands;
  }

  /** One whole reply; without pieces, the end of a request that gets none. With `reported` it is heard of when it is sent. */
  add(connection: number, pieces: readonly Piece[], reported = false): void {
    const last = pieces.length - 1;
    if (last < 0) this.#push(Command.bytes, connection, End.reply, 0, 0, 0);
    for (let i = 0; i <= last; i++) {
      const piece = pieces[i]!;
      const end = i < last ? End.not : reported ? End.reported : End.reply;
      if (piece instanceof Uint8Array) {
        this.#addBytes(connection, piece, end);
      } else if (piece instanceof MemoryPiece) {
        const { memory, offset, byteLength, origin } = piece;
        const start = memory.blockOffset + offset;
        this.#push(Command.memory, connection, end, memory.handle, start, byteLength, origin);
        this.#held.push(memory);
      } else {
        const { file, position, byteLength } = piece;
        this.#push(Command.file, connection, end, file.fileId, position, byteLength);
      }
    }
  }

  addClose(connection: number): void {
    this.#push(Command.close, connection, End.not, 0, 0, 0);
  }

  /** Whether frames of a connection are read. */
  addReading(connection: number, reads: boolean): void {
    this.#push(reads ? Command.resume : Command.pause, connection, End.not, 0, 0, 0);
  }

  /** What is added from now on is dropped. */
  end(): void {
    this.flush();
    this.#ended = true;
  }

  flush(): void {
    if (this.#count === 0) return;
    if (!this.#ended) this.#core.submit(this.#count);
    this.#count = 0;
    this.#dataLength = 0;
    // Native code has references of its own now.
    for (const memory of this.#held) memory.release();
    this.#held.length = 0;
  }

  #addBytes(connection: number, bytes: Uint8Array, end: number): void {
    let from = 0;
    do {
      if (this.#dataLength === this.#data.length || this.#count === this.#capacity) this.flush();
      const length = Math.min(bytes.length - from, this.#data.length - this.#dataLength);
      this.#data.set(length === bytes.length ? bytes : bytes.subarray(from, from + length), this.#dataLength);
      from += length;
      const last = from === bytes.length ? end : End.not;
      this.#push(Command.bytes, connection, last, 0, this.#dataLength, length);
      this.#dataLength += length;
    } while (from < bytes.length);
  }

  #push(
    kind: number,
    connection: number,
    end: number,
    reference: number,
    offset: number,
    length: number,
    origin: Origin | null = null,
  ): void {
    if (this.#count === this.#capacity) this.flush();
    const at = this.#count * commandFields;
    const commands = this.#commands;
    commands[at] = kind;
    commands[at + 1] = connection;
    commands[at + 2] = end;
    commands[at + 3] = reference;
    commands[at + 4] = offset;
    commands[at + 5] = length;
    commands[at + 6] = origin?.file.fileId ?? 0;
    commands[at + 7] = origin?.position ?? 0;
    this.#count++;
  }
}
