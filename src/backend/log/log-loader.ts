import { join } from 'node:path';
import { decodeLeaderEpochs, LEADER_EPOCH_CHECKPOINT } from './checkpoint-files.ts';
import { finishSwaps } from './compaction/swap-recovery.ts';
import type { LogConfig } from './config.ts';
import type { LogEnvironment } from './environment.ts';
import { isTransient } from './errors.ts';
import { LeaderEpochs } from './leader-epochs.ts';
import { parseOffsetFileName, SEGMENT_SUFFIXES, Suffix } from './log-file-names.ts';
import { largest, smallest } from './offsets.ts';
import type { BatchInfo, DirectoryEntry, LogFile } from './ports.ts';
import { ProducerSnapshots } from './producer-snapshots.ts';
import { ProducerStates } from './producer-states.ts';
import { type RecoveryState, recover } from './recovery.ts';
import { Segment } from './segment.ts';
import { SegmentIndexes } from './segment-indexes.ts';
import { SegmentList } from './segment-list.ts';
import { TransactionIndex } from './transaction-index.ts';

const CHECKPOINT_LIMIT_BYTES = 1 << 24;
const SCAN_BYTES = 1 << 20;
const MAX_OFFSET = 2n ** 63n - 1n;

/** Looks at a batch that may not have been durable; what it returns is why the log must end before it, or null. */
export type VerifyBatch = (batch: BatchInfo, file: LogFile) => Promise<string | null>;

export interface LoadOptions {
  readonly directory: string;
  readonly config: LogConfig;
  /** From the checkpoints. */
  readonly recoveryPoint: bigint;
  readonly logStartOffset: bigint;
  /** Below it the log was compacted, so that offsets may be missing. */
  readonly cleanedOffset: bigint;
  /** Whether the last process that had the log closed it. */
  readonly clean: boolean;
  readonly verifyBatch?: VerifyBatch | undefined;
}

export interface LoadedLog {
  readonly segments: SegmentList;
  readonly epochs: readonly { epoch: number; startOffset: bigint }[];
  readonly producers: ProducerStates;
  readonly snapshots: ProducerSnapshots;
  readonly logStartOffset: bigint;
  readonly logEndOffset: bigint;
  /** Everything below it is durable. */
  readonly recoveryPoint: bigint;
}

/** Opens the files of one log: recovers what a crash may have damaged, or, after a clean close, reads only the end. */
export async function loadLog(environment: LogEnvironment, options: LoadOptions): Promise<LoadedLog> {
  return new LogLoader(environment, options).load();
}

class LogLoader {
  readonly #environment: LogEnvironment;
  readonly #options: LoadOptions;
  #epochs = new LeaderEpochs([], () => {});
  /** Segments whose aborted transactions have to be found again. */
  readonly #rebuilt = new Set<Segment>();
  /** Whether offsets were found to be missing within segments. */
  #hasGaps = false;

  constructor(environment: LogEnvironment, options: LoadOptions) {
    this.#environment = environment;
    this.#options = options;
  }

