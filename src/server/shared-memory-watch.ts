import { arenaShared, arenaStats } from '../native/arena.ts';
import type { Clock, Timer } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';

const LOOK_MS = 1_000;

/**
 * Says whether the arena outlives a killed process, and looks again every second: other programs may remove its file, as systemd does when a user logs
 * out (RemoveIPC). From then on answers wait for the disk.
 */
export class SharedMemoryWatch {
  readonly #logger: Logger;
  readonly #clock: Clock;
  #timer: Timer | null = null;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** `fields`: what else is to be said of the arena. */
  start(fields: object = {}): void {
    const { shared, reason } = arenaShared();
    this.#logger.info({ bytes: arenaStats().capacityBytes, shared, ...fields }, 'arena');
    if (shared) this.#later();
    else this.#logger.warn({ reason }, 'log.ack=memory is off: every answer waits for the disk');
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #later(): void {
    this.#timer = this.#clock.setTimer(LOOK_MS, () => {
      const { shared, reason } = arenaShared();
      if (shared) this.#later();
      else
        this.#logger.error(
          { reason },
          'log.ack=memory is off until the next start: every answer waits for the disk. What was acknowledged a moment ago is lost if the process is killed now',
        );
    });
  }
}
