import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../util/logger.ts';
import { isTransient } from '../log/errors.ts';
import { type ExtentReference, rangeOfExtent } from './checked-reads.ts';
import { type Extent, readExtentSummary } from './extents.ts';
import { absentPlace, extentsPath, payloadPath, segmentOfExtents } from './home-places.ts';
import type { OpenFiles } from './open-files.ts';
import type { LostPayload, PayloadPlace, PayloadPlaces } from './ports.ts';
import { PayloadSegment, type SegmentOrigin } from './segment.ts';
import { makeDirectory, namesIn, removeFile, replaceFile } from './small-files.ts';
import { StoreError } from './stores/messages.ts';
import { COPY_SUFFIX } from './tiers/directories.ts';

/** While payload may be where nobody can look, new segments are numbered so far behind those that are known. */
const OUTAGE_ID_GAP = 1 << 20;

/** Says from which offset on payload was not looked at yet: a start that could not do so leaves it to the next one. */
const UNCHECKED = 'unchecked';

/** A reference that the log holds, as far as recovery needs it. */
export interface Reference extends Extent, ExtentReference {
  position: number;
  length: number;
}

export interface RecoveryInput {
  logStartOffset: bigint;
  logEndOffset: bigint;
  /** Offsets from here on were not known to be durable when the process ended; null after a clean shutdown. */
  recoveryPoint: bigint | null;
  /** The references in the log from an offset on, in order. */
  references(from: bigint): AsyncIterable<Reference>;
  /** Cuts the log there, durably, before payload that is referred to behind goes. */
  truncate(cut: bigint): Promise<void>;
}

/** Whether payload is there cannot be said yet: not everybody who may have it answers. Recovery is to be tried again. */
export class PayloadUnreachable extends Error {
  constructor(segmentId: number, offset: bigint, reason: string) {
    super(`payload of segment ${segmentId}, offset ${offset}, is not reachable yet: ${reason}`);
  }
}

/** Is there when a process has ended before it could give up all that it was to. */
export const UNRELEASED = 'unreleased';

export interface RecoveredPayload {
  /** In the order of their numbers. */
  readonly segments: readonly PayloadSegment[];
  /** Those of them whose end could not be written down yet. */
  readonly unsealed: readonly PayloadSegment[];
  readonly nextId: number;
  /** The offset of the first reference whose payload is missing or damaged, where the log was cut; null: nowhere. */
  readonly cut: bigint | null;
  /** What was lost with a restart of the machine, and its records with it; null: nothing. */
  readonly lost: LostPayload | null;
  /** What was to be given up may still be listed. */
  readonly mayHoldDead: boolean;
}

/** What recovery works on: a partition's payload directory, and where its files are. */
export interface RecoveryScope {
  readonly directory: string;
  readonly open: OpenFiles;
  readonly places: PayloadPlaces;
  readonly logger: Logger;
}

/**
 * Learns what payload is there at the start, and removes what no record refers to. Reads payload only beyond the recovery point.
 * @throws PayloadUnreachable, and then it has changed nothing that a second attempt needs
 */
export async function recoverSegments(scope: RecoveryScope, input: RecoveryInput): Promise<RecoveredPayload> {
  const names = await namesIn(scope.directory);
  const unchecked = names.includes(UNCHECKED) ? await readUnchecked(scope.directory) : null;
  const { recoveryPoint } = input;
  const isEarlier = unchecked !== null && (recoveryPoint === null || unchecked < recoveryPoint);
  const recovery = new PayloadRecovery(
    scope,
    names,
    isEarlier ? { ...input, recoveryPoint: unchecked } : input,
  );
  try {
    const recovered = await recovery.run();
    if (unchecked !== null) await removeFile(join(scope.directory, UNCHECKED));
    return recovered;
  } catch (error) {
    scope.places.abandoned?.();
    if (unchecked === null && recoveryPoint !== null) await noteUnchecked(scope, recoveryPoint);
    throw error;
  }
}

async function readUnchecked(directory: string): Promise<bigint> {
  const path = join(directory, UNCHECKED);
  const text = await readFile(path, 'utf8');
  if (!/^\d{1,19}\n$/.test(text)) throw new Error(`${path} holds no offset: put 0 into it, or remove it`);
  return BigInt(text.trim());
}

/** Of a gateway that ends well nothing else tells the next start. */
async function noteUnchecked({ directory, logger }: RecoveryScope, offset: bigint): Promise<void> {
  try {
    await makeDirectory(directory);
    await replaceFile(join(directory, UNCHECKED), Buffer.from(`${offset}\n`));
  } catch (error) {
    const fields = { directory, offset: String(offset), err: error };
    logger.error(fields, 'The next start may not look whether payload from this offset on is there');
  }
}

