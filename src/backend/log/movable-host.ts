import type { LogError } from './errors.ts';
import type { PartitionLog } from './partition-log.ts';
import type { LogHost } from './partition-log-types.ts';

type Checkpoint = 'checkpointRecoveryPoints' | 'checkpointCleanedOffsets' | 'checkpointLogStartOffsets';

/** The host that a log has, and while it moves the one that it is to have: what is written down must be found wherever the next start finds the log. */
export class MovableHost implements LogHost {
  #current: LogHost;
  #next: LogHost | null = null;

  constructor(host: LogHost) {
    this.#current = host;
  }

  checkpointRecoveryPoints(log: PartitionLog): Promise<void> {
    return this.#write('checkpointRecoveryPoints', log);
  }

  checkpointCleanedOffsets(log: PartitionLog): Promise<void> {
    return this.#write('checkpointCleanedOffsets', log);
  }

  checkpointLogStartOffsets(log: PartitionLog): Promise<void> {
    return this.#write('checkpointLogStartOffsets', log);
  }

  storageFailed(log: PartitionLog, error: LogError): void {
    this.#current.storageFailed(log, error);
  }

  /** The log is about to move. */
  begin(next: LogHost): void {
    this.#next = next;
  }

  /** It has moved, or has not. */
  end(moved: boolean): void {
    if (moved && this.#next) this.#current = this.#next;
    this.#next = null;
  }

  /** A move that begins meanwhile counts too. */
  async #write(what: Checkpoint, log: PartitionLog): Promise<void> {
    const written = new Set<LogHost>();
    for (;;) {
      const missing = [this.#current, this.#next].filter((host) => host !== null && !written.has(host));
      if (missing.length === 0) return;
      await Promise.all(
        missing.map(async (host) => {
          await host![what](log);
          written.add(host!);
        }),
      );
    }
  }
}
