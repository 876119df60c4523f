import type { NativeMemory } from '../../../../native/arena.ts';
import type { AttachedTarget } from '../../../../native/fabric-attach.ts';
import { recycledBytesFor } from '../../../../native/store.ts';
import type { Clock } from '../../../../util/clock.ts';
import type { Identity } from '../authentication.ts';
import { ARENA_REGION, type Operation, StoreError, type StoreStatus } from '../messages.ts';
import type { ArenaQueue } from './arena-queue.ts';
import type { GatewayFiles } from './gateway-files.ts';
import { StoredFile } from './stored-file.ts';

/** Files begin with so much space of removed ones at most: segments are as large as topics say, a gigabyte by default. */
const RECYCLED_BYTES = 1 << 30;
/** The length among the words of a range. */
const RANGE_LENGTH = 1;
const MAX_CHECK_BYTES = 64 << 20;

export interface StoreCounters {
  writtenBytes: number;
  readBytes: number;
  checkedBytes: number;
  operations: number;
  failures: number;
}

export interface OperationsOptions {
  readonly files: GatewayFiles;
  readonly memory: ArenaQueue;
  readonly counters: StoreCounters;
  readonly status: () => StoreStatus;
  readonly setDraining: (on: boolean) => Promise<void>;
  readonly clock: Clock;
}

type Of<O extends Operation['op']> = Extract<Operation, { op: O }>;

/** What one gateway can have a store do: with its own files only, and for payload only with the arena that it has published. */
export class Operations {
  readonly #options: OperationsOptions;

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
      if (role === 'operator' && operation.op !== 'status' && operation.op !== 'drain')
        throw new StoreError('EACCES', `an operator may not ${operation.op}`);
      return await this.#run(operation, sequence, target);
    } catch (error) {
      counters.failures++;
      throw error;
    }
  }

  async #run(operation: Operation, sequence: bigint, target: AttachedTarget | null): Promise<object> {
    const { files, status, setDraining } = this.#options;
    switch (operation.op) {
      case 'status':
        return status();
      case 'drain':
        await setDraining(operation.on);
        return {};
      case 'list':
        return files.list(operation.after);
      case 'create':
        await files.create(operation.file, recycledBytesFor(RECYCLED_BYTES, RECYCLED_BYTES));
        return {};
      case 'append':
        await this.#append(operation, sequence, attached(target));
        return {};
      case 'sync':
        await files.get(operation.file).sync();
        return {};
      case 'seal':
        await files.get(operation.file).seal(operation.bytes, operation.trust);
        return {};
      case 'read':
        return this.#read(operation, sequence, attached(target));
      case 'check':
        return this.#check(operation);
      case 'remove':
        await files.remove(operation.file);
        return {};
      case 'removePartition':
        await files.removePartition(operation.partition);
        return {};
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

  async #append(
    { file, position, length, source, key, fromMemory, timeoutMs }: Of<'append'>,
    sequence: bigint,
    target: AttachedTarget,
  ): Promise<void> {
    const { files, memory, counters, clock } = this.#options;
    const deadlineMs = clock.now() + timeoutMs;
    const ranges = this.#resolve(target, sequence, { write: false, key, offset: source, length, timeoutMs });
    const allocate = () => memory.allocate(StoredFile.memoryFor(position, length), deadlineMs);
    const fill = async (block: NativeMemory, offset: number) => {
      const leftMs = Math.max(1, deadlineMs - clock.now());
      await target.transport.read(target.peer, ranges, [{ memory: block, offset }], leftMs).done;
    };
    await files.get(file).append(position, length, fromMemory, allocate, fill);
    counters.writtenBytes += length;
  }

  async #read(
    { file, position, length, seed, target: offset, key, timeoutMs }: Of<'read'>,
    sequence: bigint,
    target: AttachedTarget,
  ): Promise<object> {
    const { files, counters } = this.#options;
    const order = { write: true, key, offset, timeoutMs };
    const ranges = this.#resolve(target, sequence, { ...order, length });
    const { piece, crc32c } = await files.touch(file).read(position, length, seed);
    try {
      const { memory, byteLength } = piece;
      // Fewer at the end of the file.
      ranges[RANGE_LENGTH] = BigInt(byteLength);
      const local = [{ memory, offset: piece.offset }];
      await target.transport.write(target.peer, ranges, local, timeoutMs).done;
      counters.readBytes += byteLength;
      return { crc: crc32c, length: byteLength };
    } finally {
      piece.memory.release();
    }
  }

  async #check({ file, position, length, seed }: Of<'check'>): Promise<object> {
    if (length > MAX_CHECK_BYTES)
      throw new StoreError('E2BIG', `at most ${MAX_CHECK_BYTES} bytes are checked at a time`);
    const { piece, crc32c } = await this.#options.files.touch(file).read(position, length, seed);
    const { byteLength } = piece;
    piece.memory.release();
    this.#options.counters.checkedBytes += byteLength;
    return { crc: crc32c, length: byteLength };
  }
}

function attached(target: AttachedTarget | null): AttachedTarget {
  if (target === null) throw new StoreError('ENOTCONN', 'no memory is attached');
  return target;
}
