import { LogError, LogErrorCode } from '../../backend/log/errors.ts';
import { type BatchDescriptor, isAlmostFull, type ReadOptions } from '../../backend/log/log-reader.ts';
import type { LogFile } from '../../backend/log/ports.ts';
import { PayloadError } from '../../backend/payload/checked-reads.ts';
import { soon } from '../../util/soon.ts';
import {
  type DivertedBatch,
  findDivertedBatches,
  REFERENCE_ATTRIBUTE,
  readDivertedBatches,
} from './diverted-batch.ts';
import type { Partition } from './partition.ts';

/** Batches that lie behind each other in a log's file, to be sent as they are. */
export interface LogRange {
  file: LogFile;
  position: number;
  byteLength: number;
  /** Reference batches, to be sent as such. */
  references?: true;
}

/** What a fetch will send of one partition: ranges of the log's files, and diverted batches to be put back. */
export interface FetchPlan {
  parts: (LogRange | DivertedBatch)[];
  /** Bytes that will go out. */
  bytes: number;
  /** Where the first batch begins, and the offset behind the last; 0 without any. */
  baseOffset: bigint;
  endOffset: bigint;
}

/** A signed reference batch takes at most so many times the bytes of the one in the log. */
const SIGNED_GROWTH = 3;

/** What the log has in place of a record whose payload lies elsewhere takes about so many bytes, its part of the batch included. */
const REFERENCE_BYTES = 256;
/** Batches differ: another step costs more than looking at a few too many. */
const UNLIKE_FACTOR = 1.25;
/** Smaller records are not expected behind references, whatever the topic's setting is now. */
const MIN_REFERRED_BYTES = 1024;

export const EMPTY_PLAN: FetchPlan = { parts: [], bytes: 0, baseOffset: 0n, endOffset: 0n };

/**
 * Finds what to send from `offset` on: whole batches, at most `maxBytes` of them as they go out, but with `minOneBatch` at least
 * one. Reads no payload. `asReferences`: reference batches are sent as they are. `enough`: no batch but the first begins above it. Answers at
 * once where the log knows its recent batches.
 */
export function planFetch(
  partition: Partition,
  offset: bigint,
  end: bigint,
  maxBytes: number,
  minOneBatch: boolean,
  asReferences = false,
  enough: bigint | null = null,
): FetchPlan | Promise<FetchPlan> {
  if (offset >= end || (maxBytes <= 0 && !minOneBatch)) return EMPTY_PLAN;
  return new Planner(partition, end, maxBytes, minOneBatch, asReferences, enough).run(offset);
}

class Planner {
  readonly #partition: Partition;
  readonly #end: bigint;
  readonly #maxBytes: number;
  readonly #minOneBatch: boolean;
  readonly #asReferences: boolean;
  readonly #enough: bigint | null;
  readonly #parts: FetchPlan['parts'] = [];
  #bytes = 0;
  /** That those are in the log. */
  #logBytes = 0;
  #baseOffset: bigint | null = null;
  #endOffset = 0n;
  #full = false;
  #lastStepBytes = 0;

  constructor(
    partition: Partition,
    end: bigint,
    maxBytes: number,
    minOneBatch: boolean,
    asReferences: boolean,
    enough: bigint | null,
  ) {
    this.#partition = partition;
    this.#end = end;
    this.#maxBytes = maxBytes;
    this.#minOneBatch = minOneBatch;
    this.#asReferences = asReferences;
    this.#enough = enough;
  }