class PayloadRecovery {
  readonly #scope: RecoveryScope;
  /** What the directory holds. */
  readonly #names: readonly string[];
  readonly #input: RecoveryInput;
  readonly #segments = new Map<number, PayloadSegment>();
  readonly #unsealed: PayloadSegment[] = [];
  /** Segments without a good list, and what the log says that they have. */
  readonly #unknown = new Map<number, Reference[]>();
  #places: ReadonlyMap<number, PayloadPlace> = new Map();
  #nextId = 0;
  /** By segment. */
  readonly #lost = new Map<number, { segmentId: number; first: bigint; last: bigint }>();
  readonly #lostTotal = { batches: 0, bytes: 0 };

  constructor(scope: RecoveryScope, names: readonly string[], input: RecoveryInput) {
    this.#scope = scope;
    this.#names = names;
    this.#input = input;
  }

  async run(): Promise<RecoveredPayload> {
    const { outage } = this.#scope.places;
    const { recoveryPoint } = this.#input;
    this.#places = await this.#findPlaces();
    let from = await this.#adoptListed();
    const unknown = this.#unknown;
    const lost = this.#scope.places.lost ?? new Set();
    if (lost.size > 0) from = this.#input.logStartOffset;
    // After a clean end every segment has its sidecar, and there is nothing to learn from the log.
    else if (unknown.size === 0 && recoveryPoint === null && outage === null) return this.#result(null);
    // With nothing to learn, only what may not be durable has to be checked.
    else if (unknown.size === 0 && recoveryPoint !== null && recoveryPoint > from && outage === null)
      from = recoveryPoint;
    const cut = await this.#match(from);
    if (cut !== null) await this.#input.truncate(cut);
    await this.#adoptUnknown();
    if (outage !== null) this.#nextId += OUTAGE_ID_GAP;
    return this.#result(cut);
  }

