import type { Cleaned, LastRecord, ReleasedExtent, SourceSegment } from '../../../native/compaction.ts';
import type { LogEnvironment } from '../environment.ts';
import { isTransient } from '../errors.ts';
import { largest, smallest } from '../offsets.ts';
import { type BatchRewriter, rewriteSegments } from '../rewrite/rewrite-segments.ts';
import type { Segment } from '../segment.ts';
import { removeLater } from '../segment-removal.ts';
import type { TransactionIndex } from '../transaction-index.ts';
import { type DirtyRange, dirtyRange, groupSegments } from './cleanable.ts';
import type { CompactedLog, CompactionEngine, CompactionWork, RoundSettings, RoundStats } from './ports.ts';
import { cleanedStem, dropCleaned, swapIn, writeCleanedTransactions } from './segment-swap.ts';

const MAP_ENTRY_BYTES = 24;
const SWAP_RETRY_MS = 1000;

/** One new segment, and what it was made of. */
interface CleanedGroup {
  readonly group: readonly Segment[];
  /** Of the old segments, when it was made. */
  readonly sizes: readonly number[];
  readonly baseOffset: bigint;
  /** Where the segment behind them begins. */
  readonly end: bigint;
  readonly cleaned: Cleaned;
  readonly transactions: TransactionIndex;
}

/** The round was stopped, or the log was changed under it: nothing is wrong, and what it has replaced stays. */
export class CompactionStopped extends Error {}

/** Compacts one log, round by round, while it is read and appended to. */
export class LogCompaction {
  /** Below it every key is in the log once; the directory's checkpoint holds it. */
  cleanedOffset: bigint;
  /** Called when segments were replaced, durably, with the payload to which nothing refers any more. */
  onSwapped: ((released: readonly ReleasedExtent[]) => void) | null = null;
  readonly #environment: LogEnvironment;
  readonly #log: CompactedLog;
  #work: CompactionWork | null = null;
  #running: Promise<void> | null = null;
  #stopping = false;
  #paused = false;
  /** Since the round that runs began. */
  #rulesChanged = false;

  constructor(environment: LogEnvironment, log: CompactedLog, cleanedOffset: bigint) {
    this.#environment = environment;
    this.#log = log;
    this.cleanedOffset = cleanedOffset;
  }

  /** Or may not run now. */
  get isRunning(): boolean {
    return this.#running !== null || this.#paused;
  }

  /** Ends the round that is running, if any, and begins none until `resume`; resolves when it has. */
  pause(): Promise<void> {
    this.#paused = true;
    return this.stop();
  }

  resume(): void {
    this.#paused = false;
  }

  /** What a round would find, below `limit`. */
  survey(limit = this.#log.log.logEndOffset): Promise<DirtyRange> {
    const { log, segments } = this.#log;
    const { config, logStartOffset, logEndOffset, highWatermark, firstUnstableOffset } = log;
    const nowMs = this.#environment.clock.now();
    const { cleanedOffset } = this;
    const stable = smallest(firstUnstableOffset ?? highWatermark, highWatermark);
    const lastStableOffset = smallest(stable, limit);
    const state = { nowMs, cleanedOffset, logStartOffset, logEndOffset, lastStableOffset };
    return dirtyRange(segments.list.all, config, state);
  }