  run(from: bigint): FetchPlan | Promise<FetchPlan> {
    for (let offset = from; ; ) {
      const next = this.#step(offset);
      if (next instanceof Promise)
        return next.then(
          (found) => (found === null ? this.#plan() : this.run(found)),
          (error) => this.#endAt(error),
        );
      if (next === null) return this.#plan();
      offset = next;
    }
  }

  /** What precedes damage is given; who asks for what follows is told. */
  #endAt(error: unknown): FetchPlan {
    const isDamage = error instanceof LogError && error.code === LogErrorCode.CORRUPT_MESSAGE;
    if (!isDamage || this.#parts.length === 0) throw error;
    return this.#plan();
  }

  /** Adds batches from `offset` on; returns where to go on, or null when the plan is complete. */
  #step(offset: bigint): bigint | null | Promise<bigint | null> {
    const { log } = this.#partition;
    const bytes = this.#stepBytes();
    const read = log.readCached(offset, bytes, this.#options()) ?? log.read(offset, bytes, this.#options());
    return soon(read, ({ batches }) => this.#take(batches));
  }

  #take(batches: readonly BatchDescriptor[]): bigint | null | Promise<bigint | null> {
    const diverted = this.#recentOf(batches);
    const unknown = this.#unknownOf(batches, diverted);
    if (unknown.length === 0) return this.#add(batches, diverted);
    const found = findDivertedBatches(unknown, this.#rest) ?? readDivertedBatches(unknown, this.#rest);
    return soon(found, (read) => {
      for (const [baseOffset, batch] of read) diverted.set(baseOffset, batch);
      return this.#add(batches, diverted);
    });
  }

  #plan(): FetchPlan {
    if (!this.#asReferences && this.#bytes > 0) this.#partition.logShare = this.#logBytes / this.#bytes;
    const baseOffset = this.#baseOffset ?? 0n;
    return { parts: this.#parts, bytes: this.#bytes, baseOffset, endOffset: this.#endOffset };
  }

  #recentOf(batches: readonly BatchDescriptor[]): Map<bigint, DivertedBatch> {
    const recent = new Map<bigint, DivertedBatch>();
    for (const batch of batches) {
      const diverted = this.#isDiverted(batch)
        ? this.#partition.recentlyDiverted.get(batch.baseOffset)
        : undefined;
      if (diverted !== undefined) recent.set(batch.baseOffset, diverted);
    }
    return recent;
  }

  #unknownOf(
    batches: readonly BatchDescriptor[],
    known: ReadonlyMap<bigint, DivertedBatch>,
  ): BatchDescriptor[] {
    return batches.filter((batch) => this.#isDiverted(batch) && !known.has(batch.baseOffset));
  }

  /** Returns the offset behind the batches, unless nothing is to follow. Those that begin where there is enough may be missing in `diverted`. */
  #add(batches: readonly BatchDescriptor[], diverted: Map<bigint, DivertedBatch>): bigint | null {
    for (const batch of batches) {
      if (this.#parts.length > 0 && (this.#rest === 0 || this.#isBehindEnough(batch))) this.#full = true;
      if (this.#full) break;
      if (this.#isDiverted(batch)) this.#addDiverted(diverted.get(batch.baseOffset));
      else this.#addPlain(batch, isReference(batch));
      if (this.#full) break;
      this.#baseOffset ??= batch.baseOffset;
      this.#endOffset = batch.lastOffset + 1n;
      this.#logBytes += batch.sizeBytes;
    }
    const last = batches[batches.length - 1];
    if (last === undefined || this.#full || isAlmostFull(this.#bytes, this.#maxBytes)) return null;
    const next = last.lastOffset + 1n;
    return next < this.#end ? next : null;
  }

  #isBehindEnough({ baseOffset }: BatchDescriptor): boolean {
    return this.#enough !== null && baseOffset > this.#enough;
  }

  get #rest(): number {
    return Math.max(0, this.#maxBytes - this.#bytes);
  }

  /**
   * A log that holds references is read in steps, since a few bytes of it may stand for all that is wanted: the first as if it were like what was
   * planned last, or references to the smallest payload that there should be, whichever is less, and each twice as large as the one before.
   */
  #stepBytes(): number {
    const { payloads, config, logShare } = this.#partition;
    if (this.#asReferences || payloads.isEmpty) return this.#rest;
    const smallest = Math.max(MIN_REFERRED_BYTES, config.payloadMinBytes);
    const asReferences = Math.ceil(this.#rest / smallest) * REFERENCE_BYTES;
    const first = Math.min(asReferences, Math.ceil(this.#rest * logShare * UNLIKE_FACTOR));
    this.#lastStepBytes = Math.max(2 * this.#lastStepBytes, first, REFERENCE_BYTES);
    return Math.min(this.#rest, this.#lastStepBytes);
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

  /** The batch is to be sent with its payload. */
  #isDiverted(batch: BatchDescriptor): boolean {
    return !this.#asReferences && isReference(batch);
  }

  #addPlain(batch: BatchDescriptor, references: boolean): void {
    const bytes = references ? batch.sizeBytes * SIGNED_GROWTH : batch.sizeBytes;
    if (!this.#hasRoomFor(bytes)) return;
    const { file, position, sizeBytes: byteLength } = batch;
    const last = this.#parts[this.#parts.length - 1];
    const follows =
      last !== undefined &&
      isLogRange(last) &&
      last.file === file &&
      (last.references ?? false) === references &&
      last.position + last.byteLength === position;
    if (follows) last.byteLength += byteLength;
    else if (references) this.#parts.push({ file, position, byteLength, references });
    else this.#parts.push({ file, position, byteLength });
    this.#bytes += bytes;
  }

  #addDiverted(batch: DivertedBatch | undefined): void {
    if (batch === undefined) throw new PayloadError('damaged', -1, 'a reference batch without a reference');
    if (!this.#hasRoomFor(batch.sizeBytes)) return;
    this.#parts.push(batch);
    this.#bytes += batch.sizeBytes;
  }
}

export function isLogRange(part: LogRange | DivertedBatch): part is LogRange {
  return 'file' in part;
}

function isReference(batch: BatchDescriptor): boolean {
  return (batch.attributes & REFERENCE_ATTRIBUTE) !== 0;
}
