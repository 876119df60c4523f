import { join } from 'node:path';
import { encodeLeaderEpochs, LEADER_EPOCH_CHECKPOINT } from './checkpoint-files.ts';
import type { EpochEntry } from './leader-epochs.ts';
import type { FileSystem } from './ports.ts';
import { CoalescedWrite } from './serial.ts';

/** Keeps a log's `leader-epoch-checkpoint` up to date. */
export class LeaderEpochFile {
  readonly #write: CoalescedWrite;
  readonly #failed: (error: unknown) => void;
  /** Until when nothing is written; null: now. */
  #held: Promise<void> | null = null;

  constructor(
    fileSystem: FileSystem,
    source: { directory: () => string; entries: () => readonly EpochEntry[] },
    failed: (error: unknown) => void,
  ) {
    this.#failed = failed;
    this.#write = new CoalescedWrite(async () => {
      if (this.#held !== null) await this.#held;
      await fileSystem.replaceFile(
        join(source.directory(), LEADER_EPOCH_CHECKPOINT),
        encodeLeaderEpochs(source.entries()),
      );
    });
  }

  /** The epochs have changed: writes them in the background. */
  save(): void {
    this.#write.request().catch(this.#failed);
  }

  /** Resolves when what was saved is durable. */
  idle(): Promise<void> {
    return this.#write.idle();
  }

  /** Nothing is written before the promise, which is never rejected, has settled; resolves when what was saved is durable. */
  async hold(until: Promise<void>): Promise<void> {
    while (this.#write.isBusy) await this.#write.idle();
    this.#held = until.then(() => {
      this.#held = null;
    });
  }
}
