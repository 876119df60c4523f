import type { Clock } from '../../../../util/clock.ts';
import type { Logger } from '../../../../util/logger.ts';
import { PacedRounds } from '../../paced-rounds.ts';
import type { Reference } from '../../payload-recovery.ts';
import { TierFile } from '../tier-file.ts';
import type { TierPath } from '../tier-path.ts';
import type { Bucket } from './bucket.ts';
import { ObjectError } from './objects.ts';

/** How soon after the start the first round begins, and how often it is looked whether another has to. */
const LOOK_MS = 60_000;
/** What is asked for at a time, unless an extent is larger. */
const RANGE_BYTES = 8 << 20;
const RANGE_EXTENTS = 1024;

export interface ObjectScrubberOptions {
  /** Of the tier S3. */
  readonly path: TierPath;
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly logger: Logger;
  /** 0: nothing is read; negative: no limit. */
  readonly bytesPerSecond: () => number;
  /** From the beginning of one round to that of the next. */
  readonly intervalMs: () => number;
}

/**
 * Reads all objects to which logs refer, slowly, and compares them with the checksums in the logs, so that damage is known before somebody needs what
 * is damaged. The bytes stay in the thread of the object store.
 */
export class ObjectScrubber {
  /** Rounds that ended, bytes that were read, extents that are damaged or missing, and objects in whose place another one was taken. */
  readonly counters = { rounds: 0, bytes: 0, damaged: 0, replaced: 0 };
  readonly #options: ObjectScrubberOptions;
  readonly #rounds: PacedRounds;
  #nextMs = 0;

  constructor(options: ObjectScrubberOptions) {
    const { clock, bytesPerSecond } = options;
    this.#options = options;
    this.#rounds = new PacedRounds({ clock, bytesPerSecond, pauseMs: LOOK_MS, look: () => this.#look() });
  }

  start(): void {
    this.#rounds.start();
  }

  /** Resolves when nothing is under way; requests to the object store have been ended. */
  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #look(): Promise<void> {
    const { clock, intervalMs } = this.#options;
    if (clock.now() < this.#nextMs) return;
    this.#nextMs = clock.now() + intervalMs();
    await this.round();
  }

  /** Once over everything that is in the bucket now, as long as it can be read. */
  async round(): Promise<void> {
    const { path, logger } = this.#options;
    if (!this.#isWanted) return;
    for (const file of [...path.files]) {
      try {
        await this.#scrub(file);
      } catch (error) {
        if (this.#rounds.isRunning)
          logger.warn({ path: file.path, err: error }, 'an object could not be checked');
      }
      if (!this.#isWanted) return;
    }
    this.counters.rounds++;
  }

  get #isWanted(): boolean {
    const { path, bytesPerSecond } = this.#options;
    return this.#rounds.isRunning && path.error === null && bytesPerSecond() !== 0;
  }

  async #scrub(file: TierFile): Promise<void> {
    const references = await this.#referencesIn(file);
    if (references === null) return;
    const damaged = await this.#damagedOf(file.path, references);
    // It may have been given up, or moved, meanwhile.
    const left = damaged.length === 0 ? null : await this.#referencesIn(file);
    const offsets = new Set(left?.map(({ baseOffset }) => baseOffset));
    const lost = damaged.filter(({ baseOffset }) => offsets.has(baseOffset));
    if (lost.length === 0 || (await this.#replace(file, left!))) return;
    this.counters.damaged += lost.length;
    const { baseOffset, position, length } = lost[0]!;
    this.#options.logger.error(
      { path: file.path, extents: lost.length, offset: baseOffset, position, length },
      'an object is damaged, and there is no other one of its segment that is not: its records from the offset named on cannot be read',
    );
  }

  /** In the order of their positions; null when there are none, or nobody can say now. */
  async #referencesIn(file: TierFile): Promise<Reference[] | null> {
    const { path } = this.#options;
    if (!path.files.has(file) || file.state !== 'complete') return null;
    const found = (await file.owner?.referencesIn?.(file.segmentId)) ?? null;
    return found === null || !path.files.has(file) ? null : found.sort((a, b) => a.position - b.position);
  }

  /** Those that are not as they were produced. What is wrong once is asked for again: it may have been damaged on its way. */
  async #damagedOf(path: string, references: readonly Reference[]): Promise<Reference[]> {
    const damaged: Reference[] = [];
    for (const range of rangesOf(references)) {
      if (!this.#isWanted) return [];
      const wrong = await this.#wrongOf(path, range);
      if (wrong.length > 0) damaged.push(...(await this.#wrongOf(path, wrong)));
    }
    return damaged;
  }

  async #wrongOf(path: string, references: readonly Reference[]): Promise<Reference[]> {
    const { bucket } = this.#options;
    const first = references[0]!;
    const last = references[references.length - 1]!;
    const bytes = last.position + last.length - first.position;
    await this.#rounds.wait(bytes);
    const ranges = references.map(({ position, length, headerCrc }) => ({
      ...{ position, length },
      seed: headerCrc,
    }));
    const found = await bucket.checksums(path, ranges).catch((error: unknown) => {
      if (error instanceof ObjectError && error.code === 'ENOENT') return ranges.map(() => null);
      throw error;
    });
    this.counters.bytes += bytes;
    return references.filter(({ batchCrc }, i) => found[i] !== batchCrc);
  }

  /** Reads from another object of the segment from now on, if there is one that is whole. */
  async #replace(file: TierFile, references: readonly Reference[]): Promise<boolean> {
    const { bucket, path, logger, clock } = this.#options;
    const segments = file.owner?.segments ?? null;
    for (const other of await bucket.othersOf(file.path)) {
      if ((await this.#damagedOf(other, references)).length > 0 || !this.#isWanted || segments === null)
        continue;
      const { segmentId, bytes, modifiedMs, owner } = file;
      const target = new TierFile({
        ...{ segmentId, bytes, modifiedMs, owner, path: other, at: path },
        ready: Promise.resolve(),
        state: 'arriving',
        now: () => clock.now(),
      });
      const isThere = async () => true;
      const moved = await segments
        .move(segmentId, { place: target, copy: isThere, publish: async () => {} })
        .catch(() => target.state === 'complete'); // then only the damaged one could not be removed
      if (!moved) target.removed();
      else {
        this.counters.replaced++;
        logger.warn(
          { damaged: file.path, used: other },
          'an object is damaged: another one of its segment is used',
        );
      }
      return moved;
    }
    return false;
  }
}

/** Extents that are asked for together. */
function* rangesOf(references: readonly Reference[]): Iterable<Reference[]> {
  let range: Reference[] = [];
  for (const reference of references) {
    const start = range[0]?.position ?? 0;
    const isTooMuch = reference.position + reference.length - start > RANGE_BYTES;
    if (range.length > 0 && (isTooMuch || range.length === RANGE_EXTENTS)) {
      yield range;
      range = [];
    }
    range.push(reference);
  }
  if (range.length > 0) yield range;
}
