import type { Logger } from '../../util/logger.ts';
import type { PayloadSegment } from './segment.ts';

/** The payload segments of one partition, and what is done to them in the background, one after the other. */
export class PartitionSegments {
  /** The payload directory of the partition. */
  directory: string;
  /** Nothing is begun any more. */
  closed = false;
  readonly logger: Logger;
  /** Those whose end is not yet written down; few, among perhaps many. */
  readonly unsealed = new Set<PayloadSegment>();
  /** Oldest first. */
  readonly #segments = new Map<number, PayloadSegment>();
  /** Seals, removals and changes of place. */
  #background: Promise<void> = Promise.resolve();

  constructor(directory: string, logger: Logger) {
    this.directory = directory;
    this.logger = logger;
  }

  get count(): number {
    return this.#segments.size;
  }

  [Symbol.iterator](): Iterator<PayloadSegment> {
    return this.#segments.values();
  }

  get(id: number): PayloadSegment | undefined {
    return this.#segments.get(id);
  }

  /** Nobody has removed it. */
  has(segment: PayloadSegment): boolean {
    return this.#segments.get(segment.id) === segment;
  }

  add(segment: PayloadSegment): void {
    this.#segments.set(segment.id, segment);
  }

  /** One that cannot be removed stays known, and is tried again with what is given up next. */
  async remove(segment: PayloadSegment): Promise<void> {
    // No flush waits for what goes.
    this.unsealed.delete(segment);
    await segment.remove();
    this.#segments.delete(segment.id);
  }

  /** Closes their files as they are. */
  abandon(): void {
    this.closed = true;
    for (const segment of this.#segments.values()) segment.close();
    this.#segments.clear();
    this.unsealed.clear();
  }

  /** Runs it when what was begun before has ended. */
  serially<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#background.then(action);
    this.#background = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  /** As `serially`; a failure is logged. */
  inBackground(action: () => Promise<void>, failure: string): Promise<void> {
    return this.serially(action).catch((error: unknown) => this.warn(error, failure));
  }

  warn(error: unknown, failure: string): void {
    this.logger.warn({ directory: this.directory, err: error }, failure);
  }

  /** Resolves when what was begun before has ended, well or not. */
  settled(): Promise<void> {
    return this.#background;
  }
}
