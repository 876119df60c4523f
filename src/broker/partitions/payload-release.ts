import type { PartitionPayloads } from '../../backend/payload/partition-payloads.ts';
import type { ReleasedExtent } from '../../native/compaction.ts';
import type { Clock, Timer } from '../../util/clock.ts';

const RETRY_MIN_MS = 1000;

/** Gives back payload whose records compaction has removed, a while later: fetches under way may have found its references before. */
export class PayloadRelease {
  readonly #payloads: PartitionPayloads;
  readonly #clock: Clock;
  /** Null: nothing was given back yet. */
  #waiting: Map<Timer, readonly ReleasedExtent[]> | null = null;
  #closed = false;

  constructor(payloads: PartitionPayloads, clock: Clock) {
    this.#payloads = payloads;
    this.#clock = clock;
  }

  /** What cannot be released then (the disk may be full) is tried again as much later. */
  add(extents: readonly ReleasedExtent[], delayMs: number): void {
    // Soon there may be another partition of the same name, with payload of its own.
    if (this.#closed) return;
    this.#waiting ??= new Map();
    const waiting = this.#waiting;
    const timer = this.#clock.setTimer(delayMs, () => {
      waiting.delete(timer);
      this.#payloads.release(extents).catch(() => this.add(extents, Math.max(delayMs, RETRY_MIN_MS)));
    });
    waiting.set(timer, extents);
  }

  /** Releases what waits: the partition is closed, and the next start does not look for it. */
  async close(): Promise<void> {
    const extents = [...(this.#waiting?.values() ?? [])].flat();
    this.cancel();
    // Its failure has been logged; the next start after a crash finds what was not released.
    if (extents.length > 0) await this.#payloads.release(extents).catch(() => {});
  }

  /** Forgets what waits: the partition is being deleted. */
  cancel(): void {
    this.#closed = true;
    for (const timer of this.#waiting?.keys() ?? []) timer.cancel();
    this.#waiting = null;
  }
}
