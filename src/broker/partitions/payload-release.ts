import type { PartitionPayloads } from '../../backend/payload/partition-payloads.ts';
import type { ReleasedExtent } from '../../native/compaction.ts';
import type { Clock, Timer } from '../../util/clock.ts';

/** Gives back payload whose records compaction has removed, a while later: fetches under way may have found its references before. */
export class PayloadRelease {
  readonly #payloads: PartitionPayloads;
  readonly #clock: Clock;
  readonly #waiting = new Map<Timer, readonly ReleasedExtent[]>();

  constructor(payloads: PartitionPayloads, clock: Clock) {
    this.#payloads = payloads;
    this.#clock = clock;
  }

  add(extents: readonly ReleasedExtent[], delayMs: number): void {
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#waiting.delete(timer);
      void this.#payloads.release(extents);
    });
    this.#waiting.set(timer, extents);
  }

  /** Releases what waits: the partition is closed, and the next start does not look for it. */
  async flush(): Promise<void> {
    const extents = [...this.#waiting.values()].flat();
    this.cancel();
    if (extents.length > 0) await this.#payloads.release(extents);
  }

  /** Forgets what waits: the partition is being deleted. */
  cancel(): void {
    for (const timer of this.#waiting.keys()) timer.cancel();
    this.#waiting.clear();
  }
}
