import type { LogEnvironment } from './environment.ts';
import { isStorageError } from './errors.ts';
import type { LogSegments } from './log-segments.ts';
import { largest } from './offsets.ts';
import type { LogPayload } from './partition-log-types.ts';
import type { StorageFailures } from './storage-failures.ts';
import type { WriteOrder } from './write-order.ts';

/** Knows how much of a log is durable, with the payload that it refers to, and makes more of it so. */
export class LogDurability {
  /** What records refer to, if anything: durable before they are taken for durable. */
  payload: LogPayload | null = null;
  readonly #environment: LogEnvironment;
  readonly #segments: LogSegments;
  readonly #writes: WriteOrder;
  readonly #failures: StorageFailures;
  #flushedOffset: bigint;
  #unflushedSinceMs: number | null = null;
  #truncations = 0;
  #flushes = 0;
  #idle: (() => void) | null = null;

  constructor(
    environment: LogEnvironment,
    parts: { segments: LogSegments; writes: WriteOrder; failures: StorageFailures; flushedOffset: bigint },
  ) {
    this.#environment = environment;
    this.#segments = parts.segments;
    this.#writes = parts.writes;
    this.#failures = parts.failures;
    this.#flushedOffset = parts.flushedOffset;
  }

  /** Everything below it is durable. */
  get flushedOffset(): bigint {
    return this.#flushedOffset;
  }

  /** Changes when the log's end is taken back. */
  get version(): number {
    return this.#truncations;
  }

  /** Something was appended. */
  appended(): void {
    this.#unflushedSinceMs ??= this.#environment.clock.now();
  }

  /** The log's end is about to be taken back. */
  truncating(): void {
    this.#truncations++;
  }

  /** The log ends at `end` now. Whether what was durable has gone. */
  truncated(end: bigint): boolean {
    if (end >= this.#flushedOffset) return false;
    this.#flushedOffset = end;
    return true;
  }

  /** Makes the log durable up to `end`, which is written or being written; rejects with KAFKA_STORAGE_ERROR, or the payload's error. */
  async flush(end: bigint): Promise<void> {
    if (end <= this.#flushedOffset) return;
    const since = this.#unflushedSinceMs;
    this.#flushes++;
    try {
      await this.#flush(end);
    } catch (error) {
      this.#unflushedSinceMs = since ?? this.#unflushedSinceMs;
      throw error;
    } finally {
      this.#flushes--;
      if (this.#flushes === 0) this.#idle?.();
    }
  }

  /** Resolves when nothing is being flushed; one waits at a time. */
  async idle(): Promise<void> {
    if (this.#flushes === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
    this.#idle = null;
  }

  async #flush(end: bigint): Promise<void> {
    const version = this.#truncations;
    this.#unflushedSinceMs = null;
    const payload = this.flushPayload();
    payload.catch(() => {});
    try {
      await Promise.all([this.#writes.written(), this.#segments.sync(this.#flushedOffset)]);
    } catch (error) {
      throw this.#failures.report(`flushing ${this.#segments.directory}`, error);
    }
    await payload;
    if (version === this.#truncations) this.#flushedOffset = largest(this.#flushedOffset, end);
  }

  /** Flushes when `flush.ms` is over for what was appended since the last flush. Where only the place of payload has failed it is due again. */
  async flushIfDue(end: bigint, flushMs: number): Promise<void> {
    const since = this.#unflushedSinceMs;
    if (since === null || this.#environment.clock.now() - since < flushMs) return;
    try {
      await this.flush(end);
    } catch (error) {
      if (isStorageError(error)) throw error;
      const { directory } = this.#segments;
      this.#environment.logger.debug({ directory, error }, 'payload could not be flushed');
    }
  }

  /** Completes all segments but the active one on disk; what they hold is durable then, unless its payload cannot be made so. */
  async persistRolled(): Promise<void> {
    const version = this.#truncations;
    const { baseOffset } = this.#segments.list.active;
    await this.#segments.persistRolled();
    if (baseOffset <= this.#flushedOffset) return;
    try {
      await this.flushPayload();
    } catch (error) {
      // Perhaps only its place has failed, not the log's. The next start looks at it once more.
      const { directory } = this.#segments;
      this.#environment.logger.warn({ directory, error }, 'payload could not be flushed');
      return;
    }
    if (version === this.#truncations) this.#flushedOffset = largest(this.#flushedOffset, baseOffset);
  }

  /** Makes the payload durable to which anything appended so far refers. */
  async flushPayload(): Promise<void> {
    if (!this.payload?.needsFlush) return;
    try {
      await this.payload.flush();
    } catch (error) {
      if (isStorageError(error))
        this.#failures.report(`flushing payload of ${this.#segments.directory}`, error);
      throw error;
    }
  }
}
