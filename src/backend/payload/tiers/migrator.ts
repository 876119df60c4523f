import type { Clock } from '../../../util/clock.ts';
import type { Logger } from '../../../util/logger.ts';
import { Throttle } from '../../../util/throttle.ts';
import { COPY_SUFFIX } from './directories.ts';
import type { Move } from './policy.ts';
import { RETRY_MS, type TierFile } from './tier-file.ts';

const LOOK_AGAIN_MS = 20;

export interface MigrationSettings {
  /** A share; negative: nothing moves. */
  readonly threshold: number;
  /** Of all that is copied; negative for no limit. */
  readonly bytesPerSecond: number;
  /** Of what is copied into and out of one tier; no limit by default. */
  readonly tierBytesPerSecond?: (tier: number) => number;
}

export interface MigrationFiles {
  /** Removes a file, or a directory with all it holds; it may be gone already. */
  remove(path: string): Promise<void>;
  copyRange(from: string, to: string, position: number, length: number): Promise<number>;
  publishCopy(from: string, copy: string, to: string): Promise<void>;
}

export interface MigratorOptions {
  readonly files: MigrationFiles;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: () => MigrationSettings;
  /** Moves at the same time. */
  readonly threads: number;
  /** Whether what clients wait for leaves no room for copying now. */
  readonly isBusy: () => boolean;
}

/** What to move, and room for it. */
export interface MigrationPlan {
  nextMove(): Move<TierFile> | null;
  /** Null: there is no room. */
  arrive(file: TierFile, tier: number): TierFile | null;
}

/** Bytes and files that came into a tier, or left it, and moves that failed. */
export interface TierMoves {
  inBytes: number;
  outBytes: number;
  failures: number;
}

/**
 * Moves complete payload files from tier to tier: copies each in steps to `*.moving`, flushes and renames it, has its partition read from there, and
 * removes the original. A crash between leaves the original, or both.
 */
export class Migrator {
  /** By tier; payload in its partitions' directories counts as the tier below the last. */
  readonly moves = new Map<number, TierMoves>();
  readonly #plan: MigrationPlan;
  readonly #options: MigratorOptions;
  readonly #throttle: Throttle;
  readonly #tierThrottles = new Map<number, Throttle>();
  readonly #running = new Set<Promise<void>>();
  #stopped = false;

  constructor(plan: MigrationPlan, options: MigratorOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#throttle = new Throttle(options.clock, () => options.settings().bytesPerSecond);
  }

  /** Files that are being moved. */
  get running(): number {
    return this.#running.size;
  }

  /** Begins what has to be moved, as much as may be moved at the same time. */
  look(): void {
    while (!this.#stopped && this.#running.size < this.#options.threads) {
      const move = this.#plan.nextMove();
      if (move === null) return;
      const target = this.#plan.arrive(move.file, move.to);
      if (target === null) {
        move.file.retryAtMs = this.#options.clock.now() + LOOK_AGAIN_MS;
        return;
      }
      const running = this.#move(move.file, target).finally(() => {
        this.#running.delete(running);
        this.look();
      });
      this.#running.add(running);
    }
  }

  async #move(source: TierFile, target: TierFile): Promise<void> {
    const { files, logger } = this.#options;
    const copy = target.path + COPY_SUFFIX;
    source.state = 'leaving';
    const fields = { from: source.path, to: target.path, bytes: source.bytes };
    let moved = false;
    try {
      await target.ready;
      const move = source.owner?.segments?.move(source.segmentId, {
        place: target,
        copy: (from, isWanted) => this.#copy(from, copy, source, target, isWanted),
        publish: (from) => files.publishCopy(from, copy, target.path),
      });
      moved = (await move) ?? false; // not of a topic that was deleted
    } catch (error) {
      moved = target.state === 'complete'; // only the original could not be removed
      if (!this.#stopped || (error as NodeJS.ErrnoException).code !== 'ESHUTDOWN') {
        this.movesOf(target.tier).failures++;
        logger.warn({ ...fields, moved, err: error }, 'payload could not be moved to another tier');
        if (!moved && isAbout(error, target)) target.at.failed(error);
      }
    }
    if (moved) {
      this.movesOf(source.tier).outBytes += target.bytes;
      this.movesOf(target.tier).inBytes += target.bytes;
      logger.debug(fields, 'payload moved to another tier');
    } else {
      await this.#giveUp(source, target, copy);
    }
  }

  /** Copies a file in steps; no step is begun while clients wait for the disks. */
  async #copy(
    from: string,
    to: string,
    source: TierFile,
    target: TierFile,
    isWanted: () => boolean,
  ): Promise<boolean> {
    const { files, clock, isBusy } = this.#options;
    const throttles = [this.#throttle, this.#throttleOf(source.tier), this.#throttleOf(target.tier)];
    const bytes = source.length;
    const stepBytes = target.at.stepBytes(bytes);
    for (let position = 0; position < bytes; ) {
      const length = Math.min(stepBytes, bytes - position);
      for (;;) {
        if (this.#stopped || !isWanted()) return false;
        const delayMs = Math.max(...throttles.map((throttle) => throttle.delayMs));
        if (delayMs === 0 && !isBusy()) break;
        const waitMs = delayMs === 0 ? LOOK_AGAIN_MS : Math.min(LOOK_AGAIN_MS, delayMs);
        await new Promise<void>((resolve) => clock.setTimer(waitMs, resolve));
      }
      for (const throttle of throttles) throttle.spend(length);
      const copied = await files.copyRange(from, to, position, length);
      if (copied === 0) throw new Error(`${from} ends at ${position}, before ${bytes}`);
      position += copied;
    }
    return true;
  }

  #throttleOf(tier: number): Throttle {
    let throttle = this.#tierThrottles.get(tier);
    if (throttle === undefined) {
      const { clock, settings } = this.#options;
      throttle = new Throttle(clock, () => settings().tierBytesPerSecond?.(tier) ?? -1);
      this.#tierThrottles.set(tier, throttle);
    }
    return throttle;
  }

  async #giveUp(source: TierFile, target: TierFile, copy: string): Promise<void> {
    source.retryAtMs = this.#options.clock.now() + RETRY_MS;
    if (source.state === 'leaving') source.state = 'complete';
    try {
      await this.#options.files.remove(copy);
      // It may have its name, but nobody knows of it.
      await this.#options.files.remove(target.path);
    } catch (error) {
      this.#options.logger.warn({ path: target.path, err: error }, 'the rest of a copy could not be removed');
    }
    target.removed();
  }

  movesOf(tier: number): TierMoves {
    let moves = this.moves.get(tier);
    if (moves === undefined) {
      moves = { inBytes: 0, outBytes: 0, failures: 0 };
      this.moves.set(tier, moves);
    }
    return moves;
  }

  /** Resolves when nothing is being moved, nor has to be. */
  async idle(): Promise<void> {
    this.look();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Begins nothing more, and resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}

/** Whether an error of the store names the copy, and not the original. */
function isAbout(error: unknown, target: TierFile): boolean {
  return error instanceof Error && error.message.includes(`${target.at.path}/`);
}
