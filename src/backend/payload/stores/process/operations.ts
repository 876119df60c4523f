import type { AttachedTarget } from '../../../../native/fabric-attach.ts';
import type { MemoryPiece } from '../../../../native/pieces.ts';
import type { Clock } from '../../../../util/clock.ts';
import type { Identity } from '../authentication.ts';
import { ARENA_REGION, type Operation, StoreError, type StoreStatus } from '../messages.ts';
import type { ArenaQueue } from './arena-queue.ts';
import type { ByteTurns } from './byte-turns.ts';
import type { DiskHealth } from './disk-health.ts';
import type { GatewayFiles } from './gateway-files.ts';
import type { Measurements } from './measurements.ts';
import { Passing } from './passing.ts';
import type { Relays } from './relays.ts';
import type { StoredFile } from './stored-file.ts';
import { PIECE_BYTES } from './stored-file-parts.ts';

/** What a file may grow to of which that is not said: segments have a gigabyte by default. */
const SEGMENT_BYTES = 1 << 30;
/** What one read holds at most: a piece that is on its way, and the next. */
export const READ_BYTES = 2 * PIECE_BYTES;

export interface StoreCounters {
  writtenBytes: number;
  readBytes: number;
  checkedBytes: number;
  operations: number;
  failures: number;
}

export interface OperationsOptions {
  readonly relays: Relays;
  /** Memory for what is passed on, less of it: what others pass on to this store needs none of theirs, and so never waits for them. */
  readonly passed: ArenaQueue;
  readonly files: GatewayFiles;
  readonly memory: ArenaQueue;
  /** Of what is read for the gateway, until that has it. */
  readonly reads: ByteTurns;
  readonly disk: DiskHealth;
  readonly measurements: Measurements;
  readonly counters: StoreCounters;
  readonly status: () => StoreStatus;
  readonly setDraining: (on: boolean) => Promise<void>;
  readonly clock: Clock;
}

/** What whoever is no gateway may ask for. */
const MAY: { readonly [role in Identity['role']]?: ReadonlySet<Operation['op']> } = {
  operator: new Set(['status', 'drain']),
  store: new Set(['status', 'append']),
};

type Of<O extends Operation['op']> = Extract<Operation, { op: O }>;

/** What one gateway can have a store do: with its own files only, and for payload only with the arena that it has published. */
export class Operations {
  readonly #options: OperationsOptions;
  #isOver = false;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /** `sequence`: rises with each operation of a session. Rejects with an Error that has a `code`. */
  async run(
    operation: Operation,
    sequence: bigint,
    target: AttachedTarget | null,
    role: Identity['role'],
  ): Promise<object> {
    const { counters } = this.#options;
    counters.operations++;
    try {
      if (!(MAY[role]?.has(operation.op) ?? true))
        throw new StoreError(
          'EACCES',
          `${role === 'store' ? 'a store' : 'an operator'} may not ${operation.op}`,
        );
      return await this.#run(operation, sequence, target);
    } catch (error) {
      counters.failures++;
      throw error;
    }
  }

  async #run(operation: Operation, sequence: bigint, target: AttachedTarget | null): Promise<object> {
    const { files, disk, relays, status, setDraining } = this.#options;
    switch (operation.op) {
      case 'status':
        return status();
      case 'drain':
        await setDraining(operation.on);
        return {};
      case 'list':
        return files.list(operation.after);
      case 'create': {
        const { file, segmentBytes, mayLose = false, tier = null } = operation;
        const recycledBytes = segmentBytes ?? SEGMENT_BYTES;
        await files.create(file, { segmentBytes: segmentBytes ?? 0, mayLose, tier, recycledBytes });
        return {};
      }
      case 'pin':
        for (const { partition, tier } of operation.pins) files.pin(partition, tier);
        return {};
      case 'relay':
        await relays.open(operation.store, operation.address);
        return {};
      case 'append':
        return this.#append(operation, sequence, attached(target));
      case 'skip':
        disk.assertTakes();
        await files.use(operation.file).skip(operation.position, operation.length);
        return {};
      case 'sync':
        await files.sync(operation.file);
        return {};
      case 'seal':
        await files.use(operation.file).seal(operation.bytes, operation.trust);
        return {};
      case 'read':
        return this.#read(operation, sequence, attached(target));
      case 'check':
        return this.#check(operation);
      case 'punch':
        return { held: await files.use(operation.file).punch(operation.ranges) };
      case 'remove':
        await files.remove(operation.file);
        return {};
      case 'bare':
        return { offer: await this.#options.measurements.begin(attached(target)) };
      case 'measure': {
        const ranges = this.#resolve(attached(target), sequence, operation);
        const { answer, write } = operation;
        return this.#options.measurements.measure(attached(target), ranges, { answer, write });
      }
    }
  }