  /** Runs a round. Rejects with CompactionStopped, or with what went wrong. Not while one runs. */
  async run(engine: CompactionEngine, settings: RoundSettings): Promise<RoundStats> {
    if (this.#paused) throw new CompactionStopped();
    if (this.#running) throw new Error('a compaction is running');
    const round = this.#run(engine, settings);
    const ended = round.then(
      () => {},
      () => {},
    );
    this.#running = ended;
    try {
      return await round;
    } finally {
      this.#running = null;
    }
  }

  /**
   * Replaces batches of the whole log, for tools that have it to themselves; see `rewriteSegments`. Rejects with what went wrong, and the
   * log is as it was, or in part as it is to become.
   */
  async rewrite(rewriter: BatchRewriter): Promise<void> {
    const { log, segments } = this.#log;
    this.#stopping = false;
    await this.#exclusively(this.#log.version(), async () => {
      await this.#log.settleClosedSegments(true);
      await rewriteSegments(this.#environment, segments, log.config, rewriter);
    });
  }

  /** Ends the round that is running, if any; resolves when it has. Not to be called while the log's segments are being changed. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#stopping = true;
    this.#work?.stop();
    await this.#running;
  }

  /** What was compacted by other rules has to be compacted again. */
  startOver(): void {
    this.cleanedOffset = 0n;
    this.#rulesChanged = true;
  }

  /** The log ends at `end` now. */
  truncated(end: bigint): void {
    this.cleanedOffset = smallest(this.cleanedOffset, end);
  }

  async #run(engine: CompactionEngine, settings: RoundSettings): Promise<RoundStats> {
    this.#stopping = false;
    this.#rulesChanged = false;
    const version = this.#log.version();
    // Its segments will have gaps, which a recovery from further back would take for damage.
    const settled = await this.#exclusively(version, () => this.#log.settleClosedSegments());
    const range = await this.survey(settled);
    const work = engine.compact(this.#optionsOf(range, settings));
    this.#work = work;
    try {
      if (this.#stopping) throw new CompactionStopped();
      return await this.#compact(work, range, version);
    } catch (error) {
      throw (error as { code?: unknown }).code === 'ECANCELED' ? new CompactionStopped() : error;
    } finally {
      this.#work = null;
      await work.close();
    }
  }

  #optionsOf(range: DirtyRange, settings: RoundSettings) {
    const { config } = this.#log.log;
    const limit = Math.floor(settings.mapBytes / MAP_ENTRY_BYTES);
    const needed = Math.ceil(Number(range.end - range.firstDirty) / settings.loadFactor) + 2;
    const mapSlots = Math.min(limit, needed);
    return {
      nowMs: this.#environment.clock.now(),
      deleteRetentionMs: config.deleteRetentionMs,
      windowMs: config.compactionStrategy === 'time-window' ? config.compactionWindowMs : 0,
      upperBoundOffset: range.end,
      mapSlots,
      maxKeys: Math.floor(mapSlots * settings.loadFactor),
      bufferBytes: settings.bufferBytes,
      producers: this.#lastRecords(),
    };
  }

  #lastRecords(): LastRecord[] {
    return this.#log.log.activeProducers().map(({ producerId, producerEpoch, batches }) => ({
      producerId,
      lastDataOffset: batches.at(-1)?.lastOffset ?? -1n,
      producerEpoch,
    }));
  }

  async #compact(work: CompactionWork, range: DirtyRange, version: number | null): Promise<RoundStats> {
    const { list } = this.#log.segments;
    const { firstDirty, end } = range;
    // Never the active one, though the log may have come to start in it.
    const closed = list.all.slice(0, -1).filter((segment) => segment.baseOffset < end);
    const sources = await this.#sourcesOf(closed, end, firstDirty);
    const dirty = sources.filter(({ endOffset }) => endOffset > firstDirty);
    const mapped =
      dirty.length === 0
        ? { endOffset: firstDirty, bytesRead: 0, recordsRead: 0 }
        : await work.map(dirty, firstDirty, list.abortedTransactions(firstDirty, end));
    if (mapped.endOffset <= firstDirty && dirty.length > 0)
      throw new Error(
        `the keys of one batch do not fit into the cleaner's memory: raise log.cleaner.dedupe.buffer.size, or lower log.cleaner.threads, and restart`,
      );
    const cleaned = closed.filter((segment) => segment.baseOffset < mapped.endOffset);
    const groups = groupSegments(cleaned, this.#endOf(cleaned), this.#log.log.config);
    work.setAborted(list.abortedTransactions(cleaned[0]?.baseOffset ?? end, this.#endOf(cleaned)));
    const totals = { bytesRead: mapped.bytesRead, bytesWritten: 0, recordsRead: 0, recordsRemoved: 0 };
    await this.#cleanGroups(work, groups, async (group) => {
      await this.#replaceGroup(group, mapped.endOffset, version);
      const { bytesRead, size, recordsRead, recordsKept } = group.cleaned;
      totals.bytesRead += bytesRead;
      totals.bytesWritten += size;
      totals.recordsRead += recordsRead;
      totals.recordsRemoved += recordsRead - recordsKept;
    });
    return {
      fromOffset: firstDirty,
      endOffset: mapped.endOffset,
      segmentsBefore: cleaned.length,
      segmentsAfter: groups.length,
      ...totals,
    };
  }

  /** Where the segment behind the last one begins. */
  #endOf(segments: readonly Segment[]): bigint {
    const { all } = this.#log.segments.list;
    const last = segments.at(-1);
    return last === undefined ? 0n : (all[all.indexOf(last) + 1]?.baseOffset ?? this.#log.log.logEndOffset);
  }

  async #sourcesOf(segments: readonly Segment[], end: bigint, from: bigint): Promise<SourceSegment[]> {
    const sources: SourceSegment[] = [];
    for (const [index, segment] of segments.entries()) {
      const endOffset = segments[index + 1]?.baseOffset ?? end;
      const begins = segment.baseOffset < from && from < endOffset;
      const position = begins ? (await segment.indexes(this.#log.log.config)).offset.lookup(from) : 0;
      const { path, current } = segment.file;
      sources.push({ path, size: segment.size, position, endOffset, fileId: current?.fileId ?? null });
    }
    return sources;
  }

  /** Writes each group anew, and hands it to `replace`, meanwhile the next one; nothing of those that are not handed over stays. */
  async #cleanGroups(
    work: CompactionWork,
    groups: readonly Segment[][],
    replace: (group: CleanedGroup) => Promise<void>,
  ): Promise<void> {
    let written: Promise<CleanedGroup> | null = null;
    try {
      for (const [index, group] of groups.entries()) {
        const current: CleanedGroup = await (written ?? this.#writeGroup(work, group));
        const next = groups[index + 1];
        written = next ? this.#writeGroup(work, next) : null;
        // Heard of below, or when its turn comes.
        written?.catch(() => {});
        await replace(current);
      }
    } catch (error) {
      work.stop();
      const left = await written?.catch(() => null);
      if (left) await this.#drop(left.baseOffset);
      throw error;
    }
  }

  /** The files of one new segment, durable, and not yet part of the log. */
  async #writeGroup(work: CompactionWork, group: readonly Segment[]): Promise<CleanedGroup> {
    const { config } = this.#log.log;
    const { directory } = this.#log.segments;
    const { baseOffset } = group[0]!;
    const end = this.#endOf(group);
    const sizes = group.map(({ size }) => size);
    try {
      const cleaned = await work.clean(await this.#sourcesOf(group, end, baseOffset), {
        stem: cleanedStem(directory, baseOffset),
        baseOffset,
        modifiedMs: group.at(-1)!.modifiedMs,
        indexIntervalBytes: config.indexIntervalBytes,
        maxIndexBytes: config.segmentIndexBytes,
      });
      const { aborted } = cleaned;
      const transactions = await writeCleanedTransactions(this.#environment, directory, baseOffset, aborted);
      return { group, sizes, baseOffset, end, cleaned, transactions };
    } catch (error) {
      await this.#drop(baseOffset);
      throw error;
    }
  }

  /** Puts a new segment in the place of those that it was made of, or removes it when that cannot be. */
  async #replaceGroup(written: CleanedGroup, mappedEnd: bigint, version: number | null): Promise<void> {
    const { group, sizes, baseOffset, end, cleaned, transactions } = written;
    const { segments } = this.#log;
    const { config } = this.#log.log;
    const { directory } = segments;
    let swapping = false;
    try {
      await this.#exclusively(version, async () => {
        const { all, active } = segments.list;
        const isSame = group.every(
          (segment, index) => all.includes(segment) && segment !== active && segment.size === sizes[index],
        );
        if (!isSame) throw new CompactionStopped();
        for (const segment of group) await segment.pin(config);
        swapping = true;
        const replacement = { old: group, made: [{ baseOffset, size: cleaned.size, transactions }] };
        const replaced = await swapIn(this.#environment, segments, replacement, config, (step) =>
          this.#persist(step),
        );
        removeLater(this.#environment, directory, replaced, config.fileDeleteDelayMs);
        swapping = false;
        if (!this.#rulesChanged) this.cleanedOffset = largest(this.cleanedOffset, smallest(end, mappedEnd));
        this.onSwapped?.(cleaned.released);
        await this.#log.forgetSnapshots(new Set(group.slice(1).map((segment) => segment.baseOffset)));
        await this.#log.checkpointCleanedOffset();
      });
    } catch (error) {
      // The files' names are somewhere between the old and the new, which only a start puts in order.
      if (swapping) throw this.#log.failed(`replacing segments of ${directory}`, new SwapFailure(error));
      await this.#drop(baseOffset);
      throw error;
    }
  }

  /** Removes what was written of a segment that does not take its place. */
  async #drop(baseOffset: bigint): Promise<void> {
    const { directory } = this.#log.segments;
    await dropCleaned(this.#environment, directory, baseOffset).catch((failure: unknown) => {
      if (!isTransient(failure)) throw this.#log.failed(`compacting ${directory}`, failure);
    });
  }

  /** Repeats a step until it succeeds, while what is in its way may pass: a full disk, too many open files. */
  async #persist(step: () => Promise<void>): Promise<void> {
    const { clock, logger } = this.#environment;
    for (let told = false; ; told = true) {
      try {
        return await step();
      } catch (error) {
        if (!isTransient(error) || this.#stopping) throw error;
        const { directory } = this.#log.segments;
        if (!told) logger.warn({ directory, error }, 'segments cannot be replaced yet');
      }
      await new Promise<void>((resolve) => clock.setTimer(SWAP_RETRY_MS, resolve));
    }
  }

  #exclusively<T>(version: number | null, task: () => Promise<T>): Promise<T> {
    return this.#log.exclusively(async () => {
      if (this.#stopping || version === null || this.#log.version() !== version)
        throw new CompactionStopped();
      return task();
    });
  }
}

/** Not transient, whatever the reason. */
class SwapFailure extends Error {
  constructor(reason: unknown) {
    super(reason instanceof Error ? reason.message : String(reason));
  }
}
