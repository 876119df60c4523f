import type { Clock, Timer } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { isTransient } from '../errors.ts';
import type { PartitionLog } from '../partition-log.ts';
import { SerialQueue } from '../serial.ts';
import { type DirtyRange, dirtyRatio, isDue } from './cleanable.ts';
import { CompactionStopped } from './log-compaction.ts';
import type { CompactionEngine, RoundStats } from './ports.ts';

/** Kafka's log.cleaner.* keys. */
export interface CleanerSettings {
  readonly enabled: boolean;
  /** Logs that are compacted at the same time. */
  readonly threads: number;
  readonly backoffMs: number;
  /** Memory of all threads together. */
  readonly dedupeBufferBytes: number;
  readonly ioBufferBytes: number;
  readonly loadFactor: number;
  readonly maxIoBytesPerSecond: number;
}

/** Counted since the start. */
export interface CleanerMetrics {
  runs: number;
  /** Rounds that were stopped, for the log was truncated, deleted or closed. */
  stopped: number;
  failures: number;
  bytesRead: number;
  bytesWritten: number;
  recordsRead: number;
  recordsRemoved: number;
  /** The largest share of a log that is not compacted, when it was last looked. */
  maxDirtyRatio: number;
  /** When it was last looked for something to compact; 0 before. */
  lastLookMs: number;
}

export interface LogCleanerOptions {
  logs(): Iterable<PartitionLog>;
  readonly engine: CompactionEngine;
  /** As it is now: read again before every round. */
  settings(): CleanerSettings;
  /** Of all rounds together; not above 0: no limit. */
  limitRate(bytesPerSecond: number): void;
  readonly clock: Clock;
  readonly logger: Logger;
}

const MIN_BUFFER_BYTES = 65_536;
const BACK_OFF_MIN_MS = 100;
const BACK_OFF_MAX_MS = 300_000;

interface BackOff {
  readonly untilMs: number;
  readonly delayMs: number;
}

/** Compacts the logs of compacted topics in the background, the dirtiest first. */
export class LogCleaner {
  readonly metrics: CleanerMetrics = {
    runs: 0,
    stopped: 0,
    failures: 0,
    bytesRead: 0,
    bytesWritten: 0,
    recordsRead: 0,
    recordsRemoved: 0,
    maxDirtyRatio: 0,
    lastLookMs: 0,
  };
  readonly #options: LogCleanerOptions;
  readonly #running = new Map<PartitionLog, Promise<void>>();
  /** Logs whose compaction failed, as Kafka until the next start, and how many bytes wait there. */
  readonly #uncleanable = new Map<PartitionLog, number>();
  /** Logs that are to be tried again, and when: until then others have their turn. */
  readonly #backingOff = new Map<PartitionLog, BackOff>();
  #timer: Timer | null = null;
  /** One look after another: two would choose the same log. */
  readonly #looks = new SerialQueue();
  #started = false;

  constructor(options: LogCleanerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#started = true;
    this.#lookIn(this.#options.settings().backoffMs);
  }

