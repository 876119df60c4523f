import type { Logger } from '../../../../util/logger.ts';
import { ObjectError } from './objects.ts';

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

  /** Tries again, one after the other, until one fails. */
  async retry(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      for (const prefix of [...this.#pending]) if (!(await this.#try(prefix))) return;
    } finally {
      this.#running = false;
    }
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