  async load(): Promise<LoadedLog> {
    const { directory, clean, recoveryPoint } = this.#options;
    const { found, snapshots, aborted } = await this.#findFiles();
    await this.#loadTransactions(found, aborted);
    this.#epochs = new LeaderEpochs(await this.#readEpochs(), () => {});
    const nextOffset = clean ? await this.#openEnd(found) : await this.#recover(found);
    const segments = await this.#atLeastOne(found, nextOffset);
    const logStartOffset = largest(this.#options.logStartOffset, segments.first.baseOffset);
    const logEndOffset = largest(nextOffset, segments.active.baseOffset);
    this.#epochs.truncateFromEnd(logEndOffset);
    this.#epochs.truncateFromStart(logStartOffset);
    const producerSnapshots = new ProducerSnapshots(this.#environment, directory, snapshots);
    await this.#removeStraySnapshots(producerSnapshots, segments);
    const producers = new ProducerStates();
    await reloadProducers(this.#environment, this.#options.config, {
      segments,
      snapshots: producerSnapshots,
      producers,
      logStartOffset,
      logEndOffset,
      afterCrash: !clean,
      rebuilt: this.#rebuilt,
    });
    for (const segment of this.#rebuilt) if (segment.persisted) await segment.writeTransactions();
    // Idle logs hold no descriptor; what is used is opened again.
    for (const segment of segments.all) await segment.file.close();
    return {
      segments,
      epochs: this.#epochs.entries(),
      producers,
      snapshots: producerSnapshots,
      logStartOffset,
      logEndOffset,
      recoveryPoint: clean ? logEndOffset : smallest(recoveryPoint, logEndOffset),
    };
  }

  /** Keeps the snapshots of segments' starts, and the last one, which a clean close leaves at the log's end. */
  async #removeStraySnapshots(snapshots: ProducerSnapshots, segments: SegmentList): Promise<void> {
    const wanted = new Set(segments.all.map((segment) => segment.baseOffset));
    const last = snapshots.latestOffset;
    await snapshots.removeWhere((offset) => offset !== last && !wanted.has(offset));
  }

  /** Takes stock of the directory and removes what a crash left behind. */
  async #findFiles(): Promise<{ found: Segment[]; snapshots: bigint[]; aborted: ReadonlySet<bigint> }> {
    const { fileSystem } = this.#environment;
    const { directory, config } = this.#options;
    let entries = (await fileSystem.list(directory)) ?? [];
    if (await finishSwaps(this.#environment, directory, entries))
      entries = (await fileSystem.list(directory)) ?? [];
    const logs = new Map<bigint, DirectoryEntry>();
    const snapshots: bigint[] = [];
    const aborted = new Set<bigint>();
    for (const entry of entries) {
      const name = entry.isDirectory ? null : parseOffsetFileName(entry.name);
      if (!name) continue;
      if (name.suffix.endsWith(Suffix.deleted)) {
        await fileSystem.remove(join(directory, entry.name));
      } else if (name.suffix === Suffix.log) logs.set(name.offset, entry);
      else if (name.suffix === Suffix.snapshot) snapshots.push(name.offset);
      else if (name.suffix === Suffix.transactionIndex) aborted.add(name.offset);
    }
    await this.#removeOrphans(entries, logs);
    const found = [...logs]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([baseOffset, { sizeBytes, modifiedMs }]) =>
        Segment.existing(this.#environment, { directory, baseOffset, size: sizeBytes, modifiedMs }, config),
      );
    return { found, snapshots, aborted };
  }

  /** Reads which transactions were aborted in the segments that have a file of them. */
  async #loadTransactions(found: readonly Segment[], withFile: ReadonlySet<bigint>): Promise<void> {
    for (const segment of found) {
      if (!withFile.has(segment.baseOffset) || (await segment.loadTransactions())) continue;
      const path = segment.path(Suffix.transactionIndex);
      this.#environment.logger.warn({ index: path }, 'rebuilding a damaged transaction index');
      this.#forgetTransactions(segment);
    }
  }

  /** The replay of the producers finds them again. */
  #forgetTransactions(segment: Segment): void {
    segment.transactions = new TransactionIndex(segment.baseOffset);
    this.#rebuilt.add(segment);
  }

