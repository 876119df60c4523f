import { isPausing } from '../../../../util/clock.ts';
import type { Logger } from '../../../../util/logger.ts';
import { ObjectError } from './objects.ts';

/** After an attempt that failed: twice as long each time, less up to a half at random. */
const FIRST_PAUSE_MS = 2_000;
const LAST_PAUSE_MS = 60_000;

/**
 * Objects that are to be removed. What cannot be removed now is tried again while the process lives; the next start finds the rest, for nothing
 * refers to it.
 */
export class PendingRemovals {
  readonly #removeAll: (prefix: string) => Promise<void>;
  readonly #logger: Logger;
  /** How their keys begin. */
  readonly #pending = new Set<string>();
  #running = false;
  #pauseMs = FIRST_PAUSE_MS;
  #nextMs = 0;
  /** What people were told last. */
  #refusal = '';

  constructor(removeAll: (prefix: string) => Promise<void>, logger: Logger) {
    this.#removeAll = removeAll;
    this.#logger = logger;
  }

  get size(): number {
    return this.#pending.size;
  }

  add(prefix: string): void {
    this.#pending.add(prefix);
  }

  /** Removes what begins so, now or later. Never rejects. */
  async remove(prefix: string): Promise<void> {
    this.add(prefix);
    await this.#try(prefix);
  }

  /** Tries again, one after the other, until one fails; not at once after that. */
  async retry(nowMs: number): Promise<void> {
    if (this.#running || isPausing(this.#nextMs, nowMs, LAST_PAUSE_MS)) return;
    this.#running = true;
    const done = await this.#tryAll();
    this.#running = false;
    if (!done) this.#nextMs = nowMs + this.#pauseMs * (1 - Math.random() / 2);
    this.#pauseMs = done ? FIRST_PAUSE_MS : Math.min(LAST_PAUSE_MS, 2 * this.#pauseMs);
  }

  async #tryAll(): Promise<boolean> {
    for (const prefix of [...this.#pending]) if (!(await this.#try(prefix))) return false;
    return true;
  }

  /** Once for all that is refused for one reason. */
  #tell(prefix: string, error: ObjectError): void {
    const reason = error.message.replace(prefix, '');
    if (reason !== this.#refusal)
      this.#logger.error(
        { prefix, err: error },
        'the object store refuses to remove objects, which stay there',
      );
    this.#refusal = reason;
  }

  async #try(prefix: string): Promise<boolean> {
    try {
      await this.#removeAll(prefix);
      this.#pending.delete(prefix);
      return true;
    } catch (error) {
      this.#logger.debug({ prefix, err: error }, 'objects could not be removed yet');
      if (error instanceof ObjectError && error.isRefusal) this.#tell(prefix, error);
      return false;
    }
  }
}
