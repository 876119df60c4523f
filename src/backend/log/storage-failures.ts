import type { LogEnvironment } from './environment.ts';
import { isTransient, type LogError, storageError } from './errors.ts';

const WARNING_INTERVAL_MS = 10_000;

/** Where the failures of a log's disk go: they put its directory out of use unless they may pass. */
export class StorageFailures {
  readonly #environment: LogEnvironment;
  readonly #log: { readonly directory: string; readonly isClosed: boolean };
  readonly #onLasting: (error: LogError) => void;
  #warnedMs = 0;

  constructor(
    environment: LogEnvironment,
    log: { readonly directory: string; readonly isClosed: boolean },
    onLasting: (error: LogError) => void,
  ) {
    this.#environment = environment;
    this.#log = log;
    this.#onLasting = onLasting;
  }

  /** Reports what failed and why. Returns what to tell the caller. */
  report(action: string, cause: unknown): LogError {
    const error = storageError(action, cause);
    if (this.#log.isClosed) return error;
    if (!isTransient(cause)) this.#onLasting(error);
    else this.#warn(error);
    return error;
  }

  /** A full disk fails every request; one line in a while is enough. */
  #warn(error: LogError): void {
    const { clock, logger } = this.#environment;
    if (clock.now() - this.#warnedMs < WARNING_INTERVAL_MS) return;
    this.#warnedMs = clock.now();
    logger.error({ directory: this.#log.directory, error }, error.message);
  }
}
