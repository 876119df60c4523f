import { NativeMemory } from '../../native/arena.ts';
import { crc32cJoin } from '../../native/batch.ts';
import type { Blocks, Move } from '../../native/direct.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { SignedReference } from '../../protocol/records/signed-reference.ts';
import type { Attachment } from './attachments.ts';
import { moveForClient } from './checked-moves.ts';
import type { GetItem, GotItem } from './direct-gets.ts';
import type { ExtentParts, Picked } from './extent-parts.ts';
import { lackOfMemory } from './payload-source.ts';

/** Copying so much takes twenty times as long as waking another thread. */
const JOB_BYTES = 4 << 20;

/** One item on its way. */
export interface Wanted {
  /** Its place in the request. */
  readonly index: number;
  readonly item: GetItem;
  readonly signed: SignedReference;
  readonly blocks: readonly Blocks[];
  readonly answer: GotItem;
}

/** Whether the blocks are one stretch. */
export function isContiguous(blocks: readonly Blocks[]): boolean {
  return blocks.length === 1 && blocks[0]!.count === 1;
}

/** The copies that a request needs. Whoever adds to it holds the extents until it has run. */
export class MovePlan {
  readonly #attachment: Attachment | null;
  readonly #moves: Move[] = [];
  /** For each move, whose CRC it finds, and of how many bytes. */
  readonly #answers: { readonly answer: GotItem; readonly bytes: number }[] = [];
  readonly #data: { piece: MemoryPiece; index: number }[] = [];

  constructor(attachment: Attachment | null) {
    this.#attachment = attachment;
  }

  /** @throws ApiError when it cannot be had */
  add({ index, item, signed, blocks, answer }: Wanted, extent: ExtentParts): void {
    const { valueOffset, valueLength, valueCrc } = signed.reference;
    if (valueOffset + valueLength > extent.byteLength)
      throw new ApiError(ErrorCode.INVALID_REQUEST, 'The reference lies outside its extent');
    if (answer.length === 0) return;
    const picked = extent.pick(valueOffset, blocks);
    // A whole value has a checksum, which was made when it was produced.
    const isWhole = isContiguous(blocks) && blocks[0]!.block === valueLength;
    if (isWhole) answer.crc = valueCrc;
    if (this.#attachment !== null) this.#push(item, picked, answer, !isWhole);
    else if (isContiguous(blocks)) this.#send(index, picked[0]!, answer, !isWhole);
    else this.#gather(index, picked, answer);
  }

  #push({ region, targetOffset }: GetItem, picked: readonly Picked[], answer: GotItem, checksum: boolean) {
    let to = targetOffset;
    for (const { piece, blocks, bytes } of picked) {
      const { memory } = piece;
      this.#move({ kind: 'push', memory, blocks, region, targetOffset: to, checksum }, answer, bytes);
      to += bytes;
    }
  }

  #gather(index: number, picked: readonly Picked[], answer: GotItem): void {
    const target = NativeMemory.allocate(answer.length);
    if (target === null) throw lackOfMemory();
    this.#data.push({ piece: new MemoryPiece(target), index });
    let to = 0;
    for (const { piece, blocks, bytes } of picked) {
      const { memory } = piece;
      this.#move({ kind: 'gather', memory, blocks, target, targetOffset: to }, answer, bytes);
      to += bytes;
    }
  }

  /** One stretch goes out from where it is. */
  #send(index: number, { piece, blocks, bytes }: Picked, answer: GotItem, checksum: boolean): void {
    const { origin, memory } = piece;
    const at = blocks[0]!.offset;
    const file = origin && { file: origin.file, position: origin.position + at - piece.offset };
    const sent = new MemoryPiece(memory.slice(at, bytes), 0, bytes, file);
    this.#data.push({ piece: sent, index });
    if (checksum) this.#move({ kind: 'check', memory, blocks }, answer, bytes);
  }

  #move(move: Move, answer: GotItem, bytes: number): void {
    if (bytes > JOB_BYTES && isContiguous(move.blocks)) {
      this.#moveInParts(move, answer, bytes);
      return;
    }
    this.#moves.push(move);
    this.#answers.push({ answer, bytes });
  }

  /** A long stretch, which several threads copy. */
  #moveInParts(move: Move, answer: GotItem, bytes: number): void {
    const { blocks, targetOffset = 0 } = move;
    for (let done = 0; done < bytes; done += JOB_BYTES) {
      const block = Math.min(JOB_BYTES, bytes - done);
      const part = [{ offset: blocks[0]!.offset + done, count: 1, block, stride: block }];
      this.#moves.push({ ...move, blocks: part, targetOffset: targetOffset + done });
      this.#answers.push({ answer, bytes: block });
    }
  }

  /** The moves in order, as much together as is worth a thread of its own. */
  #jobs(): Move[][] {
    const jobs: Move[][] = [];
    let bytes = JOB_BYTES;
    for (const [i, move] of this.#moves.entries()) {
      if (bytes >= JOB_BYTES) {
        jobs.push([]);
        bytes = 0;
      }
      jobs[jobs.length - 1]!.push(move);
      bytes += this.#answers[i]!.bytes;
    }
    return jobs;
  }

  async run(): Promise<MemoryPiece[]> {
    try {
      const moved = await Promise.allSettled(this.#jobs().map((moves) => moveForClient(moves)));
      const failed = moved.find((job) => job.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      const results = moved.flatMap((job) => (job.status === 'fulfilled' ? job.value : []));
      for (const [i, { error, crc }] of results.entries()) {
        const { answer, bytes } = this.#answers[i]!;
        if (this.#moves[i]!.checksum !== false)
          answer.crc = bytes === answer.length ? crc : crc32cJoin(answer.crc, crc, bytes);
        if (error === 0) continue;
        answer.errorCode = ErrorCode.INVALID_REQUEST;
        answer.errorMessage = `The attached memory cannot be written (errno ${error}): it must keep its size`;
      }
      // Items of one extent were added together.
      return this.#data.sort((a, b) => a.index - b.index).map(({ piece }) => piece);
    } catch (error) {
      for (const { piece } of this.#data) piece.memory.release();
      throw error;
    }
  }
}
