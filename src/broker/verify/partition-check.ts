import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isTransient } from '../../backend/log/errors.ts';
import { type Extent, readExtentSummary, readExtents } from '../../backend/payload/extents.ts';
import {
  extentsPath,
  payloadDirectory,
  payloadPath,
  segmentOfPayload,
} from '../../backend/payload/home-places.ts';
import type { Reference } from '../../backend/payload/payload-recovery.ts';
import { namesIn } from '../../backend/payload/small-files.ts';
import { readRecords, recordPath, type SegmentRecord } from '../../backend/payload/stores/segment-record.ts';
import { isPartitionName } from '../../backend/payload/tiers/directories.ts';
import type { Bucket } from '../../backend/payload/tiers/s3/bucket.ts';
import { ObjectError } from '../../backend/payload/tiers/s3/objects.ts';
import type { SurveyedFile } from '../../backend/payload/tiers/tier-survey.ts';
import { chooseCopy } from '../../backend/payload/tiers/tiered-places.ts';
import type { Store } from '../../native/store.ts';
import type { StoreFile } from '../../native/store-file.ts';
import type { FoundPartition } from './found-partitions.ts';
import type { StoreCopies } from './store-copies.ts';
import { type LogDamage, storedReferences } from './stored-references.ts';

/**
 * What is wrong, from the worst on: a record whose payload is gone or changed, a log that ends early, a list that contradicts the log, payload that
 * is there twice, payload of nobody.
 */
export type PayloadProblemKind = 'missing' | 'damaged' | 'log' | 'list' | 'copy' | 'orphan';

export interface PayloadProblem {
  readonly kind: PayloadProblemKind;
  readonly topic: string;
  readonly partition: number;
  /** The file that it is about. */
  readonly file: string;
  /** Of the first record concerned; null for files that no record refers to. */
  readonly offset: string | null;
  readonly detail: string;
  repaired: boolean;
}

export interface PartitionToCheck extends FoundPartition {
  /** Its payload files in tiers, and unfinished copies of such. */
  readonly tierFiles: readonly SurveyedFile[];
  /** Why payload may be where nobody can look; null: it is not. */
  readonly outage: string | null;
  /** As `partitionName`. */
  readonly name: string;
}

/** A payload file, wherever it is. */
interface PayloadCopy {
  readonly segmentId: number;
  readonly path: string;
  readonly tier: number;
  readonly bytes: number;
}

/** A payload file, or an object. */
type CheckedFile = Pick<StoreFile, 'size' | 'readCrc' | 'close'>;

export interface CheckOptions {
  readonly store: Store;
  /** Of the last tier, if that is S3. */
  readonly bucket: Bucket | null;
  /** Copies at stores; null without `payload.stores`. */
  readonly copies: StoreCopies | null;
  /** Read every extent and check it with its batch's CRC; otherwise only whether the files reach far enough. */
  readonly readPayload: boolean;
  /** Remove what no record refers to, and lists that contradict the log, which the next start makes anew. */
  readonly repair: boolean;
  readonly onProblem: (problem: PayloadProblem) => void;
  /** Called with the bytes of each extent that was checked. */
  readonly onExtent: (bytes: number) => void;
}

/** Compares the payload of one closed partition with the references in its log. */
export async function checkPartition(target: PartitionToCheck, options: CheckOptions): Promise<void> {
  const check = new PartitionCheck(target, options);
  await check.run();
}

class PartitionCheck {
  readonly #target: PartitionToCheck;
  readonly #options: CheckOptions;
  readonly #payloadDirectory: string;
  /** Where each segment's file is. */
  readonly #files = new Map<number, PayloadCopy>();
  /** Segments that stores have. */
  #records: ReadonlyMap<number, SegmentRecord> = new Map();
  /** Payload segments that live records refer to. */
  readonly #referred = new Set<number>();
  /** Why records may be missing, so that payload without one may be theirs; null: none are. */
  #doubt: string | null = null;

  constructor(target: PartitionToCheck, options: CheckOptions) {
    this.#target = target;
    this.#options = options;
    this.#payloadDirectory = payloadDirectory(target.directory);
  }

