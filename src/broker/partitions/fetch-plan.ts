import type { BatchDescriptor, ReadOptions } from '../../backend/log/log-reader.ts';
import { PayloadError } from '../../backend/payload/partition-payloads.ts';
import { FilePiece } from '../../native/pieces.ts';
import { type DivertedBatch, REFERENCE_ATTRIBUTE, readDivertedBatches } from './diverted-batch.ts';
import type { Partition } from './partition.ts';

/** What a fetch will send of one partition: ranges of the log's files as they are, and diverted batches to be put back. */
export interface FetchPlan {
  parts: (FilePiece | DivertedBatch)[];
  /** Bytes that will go out. */
  bytes: number;
}

/** Reads of a log that holds references go in steps of so many bytes: each may stand for a large payload. */
const REFERENCE_STEP_BYTES = 32_768;

export const EMPTY_PLAN: FetchPlan = { parts: [], bytes: 0 };

/**
 * Finds what to send from `offset` on: whole batches, at most `maxBytes` of them as they go out, but with `minOneBatch` at least
 * one. Reads no payload. Answers at once where the log knows its recent batches.
 */
export function planFetch(
  partition: Partition,
  offset: bigint,
  end: bigint,
  maxBytes: number,
  minOneBatch: boolean,
): FetchPlan | Promise<FetchPlan> {
  if (offset >= end || (maxBytes <= 0 && !minOneBatch)) return EMPTY_PLAN;
  return new Planner(partition, end, maxBytes, minOneBatch).run(offset);
}

class Planner {
  readonly #partition: Partition;
  readonly #end: bigint;
  readonly #maxBytes: number;
  readonly #minOneBatch: boolean;
  readonly #parts: FetchPlan['parts'] = [];
  #bytes = 0;
  #full = false;

  constructor(partition: Partition, end: bigint, maxBytes: number, minOneBatch: boolean) {
    this.#partition = partition;
    this.#end = end;
    this.#maxBytes = maxBytes;
    this.#minOneBatch = minOneBatch;
  }

  run(offset: bigint): FetchPlan | Promise<FetchPlan> {
    const { log } = this.#partition;
    const batches = log.readCached(offset, this.#stepBytes(), this.#options())?.batches ?? null;
    if (batches === null || batches.some(isReference)) return this.#runAsync(offset, batches);
    for (const batch of batches) this.#addPlain(batch);
    // What the cache gave is an answer; whether there is more is for the next fetch.
    return { parts: this.#parts, bytes: this.#bytes };
  }

  async #runAsync(offset: bigint, first: readonly BatchDescriptor[] | null): Promise<FetchPlan> {
    const { log } = this.#partition;
    let batches = first ?? (await log.read(offset, this.#stepBytes(), this.#options())).batches;
    while (batches.length > 0) {
      const diverted = await readDivertedBatches(batches.filter(isReference));
      for (const batch of batches) {
        if (isReference(batch)) this.#addDiverted(diverted.get(batch.baseOffset));
        else this.#addPlain(batch);
      }
      const next = batches[batches.length - 1]!.lastOffset + 1n;
      if (this.#full || this.#bytes >= this.#maxBytes || next >= this.#end) break;
      batches = (await log.read(next, this.#stepBytes(), this.#options())).batches;
    }
    return { parts: this.#parts, bytes: this.#bytes };
  }

  #stepBytes(): number {
    const rest = Math.max(0, this.#maxBytes - this.#bytes);
    return this.#partition.payloads.isEmpty ? rest : Math.min(rest, REFERENCE_STEP_BYTES);
  }

  #options(): ReadOptions {
    // In steps, a batch larger than the step has to come; what does not fit is left out here.
    return { upToOffset: this.#end, minOneBatch: true };
  }

  #hasRoomFor(bytes: number): boolean {
    if (!this.#full && this.#bytes + bytes > this.#maxBytes) {
      this.#full = !(this.#minOneBatch && this.#parts.length === 0);
    }
    return !this.#full;
  }

  #addPlain(batch: BatchDescriptor): void {
    if (!this.#hasRoomFor(batch.sizeBytes)) return;
    const last = this.#parts[this.#parts.length - 1];
    if (
      last instanceof FilePiece &&
      last.file === batch.file &&
      last.position + last.byteLength === batch.position
    ) {
      this.#parts[this.#parts.length - 1] = new FilePiece(
        last.file,
        last.position,
        last.byteLength + batch.sizeBytes,
      );
    } else {
      this.#parts.push(new FilePiece(batch.file, batch.position, batch.sizeBytes));
    }
    this.#bytes += batch.sizeBytes;
  }

  #addDiverted(batch: DivertedBatch | undefined): void {
    if (batch === undefined) throw new PayloadError('damaged', -1, 'a reference batch without a reference');
    if (!this.#hasRoomFor(batch.sizeBytes)) return;
    this.#parts.push(batch);
    this.#bytes += batch.sizeBytes;
  }
}

function isReference(batch: BatchDescriptor): boolean {
  return (batch.attributes & REFERENCE_ATTRIBUTE) !== 0;
}
