import { trimAllocator } from '../../native/allocator.ts';
import type { LeveledLogger } from '../../util/logger.ts';
import { createLogger, type LogLevel } from '../logging.ts';
import { version } from '../version.ts';

/** SIGHUP: the terminal is closed. */
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof exitCodes;

/** Whatever runs until it is told to stop. */
export interface Running {
  stop(): Promise<void>;
}

/**
 * Runs a part of Kafabric until SIGTERM, SIGINT or SIGHUP. A signal while it starts, or a second one while it stops, ends it at once: that is safe,
 * as a crash is.
 */
export async function runUntilStopped(
  name: string,
  level: LogLevel,
  warnings: readonly string[],
  start: (log: LeveledLogger) => Promise<Running>,
): Promise<void> {
  const log = createLogger(level);
  for (const warning of warnings) log.warn({}, warning);
  log.info({ version, node: process.version, pid: process.pid }, `${name} is starting`);
  const signals = new StopSignals();
  const running = await start(log).catch((error: unknown) => {
    log.debug({ error }, 'the start failed');
    throw error;
  });
  // Loading the program has left megabytes behind.
  trimAllocator();
  const signal = await signals.next();
  log.info({ signal }, 'shutting down');
  await running.stop();
  log.info({}, `${name} has stopped`);
  process.exit(0);
}

/** Listens from the start to the end, without a moment between two listeners in which a signal would be lost. */
class StopSignals {
  #onSignal: ((signal: StopSignal) => void) | null = null;
  #isStopping = false;

  constructor() {
    for (const name of Object.keys(exitCodes) as StopSignal[]) process.on(name, () => this.#take(name));
  }

  #take(name: StopSignal): void {
    const onSignal = this.#onSignal;
    if (onSignal !== null) {
      this.#onSignal = null;
      this.#isStopping = true;
      onSignal(name);
      return;
    }
    // A terminal that is closed may say so twice: by its shell, and by itself.
    if (name !== 'SIGHUP' || !this.#isStopping) process.exit(exitCodes[name]);
  }

  /** The next signal does not end the process, but resolves this. */
  next(): Promise<StopSignal> {
    return new Promise((resolve) => {
      this.#onSignal = resolve;
    });
  }
}