  /** Removes indexes without a segment. */
  async #removeOrphans(
    entries: readonly DirectoryEntry[],
    logs: ReadonlyMap<bigint, unknown>,
  ): Promise<void> {
    for (const { name } of entries) {
      const parsed = parseOffsetFileName(name);
      const isSegmentFile = parsed && (SEGMENT_SUFFIXES as readonly string[]).includes(parsed.suffix);
      if (!isSegmentFile || logs.has(parsed.offset)) continue;
      await this.#environment.fileSystem.remove(join(this.#options.directory, name));
    }
  }

  async #readEpochs(): Promise<{ epoch: number; startOffset: bigint }[]> {
    const path = join(this.#options.directory, LEADER_EPOCH_CHECKPOINT);
    const bytes = await this.#environment.fileSystem.readFile(path, CHECKPOINT_LIMIT_BYTES);
    try {
      return bytes ? decodeLeaderEpochs(bytes) : [];
    } catch (error) {
      this.#environment.logger.warn({ file: path, error }, 'ignoring a damaged leader epoch checkpoint');
      return [];
    }
  }

  /** Reads the last segment from its last index entry on. Returns the log's end. */
  async #openEnd(found: Segment[]): Promise<bigint> {
    const active = found.at(-1);
    if (!active) return 0n;
    const indexes = await active.indexes(this.#options.config);
    active.activate(indexes, false);
    active.firstTimestamp = (await active.scan(0, 1)).batches[0]?.maxTimestamp ?? null;
    const start = indexes.offset.lastPosition;
    const from = { validBytes: start, nextOffset: active.baseOffset };
    const state = await this.#readOn(active, null, from, (batch) => indexes.observe(batch));
    // The index may be what is wrong, so look at the whole segment before anything is cut off.
    if (state.problem) return (await this.#recoverSegment(active, null)).nextOffset;
    await this.#cut(active, state);
    return state.nextOffset;
  }

  /**
   * Reads every segment that may hold batches that are not durable and ends the log at the first thing wrong; segments after that are
   * removed. Returns the log's end.
   */
  async #recover(found: Segment[]): Promise<bigint> {
    const first = Math.max(
      0,
      found.findLastIndex((segment) => segment.baseOffset <= this.#options.recoveryPoint),
    );
    let nextOffset = found[first]?.baseOffset ?? 0n;
    for (let index = first; index < found.length; index++) {
      const segment = found[index]!;
      const gap = segment.baseOffset > nextOffset && !this.#isCompacted(segment.baseOffset);
      if (gap || segment.baseOffset < nextOffset) {
        await this.#drop(found.splice(index), `begins at ${segment.baseOffset} where ${nextOffset} is due`);
        break;
      }
      const problem = await this.#recoverSegment(segment, found[index + 1]?.baseOffset ?? null);
      nextOffset = problem.nextOffset;
      if (problem.reason !== null) {
        await this.#drop(found.splice(index + 1), 'follows damage');
        break;
      }
      if (index < found.length - 1) await this.#complete(segment);
    }
    const last = found.at(-1);
    if (last?.persisted) last.activate(await last.indexes(this.#options.config));
    return nextOffset;
  }

  /** Lets the indexes of a segment leave memory: where a checkpoint is lost there may be thousands, of megabytes each. */
  async #complete(segment: Segment): Promise<void> {
    segment.recent = null;
    try {
      await segment.persist();
    } catch (error) {
      // Later, when there is room for them.
      if (!isTransient(error)) throw error;
    }
  }

  /** Whether whole segments may have gone before `offset`: the checkpoint says so, or gaps that only compaction leaves. */
  #isCompacted(offset: bigint): boolean {
    return this.#hasGaps || offset <= this.#options.cleanedOffset;
  }

  async #recoverSegment(
    segment: Segment,
    endOffset: bigint | null,
  ): Promise<{ nextOffset: bigint; reason: string | null }> {
    const { config } = this.#options;
    const indexes = new SegmentIndexes(segment.baseOffset, config);
    segment.activate(indexes);
    this.#forgetTransactions(segment);
    segment.linked = false;
    segment.file.markUnsynced();
    const from = { validBytes: 0, nextOffset: segment.baseOffset };
    let dueOffset = segment.baseOffset;
    const state = await this.#readOn(segment, endOffset, from, (batch) => {
      this.#hasGaps ||= batch.baseOffset > dueOffset;
      dueOffset = batch.lastOffset + 1n;
      segment.firstTimestamp ??= batch.maxTimestamp;
      indexes.add(batch, config.indexIntervalBytes);
      if (batch.leaderEpoch > this.#epochs.latest) this.#epochs.assign(batch.leaderEpoch, batch.baseOffset);
    });
    await this.#cut(segment, state);
    return { nextOffset: state.nextOffset, reason: state.problem };
  }

  /** Reads good batches up to the end of a segment or the first thing wrong. */
  async #readOn(
    segment: Segment,
    endOffset: bigint | null,
    from: RecoveryState,
    take: (batch: BatchInfo) => void,
  ): Promise<RecoveryState & { problem: string | null }> {
    let state = from;
    let verifyCrc = this.#mayBeTorn(from.nextOffset);
    const { clean, cleanedOffset } = this.#options;
    const { baseOffset } = segment;
    const bounds = { baseOffset, endOffset, cleanedOffset: clean ? MAX_OFFSET : cleanedOffset };
    for (;;) {
      const scan = await segment.scan(state.validBytes, SCAN_BYTES, verifyCrc);
      const step = recover(scan, state, bounds);
      for (const batch of step.accepted) {
        if (!verifyCrc && this.#mayBeTorn(batch.lastOffset)) break;
        const problem = await this.#verify(batch, segment);
        if (problem) return { ...state, problem };
        take(batch);
        segment.recent?.append(batch);
        state = { validBytes: batch.position + batch.sizeBytes, nextOffset: batch.lastOffset + 1n };
      }
      const reached = state.validBytes === step.validBytes;
      if (reached && (step.problem !== null || step.accepted.length === 0))
        return { ...state, problem: step.problem };
      // What was read but not taken is read again, with its checksums.
      verifyCrc ||= !reached;
    }
  }

  /** Whether a batch that ends at `offset`, or what follows it, may not have been durable when the process ended. */
  #mayBeTorn(offset: bigint): boolean {
    return !this.#options.clean && offset >= this.#options.recoveryPoint;
  }

  async #verify(batch: BatchInfo, segment: Segment): Promise<string | null> {
    const { verifyBatch } = this.#options;
    if (!verifyBatch || !this.#mayBeTorn(batch.lastOffset)) return null;
    return verifyBatch(batch, await segment.file.open());
  }

  /** Ends a segment where its good bytes end. */
  async #cut(segment: Segment, state: RecoveryState & { problem: string | null }): Promise<void> {
    const excess = segment.size - state.validBytes;
    if (excess === 0) return;
    const fields = { segment: segment.file.path, position: state.validBytes, excess, problem: state.problem };
    if (state.problem) this.#environment.logger.warn(fields, 'truncating a log at the first bad batch');
    else this.#environment.logger.debug(fields, 'removing reserved space behind the last batch');
    await segment.file.truncate(state.validBytes);
  }

  async #drop(segments: readonly Segment[], reason: string): Promise<void> {
    for (const segment of segments) {
      this.#environment.logger.warn({ segment: segment.file.path, reason }, 'removing a segment');
      await segment.file.close();
      for (const suffix of SEGMENT_SUFFIXES) await this.#environment.fileSystem.remove(segment.path(suffix));
    }
  }

  /** A log that ends before its start, because files were taken away, begins anew at its start. */
  async #atLeastOne(found: Segment[], nextOffset: bigint): Promise<SegmentList> {
    const { directory, config, logStartOffset } = this.#options;
    if (found.length > 0 && nextOffset >= logStartOffset) return new SegmentList(found);
    await this.#drop(found, `the log ends at ${nextOffset}, before its start ${logStartOffset}`);
    const segment = Segment.create(this.#environment, directory, logStartOffset, config);
    // Its name will say where the log is.
    if (logStartOffset > 0n) await segment.sync();
    return new SegmentList([segment]);
  }
}

