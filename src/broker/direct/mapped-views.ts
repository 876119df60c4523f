import { arenaStats, type NativeMemory } from '../../native/arena.ts';
import type { Blocks } from '../../native/direct.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { SignedReference } from '../../protocol/records/signed-reference.ts';
import type { MemoryBudget } from '../partitions/memory-budget.ts';
import { moveForClient } from './checked-moves.ts';
import { ROOM_TIMEOUT_MS } from './extent-access.ts';
import { ExtentParts, type Picked } from './extent-parts.ts';
import type { MappedSession } from './mapped-memory.ts';
import { expansionBytes, lackOfMemory, type PayloadSource, type ReadPlan } from './payload-source.ts';
import type { ReferenceKeys } from './reference-keys.ts';

export interface ViewWanted {
  readonly reference: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

export interface LentView {
  readonly lease: number;
  /** In the arena. */
  readonly offset: number;
  readonly crc: number;
}

/** Lends values where they lie in the arena. */
export class MappedViews {
  readonly #source: PayloadSource;
  readonly #keys: ReferenceKeys;
  readonly #memory: MemoryBudget;

  constructor(parts: { source: PayloadSource; keys: ReferenceKeys; memory: MemoryBudget }) {
    this.#source = parts.source;
    this.#keys = parts.keys;
    this.#memory = parts.memory;
  }

  /** @throws ApiError or ReferenceRefused that says why it cannot be had */
  async view(session: MappedSession, wanted: ViewWanted, principal: string): Promise<LentView> {
    const signed = this.#keys.verify(wanted.reference, principal);
    const { reference } = signed;
    const { offset, length } = wanted;
    if (offset < 0 || length < 1 || offset + length > reference.valueLength)
      throw invalid(`${length} bytes at ${offset} are not inside a value of ${reference.valueLength}`);
    if (reference.valueOffset + reference.valueLength > reference.extentLength)
      throw invalid('The reference lies outside its extent');
    if (expansionBytes(signed) > 0) throw invalid('A compressed value cannot be mapped: get it');
    const blocks: Blocks[] = [{ offset, count: 1, block: length, stride: length }];
    const extent = await this.#open(session, signed, blocks);
    try {
      const [{ piece, blocks: within }] = extent.pick(reference.valueOffset, blocks) as [Picked];
      const memory = piece.memory.slice(piece.offset + within[0]!.offset, length);
      const { arenaOffset } = memory;
      const crc = length < reference.valueLength ? await crcOf(memory) : reference.valueCrc;
      return { lease: session.lend(memory, false), offset: arenaOffset, crc };
    } finally {
      extent.release();
    }
  }

  /** What holds the blocks of a value. */
  async #open(
    session: MappedSession,
    signed: SignedReference,
    blocks: readonly Blocks[],
  ): Promise<ExtentParts> {
    try {
      const found = this.#source.find(signed);
      if (found !== null) return ExtentParts.whole(found);
    } catch {
      // It is found again when it is read.
    }
    const { valueOffset } = signed.reference;
    const plan = await this.#source.plan(signed, [{ valueOffset, blocks }]);
    session.check(plan.bytes);
    return this.#read(session, plan);
  }

  async #read(session: MappedSession, plan: ReadPlan): Promise<ExtentParts> {
    const { bytes } = plan;
    const { capacityBytes } = arenaStats();
    if (bytes > capacityBytes / 2)
      throw new ApiError(
        ErrorCode.MESSAGE_TOO_LARGE,
        `${bytes} bytes have to be read, the gateway has memory for half of ${capacityBytes} (arena.bytes)`,
      );
    if (!(await this.#memory.acquireWithin(bytes, ROOM_TIMEOUT_MS, () => session.ended)))
      throw lackOfMemory();
    try {
      return await plan.read();
    } finally {
      this.#memory.taken(bytes);
    }
  }
}

/** Gives the memory back when that fails. */
async function crcOf(memory: NativeMemory): Promise<number> {
  const { byteLength: block } = memory;
  try {
    const blocks: Blocks[] = [{ offset: 0, count: 1, block, stride: block }];
    return (await moveForClient([{ kind: 'check', memory, blocks }]))[0]!.crc;
  } catch (error) {
    memory.release();
    throw error;
  }
}

function invalid(message: string): ApiError {
  return new ApiError(ErrorCode.INVALID_REQUEST, message);
}