  /** Ends what runs; resolves when it has. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#timer?.cancel();
    this.#timer = null;
    await this.#looks.run(async () => {});
    for (const log of this.#running.keys()) void log.compaction.stop();
    await Promise.all(this.#running.values());
  }

  /** The partitions that are not compacted any more because it failed, and the bytes that wait there. */
  uncleanable(): readonly { log: PartitionLog; bytes: number }[] {
    return [...this.#uncleanable].map(([log, bytes]) => ({ log, bytes }));
  }

  #lookIn(delayMs: number): void {
    if (!this.#started || this.#timer) return;
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#timer = null;
      void this.#looks
        .run(() => this.#look())
        .catch((error: unknown) => this.#options.logger.error({ err: error }, 'the log cleaner failed'))
        .then(() => this.#lookIn(this.#options.settings().backoffMs));
    });
  }

  /** Begins as many rounds as may run. */
  async #look(): Promise<void> {
    const { settings, limitRate, clock } = this.#options;
    for (;;) {
      const { enabled, threads, maxIoBytesPerSecond } = settings();
      // Also of rounds that run.
      limitRate(maxIoBytesPerSecond >= Number.MAX_VALUE ? 0 : maxIoBytesPerSecond);
      if (!this.#started || !enabled || this.#running.size >= threads) return;
      this.metrics.lastLookMs = clock.now();
      const log = await this.#filthiest();
      if (log === null || !this.#started) return;
      const round = this.#clean(log).then(() => {
        this.#running.delete(log);
        // There may be more to do at once.
        this.#timer?.cancel();
        this.#timer = null;
        this.#lookIn(0);
      });
      this.#running.set(log, round);
    }
  }

  async #filthiest(): Promise<PartitionLog | null> {
    const logs = new Set(this.#options.logs());
    for (const each of [this.#uncleanable, this.#backingOff])
      for (const log of each.keys()) if (!logs.has(log)) each.delete(log);
    let best: { log: PartitionLog; ratio: number } | null = null;
    let maxRatio = 0;
    for (const log of logs) {
      const { compaction, config, isClosed } = log;
      if (!config.cleanupCompact || isClosed || compaction.isRunning) continue;
      if ((this.#backingOff.get(log)?.untilMs ?? 0) > this.#options.clock.now()) continue;
      const range = await this.#survey(log);
      if (range === null) continue;
      const ratio = dirtyRatio(range);
      maxRatio = Math.max(maxRatio, ratio);
      if (isDue(range, config) && (best === null || ratio > best.ratio)) best = { log, ratio };
    }
    this.metrics.maxDirtyRatio = maxRatio;
    return best?.log ?? null;
  }

  async #survey(log: PartitionLog): Promise<DirtyRange | null> {
    try {
      const range = await log.compaction.survey();
      if (!this.#uncleanable.has(log)) return range;
      this.#uncleanable.set(log, range.dirtyBytes);
      return null;
    } catch (error) {
      if (!log.isClosed && !this.#uncleanable.has(log)) this.#failed(log, error);
      return null;
    }
  }

  async #clean(log: PartitionLog): Promise<void> {
    const { engine, logger, clock } = this.#options;
    const { topic, partition } = log;
    const startMs = clock.now();
    try {
      const stats = await log.compaction.run(engine, this.#roundSettings());
      this.#count(stats);
      this.#backingOff.delete(log);
      const { fromOffset, endOffset, segmentsBefore, segmentsAfter, bytesWritten, recordsRemoved } = stats;
      const offsets = { from: String(fromOffset), to: String(endOffset) };
      const fields = {
        topic,
        partition,
        ...offsets,
        segmentsBefore,
        segmentsAfter,
        bytesWritten,
        recordsRemoved,
      };
      logger.info({ ...fields, ms: clock.now() - startMs }, 'compacted a log');
      // Retention leaves a log alone while it is compacted.
      await log.deleteOldSegments();
    } catch (error) {
      const isStopped = error instanceof CompactionStopped || log.isClosed;
      if (isStopped) this.metrics.stopped++;
      else this.#failed(log, error);
    }
  }

  #roundSettings() {
    const { threads, dedupeBufferBytes, ioBufferBytes, loadFactor } = this.#options.settings();
    const share = Math.max(threads, 1);
    return {
      mapBytes: Math.floor(dedupeBufferBytes / share),
      bufferBytes: Math.max(Math.floor(ioBufferBytes / share), MIN_BUFFER_BYTES),
      loadFactor,
    };
  }

  #count(stats: RoundStats): void {
    this.metrics.runs++;
    this.metrics.bytesRead += stats.bytesRead;
    this.metrics.bytesWritten += stats.bytesWritten;
    this.metrics.recordsRead += stats.recordsRead;
    this.metrics.recordsRemoved += stats.recordsRemoved;
  }

  #failed(log: PartitionLog, error: unknown): void {
    const { logger } = this.#options;
    const fields = { topic: log.topic, partition: log.partition, err: error };
    this.metrics.failures++;
    if (isTransient(error)) {
      const delayMs = this.#backOff(log);
      logger.warn({ ...fields, delayMs }, 'a log could not be compacted, and will be tried again');
      return;
    }
    this.#uncleanable.set(log, 0);
    logger.error(fields, 'a log could not be compacted, and is left as it is until the next start');
  }

  /** Each failure of a log doubles the time until it is tried again. Returns it. */
  #backOff(log: PartitionLog): number {
    const { clock, settings } = this.#options;
    const before = this.#backingOff.get(log)?.delayMs ?? settings().backoffMs / 2;
    const delayMs = Math.min(Math.max(before * 2, BACK_OFF_MIN_MS), BACK_OFF_MAX_MS);
    this.#backingOff.set(log, { untilMs: clock.now() + delayMs, delayMs });
    return delayMs;
  }
}