  /** The range of the gateway's memory; throws for what it has not published. */
  #resolve(
    { memory }: AttachedTarget,
    sequence: bigint,
    order: { write: boolean; key: string; offset: number; length: number; timeoutMs: number },
  ): BigUint64Array {
    const nowMs = this.#options.clock.now();
    return memory.resolve(
      {
        attachment: memory.attachment,
        sequence,
        expiresMs: nowMs + order.timeoutMs,
        write: order.write,
        parts: [
          {
            region: ARENA_REGION,
            key: BigInt(`0x${order.key}`),
            offset: BigInt(order.offset),
            length: BigInt(order.length),
          },
        ],
      },
      nowMs,
    );
  }

  async #append(operation: Of<'append'>, sequence: bigint, target: AttachedTarget): Promise<object> {
    const { file, position, length, source, key, fromMemory, timeoutMs, onward } = operation;
    const { files, disk, counters, clock, relays } = this.#options;
    const memory = onward === undefined ? this.#options.memory : this.#options.passed;
    const deadlineMs = clock.now() + timeoutMs;
    const stored = files.use(file);
    disk.assertTakes();
    const ranges = this.#resolve(target, sequence, { write: false, key, offset: source, length, timeoutMs });
    const passing = onward === undefined ? null : new Passing(operation, relays, clock, deadlineMs);
    const appended = stored.append(position, length, {
      fromMemory,
      ...(passing === null ? {} : { pass: passing.pass.bind(passing) }),
      allocate: (bytes) => memory.allocate(bytes, deadlineMs, () => !this.#isOver),
      freed: (bytes) => memory.freed(bytes),
      fill: (block, offset, from, bytes, filled) => {
        const leftMs = Math.max(1, deadlineMs - clock.now());
        const part = partOf(ranges, from, bytes);
        const local = [{ memory: block, offset }];
        target.transport.readCrc(target.peer, part, local, leftMs, { seed: 0, ending: filled });
      },
    });
    try {
      await appended;
    } finally {
      if (passing !== null) await passing.failed();
    }
    counters.writtenBytes += length;
    return passing === null ? {} : { failed: await passing.failed() };
  }

  /** Nothing is asked for any more: what is being passed on fails, and what was to be read. */
  end(reason: string): void {
    this.#isOver = true;
    this.#options.relays.end(reason);
    this.#options.reads.end(reason);
  }

  /** After `end`: resolves when no other store is needed any more. */
  async closed(): Promise<void> {
    await this.#options.relays.closed();
  }

  /** When it is its turn: a gateway that takes slowly what it asks for leaves others their memory. */
  async #read(operation: Of<'read'>, sequence: bigint, target: AttachedTarget): Promise<object> {
    const { files, reads, clock } = this.#options;
    const { file, length, target: offset, key, timeoutMs } = operation;
    const deadlineMs = clock.now() + timeoutMs;
    const stored = files.use(file);
    const ranges = this.#resolve(target, sequence, { write: true, key, offset, length, timeoutMs });
    const held = Math.min(length, READ_BYTES);
    const turn = reads.take(held, timeoutMs);
    if (turn !== null) await turn;
    try {
      return await this.#readTo(target, ranges, stored, { ...operation, deadlineMs });
    } finally {
      reads.over(held);
    }
  }

  /** Piece by piece: the next is read while one is on its way. */
  async #readTo(
    target: AttachedTarget,
    ranges: BigUint64Array,
    stored: StoredFile,
    { position, length, seed, deadlineMs }: Of<'read'> & { readonly deadlineMs: number },
  ): Promise<object> {
    const { counters, clock } = this.#options;
    const recent = length > PIECE_BYTES ? null : await stored.recent(position, length);
    if (recent !== null)
      return this.#give(recent, ranges, seed, Math.max(1, deadlineMs - clock.now()), target);
    let sending: Promise<void> = Promise.resolve();
    const send = async (before: Promise<void>, piece: MemoryPiece, from: number) => {
      try {
        await before;
        const leftMs = Math.max(1, deadlineMs - clock.now());
        const local = [{ memory: piece.memory, offset: piece.offset }];
        const part = partOf(ranges, from, piece.byteLength);
        await target.transport.write(target.peer, part, local, leftMs).done;
      } finally {
        piece.memory.release();
      }
    };
    try {
      const read = await this.#pieces(stored, position, length, seed, async (piece, from) => {
        const before = sending;
        sending = send(before, piece, from);
        sending.catch(() => undefined);
        await before;
      });
      await sending;
      counters.readBytes += read.length;
      return read;
    } finally {
      // Nothing moves when the gateway hears that this has ended.
      await sending.catch(() => undefined);
    }
  }

  /** Sends what is in memory, all at once. */
  async #give(
    piece: MemoryPiece,
    ranges: BigUint64Array,
    seed: number,
    timeoutMs: number,
    { transport, peer }: AttachedTarget,
  ): Promise<object> {
    const { memory, offset, byteLength } = piece;
    try {
      const crc = await transport.write(peer, ranges, [{ memory, offset }], timeoutMs, seed).done;
      this.#options.counters.readBytes += byteLength;
      return { crc, length: byteLength };
    } finally {
      memory.release();
    }
  }

  async #check({ file, position, length, seed }: Of<'check'>): Promise<object> {
    const stored = this.#options.files.use(file);
    const found = await this.#pieces(stored, position, length, seed, ({ memory }) => memory.release());
    this.#options.counters.checkedBytes += found.length;
    return found;
  }

  /** Reads a range piece by piece; `take` releases them. Fewer bytes at the end of the file. */
  async #pieces(
    stored: StoredFile,
    position: number,
    length: number,
    seed: number,
    take: (piece: MemoryPiece, from: number) => void | Promise<void>,
  ): Promise<{ crc: number; length: number }> {
    let crc = seed;
    let done = 0;
    while (done < length) {
      const read = await stored.read(position + done, Math.min(PIECE_BYTES, length - done), crc);
      if (read === null || read.piece.byteLength === 0) {
        read?.piece.memory.release();
        break;
      }
      const from = done;
      crc = read.crc32c;
      done += read.piece.byteLength;
      await take(read.piece, from);
    }
    return { crc, length: done };
  }
}

/** A part of the one range that an order resolved to: its address, length and key. */
function partOf(range: BigUint64Array, from: number, length: number): BigUint64Array {
  return BigUint64Array.of(range[0]! + BigInt(from), BigInt(length), range[2]!);
}

function attached(target: AttachedTarget | null): AttachedTarget {
  if (target === null) throw new StoreError('ENOTCONN', 'no memory is attached');
  return target;
}
