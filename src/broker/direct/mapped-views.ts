import { arenaStats } from '../../native/arena.ts';
import type { Blocks } from '../../native/direct.ts';
import type { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { SignedReference } from '../../protocol/records/signed-reference.ts';
import type { MemoryBudget } from '../partitions/memory-budget.ts';
import { moveForClient } from './checked-moves.ts';
import type { MappedSession } from './mapped-memory.ts';
import { expansionBytes, type PayloadSource } from './payload-source.ts';
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
    const { reference, claim } = signed;
    const { offset, length } = wanted;
    if (offset < 0 || length < 1 || offset + length > reference.valueLength)
      throw invalid(`${length} bytes at ${offset} are not inside a value of ${reference.valueLength}`);
    if (reference.valueOffset + reference.valueLength > reference.extentLength)
      throw invalid('The reference lies outside its extent');
    if (expansionBytes(signed) > 0) throw invalid('A compressed value cannot be mapped: get it');
    const pin = `${claim.topicId}/${claim.partition}/${reference.segmentId}/${reference.extentPosition}`;
    session.check(pin, reference.extentLength);
    const extent = this.#find(signed) ?? (await this.#read(signed));
    try {
      const memory = extent.memory.slice(extent.offset + reference.valueOffset + offset, length);
      const arenaOffset = memory.arenaOffset;
      let crc = reference.valueCrc;
      if (length < reference.valueLength) {
        const blocks: Blocks[] = [{ offset: 0, count: 1, block: length, stride: length }];
        try {
          crc = (await moveForClient([{ kind: 'check', memory, blocks }]))[0]!.crc;
        } catch (error) {
          memory.release();
          throw error;
        }
      }
      return { lease: session.lend(memory, pin, reference.extentLength, false), offset: arenaOffset, crc };
    } finally {
      extent.memory.release();
    }
  }

  /** An error is found again when it is read. */
  #find(signed: SignedReference): MemoryPiece | null {
    try {
      return this.#source.find(signed);
    } catch {
      return null;
    }
  }

  async #read(signed: SignedReference): Promise<MemoryPiece> {
    const bytes = signed.reference.extentLength;
    const { capacityBytes } = arenaStats();
    if (bytes > capacityBytes / 2)
      throw new ApiError(
        ErrorCode.MESSAGE_TOO_LARGE,
        `${bytes} bytes have to be read, the gateway has memory for half of ${capacityBytes} (arena.bytes)`,
      );
    const room = this.#memory.acquire(bytes);
    if (room !== undefined) await room;
    try {
      return await this.#source.read(signed);
    } finally {
      this.#memory.taken(bytes);
    }
  }
}

function invalid(message: string): ApiError {
  return new ApiError(ErrorCode.INVALID_REQUEST, message);
}