  #result(cut: bigint | null): RecoveredPayload {
    const segments = [...this.#segments].sort(([a], [b]) => a - b).map(([, segment]) => segment);
    const lost = (this.#scope.places.lost?.size ?? 0) === 0 ? null : this.#lostPayload();
    const mayHoldDead = this.#names.includes(UNRELEASED);
    return { segments, unsealed: this.#unsealed, nextId: this.#nextId, cut, lost, mayHoldDead };
  }

  #lostPayload(): LostPayload {
    return { ranges: [...this.#lost.values()], ...this.#lostTotal };
  }

  #noteLost({ segmentId, baseOffset, lastOffset, length }: Reference): void {
    const range = this.#lost.get(segmentId);
    if (range === undefined) this.#lost.set(segmentId, { segmentId, first: baseOffset, last: lastOffset });
    else range.last = lastOffset;
    this.#lostTotal.batches++;
    this.#lostTotal.bytes += length;
  }

  #origin(id: number): SegmentOrigin {
    const { directory, open } = this.#scope;
    return { directory, id, open, place: this.#places.get(id)! };
  }

  /** Takes the segments that have good lists; returns from which offset on the log has more to tell. */
  async #adoptListed(): Promise<bigint> {
    const { logStartOffset, logEndOffset } = this.#input;
    let from = logStartOffset;
    for (const id of this.#places.keys()) {
      this.#nextId = id + 1;
      const summary = await readExtentSummary(extentsPath(this.#scope.directory, id));
      if (summary === null || summary.lastOffset >= logEndOffset) {
        this.#unknown.set(id, []);
        continue;
      }
      const segment = PayloadSegment.sealed(this.#origin(id), summary);
      if (segment.isDeadBefore(logStartOffset) && (await this.#remove(segment))) continue;
      await segment.countLiveFrom(logStartOffset);
      this.#segments.set(id, segment);
      if (this.#unknown.size === 0 && summary.lastOffset >= from) from = summary.lastOffset + 1n;
    }
    return from;
  }

  /** Finds the extents of segments in the log. Returns where the log has to be cut. */
  async #match(from: bigint): Promise<bigint | null> {
    const { directory, logger, places } = this.#scope;
    for await (const reference of this.#input.references(from)) {
      const { segmentId: segment, baseOffset } = reference;
      this.#nextId = Math.max(this.#nextId, segment + 1);
      if (places.lost?.has(segment)) {
        this.#noteLost(reference);
        continue;
      }
      const place = this.#places.get(segment);
      const found = this.#unknown.get(segment);
      const isThere = found === undefined ? this.#segments.has(segment) : await this.#isThere(reference);
      if (!isThere) {
        const outage = place === undefined ? places.outage : place.outage;
        const fields = { directory, offset: baseOffset, segment, outage };
        logger.error(fields, 'A record refers to payload that is missing or damaged');
        if (this.#isChecked(reference)) return baseOffset;
        continue;
      }
      found?.push(reference);
    }
    return null;
  }

  /** The bytes of the reference may not have been durable, and can be looked at, now or later. */
  #isChecked({ segmentId, lastOffset }: Reference): boolean {
    const { recoveryPoint } = this.#input;
    if (recoveryPoint === null || lastOffset < recoveryPoint) return false;
    const place = this.#places.get(segmentId);
    if (place === undefined) return this.#scope.places.outage === null;
    return place.outage === null || place.isAwaited === true;
  }

  async #isThere(reference: Reference): Promise<boolean> {
    if (!this.#isChecked(reference)) return true;
    const { segmentId, baseOffset, length, batchCrc } = reference;
    const { open } = this.#scope;
    const file = open.acquire(this.#places.get(segmentId)!.path);
    try {
      const [read] = await (await file.file).readRanges([rangeOfExtent(reference)]);
      if (read instanceof Error) throw read;
      const { piece, crc32c } = read!;
      const whole = piece.byteLength === length && crc32c === batchCrc;
      piece.memory.release();
      return whole;
    } catch (error) {
      const isOfStores = error instanceof StoreError;
      // All who were to have it were asked, and none has.
      if (isOfStores && error.code === 'ENOENT') return false;
      // For want of memory, as when many partitions are looked at together, or of descriptors.
      if (!isOfStores && !isTransient(error)) throw error;
      throw new PayloadUnreachable(segmentId, baseOffset, (error as Error).message);
    } finally {
      open.release(file);
    }
  }

  /** Completes the segments whose extents were found in the log, and removes those of nobody. */
  async #adoptUnknown(): Promise<void> {
    const { directory, logger } = this.#scope;
    for (const [id, references] of this.#unknown) {
      const segment = PayloadSegment.recovered(this.#origin(id), references);
      if (segment.unused) {
        logger.info({ directory, segment: id }, 'Removing payload that no record refers to');
        await this.#remove(segment);
        continue;
      }
      await this.#seal(segment);
      await segment.countLiveFrom(this.#input.logStartOffset);
      this.#segments.set(id, segment);
    }
  }

  /** One that cannot be removed keeps nobody from the others: it is tried again with what is given up next, or by the next start. */
  async #remove(segment: PayloadSegment): Promise<boolean> {
    try {
      await segment.remove();
      return true;
    } catch (error) {
      this.#scope.logger.warn({ segment: segment.path, err: error }, 'Payload could not be removed');
      return false;
    }
  }

  /** A segment whose stores are away, or cannot end it now, is ended when they are back; one for which there is no room now, by the next start. */
  async #seal(segment: PayloadSegment): Promise<void> {
    if (segment.outage === null) {
      try {
        await segment.seal();
        return;
      } catch (error) {
        const isAtStore = error instanceof StoreError;
        if (!isAtStore && !isTransient(error)) throw error;
        const fields = { segment: segment.path, err: error };
        this.#scope.logger.warn(fields, 'A payload segment could not be completed');
        // Behind the recovery point nobody looks whether it is there.
        if (!isAtStore) await segment.sync();
      }
    }
    this.#unsealed.push(segment);
  }

  /** Where the payload file of each segment is, in the order of the segments. */
  async #findPlaces(): Promise<ReadonlyMap<number, PayloadPlace>> {
    const { directory } = this.#scope;
    const places = new Map<number, PayloadPlace>();
    for (const { segmentId, place } of await this.#scope.places.find(this.#names))
      places.set(segmentId, place);
    const { outage } = this.#scope.places;
    for (const name of this.#names) {
      const id = segmentOfExtents(name);
      const lost = id !== null && !places.has(id);
      if (lost && outage !== null) places.set(id, absentPlace(payloadPath(directory, id), outage));
      // A removal that was interrupted, or payload that somebody took away: then reads of it will say so.
      else if (lost || name.endsWith('.tmp') || name.endsWith(COPY_SUFFIX))
        await removeFile(join(directory, name));
    }
    return new Map([...places].sort(([a], [b]) => a - b));
  }
}