export interface ProducerReload {
  readonly segments: SegmentList;
  readonly snapshots: ProducerSnapshots;
  readonly producers: ProducerStates;
  readonly logStartOffset: bigint;
  readonly logEndOffset: bigint;
  /** Whether producers may send again what they had sent before. */
  readonly afterCrash: boolean;
  /** Segments whose aborted transactions are not known: the replay adds them. */
  readonly rebuilt: ReadonlySet<Segment>;
}

/** Rebuilds producer state as of the log's end from the last snapshot and the batches after it. */
export async function reloadProducers(
  environment: LogEnvironment,
  config: LogConfig,
  reload: ProducerReload,
): Promise<void> {
  const { segments, snapshots, producers, logStartOffset, logEndOffset, rebuilt } = reload;
  await snapshots.removeWhere((offset) => offset > logEndOffset || offset <= logStartOffset);
  const snapshot = await startingSnapshot(reload);
  producers.reset(snapshot?.entries ?? [], snapshot?.offset ?? logStartOffset);
  for (const segment of segments.from(producers.endOffset)) {
    if (producers.endOffset >= logEndOffset) break;
    let position = (await segment.indexes(config)).offset.lookup(producers.endOffset);
    for (;;) {
      const { batches, end } = await segment.scan(position);
      for (const batch of batches) {
        const aborted = batch.lastOffset < logEndOffset ? producers.replay(batch) : null;
        if (aborted && rebuilt.has(segment)) segment.transactions.append(aborted);
      }
      if (batches.length === 0) break;
      position = end;
    }
  }
  producers.endOffset = logEndOffset;
  producers.expire(BigInt(environment.clock.now() - environment.producerIdExpirationMs));
}

/**
 * A snapshot holds only the last batch of each producer, as Kafka's do, but after a crash a producer may send several again. So the
 * replay begins a segment earlier then, and before the first segment whose aborted transactions have to be found.
 */
async function startingSnapshot({ segments, snapshots, logEndOffset, afterCrash, rebuilt }: ProducerReload) {
  const firstRebuilt = segments.all.find((segment) => rebuilt.has(segment));
  const previous = segments.all.at(-2);
  const atMost = firstRebuilt?.baseOffset ?? logEndOffset;
  if (!afterCrash || !previous) return snapshots.latest(atMost);
  const snapshot = await snapshots.latest(smallest(previous.baseOffset, atMost));
  return snapshot || previous === segments.first ? snapshot : snapshots.latest(atMost);
}
