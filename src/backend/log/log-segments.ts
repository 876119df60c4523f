import type { LogConfig } from './config.ts';
import type { LogEnvironment } from './environment.ts';
import { largest, smallest } from './offsets.ts';
import type { BatchInfo, LogFile } from './ports.ts';
import { expiredSegments, type RetentionState } from './retention.ts';
import { Segment } from './segment.ts';
import type { SegmentList } from './segment-list.ts';
import { deleteSegmentFiles } from './segment-removal.ts';
import { truncateSegments } from './truncation.ts';

/** What a log does with its segments' files. */
export class LogSegments {
  readonly list: SegmentList;
  readonly #environment: LogEnvironment;
  #directory: string;
  /** Out of the list, while not all of their files could be renamed: a start would take those for the log's. */
  #leaving: readonly Segment[] = [];

  constructor(environment: LogEnvironment, directory: string, list: SegmentList) {
    this.#environment = environment;
    this.#directory = directory;
    this.list = list;
  }

  get directory(): string {
    return this.#directory;
  }

  /** Where the oldest segment begins of which a start would find a file. */
  get firstOffset(): bigint {
    return this.#leaving.reduce(
      (first, { baseOffset }) => smallest(first, baseOffset),
      this.list.first.baseOffset,
    );
  }

  /**
   * Where recovery has to begin when everything below `flushedOffset` is durable: no later than in the first segment whose indexes are not
   * on disk. An offset within that segment, for its end is the beginning of the next.
   */
  recoveryPoint(flushedOffset: bigint, logEndOffset: bigint): bigint {
    const unpersisted = this.list.all.find((segment) => !segment.persisted);
    if (!unpersisted) return flushedOffset;
    if (unpersisted !== this.list.active) return smallest(flushedOffset, unpersisted.baseOffset);
    return smallest(flushedOffset, largest(logEndOffset - 1n, unpersisted.baseOffset));
  }

  /** Whether batches have to go to a new segment: the active one is full, too old, or too far away in offsets. */
  mustRoll(batches: readonly BatchInfo[], bytes: number, config: LogConfig): boolean {
    const { active } = this.list;
    if (!active.holds(batches.at(-1)!.lastOffset)) return true;
    if (active.size === 0) return false;
    let timestamp = batches[0]!.maxTimestamp;
    for (const batch of batches) timestamp = largest(timestamp, batch.maxTimestamp);
    const age = active.ageMs(timestamp);
    return (
      active.size + bytes > config.segmentBytes ||
      age > config.segmentMs - active.rollJitterMs ||
      (active.loadedIndexes?.isFull ?? false)
    );
  }

  /** Begins a new segment. The last one is to be persisted. */
  roll(baseOffset: bigint, config: LogConfig): void {
    const { active } = this.list;
    if (active.size === 0) this.list.remove([active]);
    else if (this.list.beforeActive) this.list.beforeActive.recent = null;
    this.list.add(Segment.create(this.#environment, this.#directory, baseOffset, config, active.size));
  }

  /** Completes all segments but the active one on disk. */
  async persistRolled(): Promise<void> {
    for (const segment of this.list.all.slice(0, -1)) await segment.persist();
  }

  /** Makes the batches from `offset` on durable. */
  async sync(offset: bigint): Promise<void> {
    await Promise.all(this.list.from(offset).map((segment) => segment.sync()));
  }

  /** The segments that retention lets go. `roll` begins a new one when the last goes, in the same turn: nothing is appended to what goes. */
  async expired(
    config: LogConfig,
    { logStartOffset, logEndOffset, highWatermark }: Omit<RetentionState, 'nowMs'> & { logEndOffset: bigint },
    roll: () => void,
  ): Promise<readonly Segment[]> {
    const segments = this.list.all;
    const nowMs = this.#environment.clock.now();
    const summaries = segments.map((segment, index) => ({
      sizeBytes: segment.size,
      endOffset: segments[index + 1]?.baseOffset ?? logEndOffset,
      largestTimestampMs: Number.POSITIVE_INFINITY,
    }));
    const byAge = config.cleanupDelete && config.retentionMs >= 0;
    // Up to the first that stays: after a start their indexes have to be read for it.
    for (let index = 0; byAge && index < summaries.length; index++) {
      const largestTimestampMs = await segments[index]!.largestTimestampMs(config);
      summaries[index]!.largestTimestampMs = largestTimestampMs;
      if (nowMs - largestTimestampMs <= config.retentionMs) break;
    }
    const state = { logStartOffset, highWatermark, nowMs };
    const old = segments.slice(0, expiredSegments(summaries, config, state));
    // What was appended meanwhile to the last one is not to go.
    const expired = old.filter(({ size }, index) => size === summaries[index]!.sizeBytes);
    if (expired.includes(this.list.active)) roll();
    return expired;
  }

  /** Puts segments in the place of those that they were made of, whose files have been set aside. */
  replace(old: readonly Segment[], made: readonly Segment[]): void {
    for (const each of old) this.#environment.indexCache.forget(each);
    this.list.replace(old, made);
  }

  /** Takes the first segments out, durably; their files are removed later. `begins` is told where the log does then, before nobody finds them. */
  async delete(
    segments: readonly Segment[],
    config: LogConfig,
    begins: (offset: bigint) => void,
  ): Promise<void> {
    // The names of the segments that stay say where the log is.
    if (!this.list.active.linked) await this.list.active.sync();
    begins(this.list.all[segments.length]!.baseOffset);
    await this.#remove(segments, config);
  }

  /** Takes segments out of the list; one whose files cannot be renamed now is tried again with those that go next, and by `finishRemoval`. */
  #remove(segments: readonly Segment[], config: LogConfig): Promise<void> {
    this.list.remove(segments);
    this.#leaving = [...this.#leaving, ...segments];
    return this.finishRemoval(config);
  }

  /** Renames the files of segments that are out of the list, where that has failed before. */
  async finishRemoval({ fileDeleteDelayMs }: LogConfig): Promise<void> {
    if (this.#leaving.length === 0) return;
    await deleteSegmentFiles(this.#environment, this.#directory, this.#leaving, fileDeleteDelayMs);
    this.#leaving = [];
  }

  /** Ends the log at the batch that holds `offset`, which goes; returns the log's end. Nothing may be appending. */
  truncate(offset: bigint, config: LogConfig): Promise<bigint> {
    return truncateSegments(this.#environment, this.#directory, this.list, config, offset, (gone) =>
      this.#remove(gone, config),
    );
  }

  /** Closes files that nobody has used since `before`, in clock milliseconds. */
  async closeIdle(before: number): Promise<void> {
    for (const segment of this.list.all) await segment.file.closeIdle(before);
  }

  async close(): Promise<void> {
    for (const segment of [...this.list.all, ...this.#leaving]) {
      this.#environment.indexCache.forget(segment);
      await segment.file.close();
    }
  }

  /** The directory was renamed. */
  moved(directory: string): void {
    this.#directory = directory;
    for (const segment of [...this.list.all, ...this.#leaving]) segment.moved(directory);
  }

  /** Nothing is opened by its name before the promise, which is never rejected, has settled; resolves when nothing is being opened. */
  async hold(until: Promise<void>): Promise<void> {
    await Promise.all(this.list.all.map((segment) => segment.hold(until)));
  }

  /** A copy has taken the directory's place. Returns the files that were open, which stay usable until they are closed. */
  replaced(directory: string): LogFile[] {
    this.#directory = directory;
    return this.list.all.flatMap((segment) => segment.replaced(directory) ?? []);
  }
}