  async run(): Promise<void> {
    const { directory, logStartOffset, name } = this.#target;
    const names = await namesIn(this.#payloadDirectory);
    await this.#findFiles(names);
    this.#records = await readRecords(this.#payloadDirectory, names);
    for (const [id, record] of this.#records) this.#options.copies?.name(name, id, record);
    let logIsReadable = true;
    const events = {
      onDamage: (damage: LogDamage) => {
        logIsReadable = false;
        this.#logDamaged(damage);
      },
      onGap: (offset: bigint) => {
        this.#doubt ??= `the log has no records right before offset ${offset}`;
      },
    };
    // Segments follow each other as offsets do: only one's references are held.
    let segment: Reference[] = [];
    for await (const found of storedReferences(this.#options.store, directory, logStartOffset, events)) {
      if (found.lastOffset < logStartOffset) continue;
      if (segment.length > 0 && segment[0]!.segmentId !== found.segmentId) {
        await this.#checkSegment(segment);
        segment = [];
      }
      const { segmentId, baseOffset, lastOffset, position, length, batchCrc, headerCrc } = found;
      segment.push({ segmentId, baseOffset, lastOffset, position, length, batchCrc, headerCrc });
    }
    if (segment.length > 0) await this.#checkSegment(segment);
    // Behind the damage there may be records that refer to it.
    if (logIsReadable) await this.#findOrphans();
  }

  /** Payload in its own directory counts as below the last tier. */
  async #findFiles(names: readonly string[]): Promise<void> {
    const bySegment = new Map<number, PayloadCopy[]>();
    const add = (file: PayloadCopy) => {
      const files = bySegment.get(file.segmentId);
      if (files === undefined) bySegment.set(file.segmentId, [file]);
      else files.push(file);
    };
    for (const { segmentId, path, tier, bytes } of this.#target.tierFiles) {
      if (segmentId !== null) add({ segmentId, path, tier, bytes });
      else
        await this.#repairable('orphan', path, null, 'an unfinished copy of a move from tier to tier', [
          path,
        ]);
    }
    for (const name of names) {
      const segmentId = segmentOfPayload(name);
      const path = join(this.#payloadDirectory, name);
      if (segmentId !== null)
        add({ segmentId, path, tier: Number.POSITIVE_INFINITY, bytes: (await sizeOf(path)) ?? 0 });
    }
    for (const [id, files] of [...bySegment].sort(([a], [b]) => a - b)) await this.#chooseFile(id, files);
  }

  async #chooseFile(id: number, files: readonly PayloadCopy[]): Promise<void> {
    const summary = await readExtentSummary(extentsPath(this.#payloadDirectory, id));
    const { kept, extra } = chooseCopy(files, summary?.bytes ?? null);
    this.#files.set(id, kept);
    for (const file of files) {
      if (file === kept) continue;
      const detail = `${file.bytes} bytes of a segment that is in ${kept.path}, too`;
      if (extra.includes(file)) await this.#repairable('copy', file.path, null, detail, [file.path]);
      else this.#problem('copy', file.path, null, `${detail}, with another length; not to be removed`);
    }
  }

  async #checkSegment(references: readonly Reference[]): Promise<void> {
    const id = references[0]!.segmentId;
    this.#referred.add(id);
    const record = this.#records.get(id);
    if (record !== undefined) {
      await this.#checkCopies(record, references);
      await this.#checkList(id, references);
      return;
    }
    const path = this.#files.get(id)?.path ?? payloadPath(this.#payloadDirectory, id);
    const file = await this.#open(path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      const batches = `${references.length} batches from here on`;
      const { outage } = this.#target;
      const detail =
        outage === null ? `the file is gone, and with it ${batches}` : `${batches} are not there: ${outage}`;
      this.#problem('missing', path, references[0]!.baseOffset, detail);
      return null;
    });
    if (file === null) return;
    try {
      for (const reference of references) await this.#checkExtent(file, path, reference);
    } finally {
      await file.close();
    }
    await this.#checkList(id, references);
  }

  async #checkCopies(record: SegmentRecord, references: readonly Reference[]): Promise<void> {
    const { copies, readPayload, onExtent } = this.#options;
    if (copies === null) {
      const path = recordPath(this.#payloadDirectory, references[0]!.segmentId);
      const detail = `${references.length} batches from here on are at stores, which payload.stores does not name`;
      this.#problem('missing', path, references[0]!.baseOffset, detail);
      return;
    }
    if (!isPartitionName(this.#target.name)) {
      const path = recordPath(this.#payloadDirectory, references[0]!.segmentId);
      const detail = `${references.length} batches from here on are at stores, which know them by the topic id: partition.metadata is missing`;
      this.#problem('missing', path, references[0]!.baseOffset, detail);
      return;
    }
    for (const { kind, file, offset, detail } of await copies.check(
      this.#target.name,
      record,
      references,
      readPayload,
    ))
      this.#problem(kind, file, offset, detail);
    for (const { length } of references) onExtent(length);
  }

  async #open(path: string): Promise<CheckedFile> {
    const { store, bucket } = this.#options;
    if (bucket === null || !path.startsWith(`${bucket.url}/`)) return store.open(path, { readOnly: true });
    const size = await bucket.size(path);
    const readCrc: StoreFile['readCrc'] = (position, length, seed = 0) =>
      bucket.read(path, position, length, seed);
    return { size, readCrc, close: async () => undefined };
  }

  async #checkExtent(file: CheckedFile, path: string, reference: Reference): Promise<void> {
    const { position, length, headerCrc, batchCrc, baseOffset } = reference;
    const place = `${length} bytes at ${position}`;
    if (position + length > file.size) {
      this.#problem('missing', path, baseOffset, `${place}, but the file has ${file.size} bytes`);
      return;
    }
    if (this.#options.readPayload) {
      try {
        const { piece, crc32c } = await file.readCrc(position, length, headerCrc);
        piece.memory.release();
        if (crc32c !== batchCrc)
          this.#problem('damaged', path, baseOffset, `${place} are not what was produced`);
      } catch (error) {
        // What could not be looked at is not damaged.
        const isUnseen = error instanceof ObjectError && error.code !== 'ENOENT';
        if (isUnseen || isTransient(error)) throw error;
        this.#problem('damaged', path, baseOffset, `${place} cannot be read: ${String(error)}`);
      }
    }
    this.#options.onExtent(length);
  }

  /** A segment's list of extents has at least what the log refers to. */
  async #checkList(id: number, references: readonly Reference[]): Promise<void> {
    const path = extentsPath(this.#payloadDirectory, id);
    if ((await sizeOf(path)) === null) return; // not completed: a start learns it from the log
    const listed = await readExtents(path);
    const lacking =
      listed === null ? references[0] : references.find((reference) => !contains(listed, reference));
    if (lacking === undefined) return;
    const detail = listed === null ? 'the list of extents is damaged' : 'the list of extents lacks this one';
    await this.#repairable('list', path, lacking.baseOffset, detail, [path]);
  }

  async #findOrphans(): Promise<void> {
    for (const [id, { path, bytes }] of this.#files) {
      if (this.#referred.has(id)) continue;
      const list = extentsPath(this.#payloadDirectory, id);
      const detail = `${bytes} bytes that no record refers to`;
      const doubt = this.#doubt ?? (await this.#claimOf(list));
      if (doubt === null) await this.#repairable('orphan', path, null, detail, [path, list]);
      else this.#problem('orphan', path, null, `${detail}; not to be removed, for ${doubt}`);
    }
    await this.#findOrphanRecords();
  }

  /** Their copies go when the gateway runs. */
  async #findOrphanRecords(): Promise<void> {
    for (const id of this.#records.keys()) {
      if (this.#referred.has(id)) continue;
      const list = extentsPath(this.#payloadDirectory, id);
      const path = recordPath(this.#payloadDirectory, id);
      const doubt = this.#doubt ?? (await this.#claimOf(list));
      const detail = 'a segment at stores that no record refers to';
      if (doubt === null) await this.#repairable('orphan', path, null, detail, [path, list]);
      else this.#problem('orphan', path, null, `${detail}; not to be removed, for ${doubt}`);
    }
  }

  /** What a segment's own list says against its being nobody's; null: nothing. */
  async #claimOf(list: string): Promise<string | null> {
    const summary = await readExtentSummary(list);
    if (summary === null || summary.count === 0 || summary.lastOffset < this.#target.logStartOffset)
      return null;
    return `its list says that offsets ${summary.firstOffset} to ${summary.lastOffset} are here`;
  }

  #logDamaged({ file, position, reason }: LogDamage): void {
    this.#problem('log', file, null, `${reason} at ${position}; what is behind it was not looked at`);
  }

  async #repairable(
    kind: PayloadProblemKind,
    file: string,
    offset: bigint | null,
    detail: string,
    removed: readonly string[],
  ): Promise<void> {
    const { repair } = this.#options;
    if (repair) for (const path of removed) await this.#remove(path);
    this.#problem(kind, file, offset, detail, repair);
  }

  async #remove(path: string): Promise<void> {
    const { bucket } = this.#options;
    if (bucket === null || !path.startsWith(`${bucket.url}/`)) return rm(path, { force: true });
    await bucket.remove(path);
    if (bucket.removals.size > 0) throw new Error(`${path} could not be removed`);
  }

  #problem(
    kind: PayloadProblemKind,
    file: string,
    offset: bigint | null,
    detail: string,
    repaired = false,
  ): void {
    const { topic, partition } = this.#target;
    const at = offset === null ? null : String(offset);
    this.#options.onProblem({ kind, topic, partition, file, offset: at, detail, repaired });
  }
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ size }) => size,
    () => null,
  );
}

/** Extents are in the order of their offsets. */
function contains(extents: readonly Extent[], { baseOffset, position, length }: Reference): boolean {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (extents[middle]!.baseOffset < baseOffset) low = middle + 1;
    else high = middle;
  }
  const found = extents[low];
  return found?.baseOffset === baseOffset && found.position === position && found.length === length;
}
