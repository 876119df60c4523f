import type { Logger } from '../../../util/logger.ts';
import type { LostPayload } from '../ports.ts';
import type { Move } from './policy.ts';
import type { TierFile } from './tier-file.ts';
import type { TierPath } from './tier-path.ts';

/** What of tiers in memory may be lost. */
export interface MemorySettings {
  /** Payload may be put where a restart of the machine loses it: nobody was promised more. */
  readonly mayLose: boolean;
  /** How long it stays there; negative for no limit. */
  readonly maxAgeMs: number;
}

export const UNLIMITED_MEMORY: MemorySettings = { mayLose: true, maxAgeMs: -1 };

/**
 * The rules for tiers that a restart of the machine empties: what is new may go there, and leaves again, because of its age at the latest; what
 * is elsewhere never comes there.
 */
export class MemoryTiers {
  /** Payload that restarts of the machine have taken, as far as this process has found out. */
  readonly lost = { batches: 0, bytes: 0 };
  /** Everything is to leave memory. */
  isDraining = false;
  readonly #settings: () => MemorySettings;
  readonly #logger: Logger;

  constructor(settings: () => MemorySettings, logger: Logger) {
    this.#settings = settings;
    this.#logger = logger;
  }

  get takesMore(): boolean {
    return !this.isDraining && this.#settings().mayLose;
  }

  /** Says at the start what is at risk. */
  report(paths: readonly TierPath[]): void {
    const { mayLose, maxAgeMs } = this.#settings();
    for (const { path, isVolatile, error, sizeBytes, capacityBytes } of paths) {
      if (!isVolatile || error !== null) continue;
      const fields = { path, sizeBytes, maxAgeMs };
      if (!mayLose) {
        this.#logger.warn(fields, 'a tier in memory is not used while log.durability=flush');
        continue;
      }
      this.#logger.warn(
        fields,
        'payload in this tier is lost when the machine restarts without a clean stop of the gateway',
      );
      if (capacityBytes < sizeBytes)
        this.#logger.warn(
          { ...fields, capacityBytes },
          'a tier in memory is smaller than configured: its tmpfs is, or the machine has not so much memory left',
        );
    }
  }

  /** Records that refer to payload lost with the machine's memory are gone by now. */
  countLost({ batches, bytes }: LostPayload): void {
    this.lost.batches += batches;
    this.lost.bytes += bytes;
  }

  /**
   * The oldest file that has been in memory for too long of those for which there is room, and the first of the tiers (`roomBytes`: of each) that it may
   * go to; null: none.
   */
  nextMove(
    movable: readonly TierFile[],
    tiers: readonly { readonly roomBytes: number }[],
    nowMs: number,
  ): Move<TierFile> | null {
    let oldest: Move<TierFile> | null = null;
    for (const file of movable) {
      if (!this.#isDue(file, nowMs) || (oldest !== null && file.beganMs >= oldest.file.beganMs)) continue;
      const to = tiers.findIndex(({ roomBytes }) => file.bytes <= roomBytes);
      if (to >= 0) oldest = { file, to };
    }
    return oldest;
  }

  /** Ends segments that are written in memory for too long, so that they can be moved. */
  completeDue(paths: readonly TierPath[], nowMs: number): void {
    for (const { files } of paths) for (const file of files) if (this.#isDue(file, nowMs)) file.complete();
  }

  #isDue({ at, beganMs }: TierFile, nowMs: number): boolean {
    const { mayLose, maxAgeMs } = this.#settings();
    if (!at.isVolatile) return false;
    return this.isDraining || !mayLose || (maxAgeMs >= 0 && nowMs - beganMs >= maxAgeMs);
  }

  /** Says what has stayed in memory although everything was to leave it. */
  reportRest(paths: readonly TierPath[]): void {
    for (const { path, isVolatile, files, usedBytes } of paths)
      if (isVolatile && files.size > 0)
        this.#logger.error(
          { path, bytes: usedBytes },
          'payload could not be moved out of memory: it is lost if the machine restarts before the gateway has run again and found room for it',
        );
  }
}
