import type { LogEnvironment } from './environment.ts';
import { offsetFilePath, Suffix } from './log-file-names.ts';
import type { ProducerEntry } from './producer-entry.ts';
import { decodeSnapshot, encodeSnapshot } from './producer-snapshot.ts';

const SNAPSHOT_LIMIT_BYTES = 0x7fffffff;

/** The producer snapshot files of a log, by the offset that they are of. */
export class ProducerSnapshots {
  readonly #environment: LogEnvironment;
  #directory: string;
  /** Ascending. */
  #offsets: bigint[];

  constructor(environment: LogEnvironment, directory: string, offsets: readonly bigint[]) {
    this.#environment = environment;
    this.#directory = directory;
    this.#offsets = [...offsets].sort((a, b) => (a < b ? -1 : 1));
  }

  /** -1 without snapshots. */
  get latestOffset(): bigint {
    return this.#offsets.at(-1) ?? -1n;
  }

  /** The producers of the latest intact snapshot up to `atMost`; damaged ones are removed. Null without one. */
  async latest(atMost: bigint): Promise<{ offset: bigint; entries: ProducerEntry[] } | null> {
    for (;;) {
      const offset = this.#offsets.findLast((one) => one <= atMost);
      if (offset === undefined) return null;
      const path = this.#path(offset);
      const bytes = await this.#environment.fileSystem.readFile(path, SNAPSHOT_LIMIT_BYTES);
      const entries = bytes && decodeSnapshot(bytes);
      if (entries) return { offset, entries };
      this.#environment.logger.warn({ snapshot: path }, 'ignoring a damaged producer snapshot');
      await this.removeWhere((other) => other === offset);
    }
  }

  /** Writes a snapshot unless there is one of the offset or above. Its content is taken at once. */
  async write(offset: bigint, entries: readonly ProducerEntry[]): Promise<void> {
    if (offset <= this.latestOffset) return;
    const bytes = encodeSnapshot(entries);
    this.#offsets.push(offset);
    try {
      await this.#environment.fileSystem.replaceFile(this.#path(offset), bytes);
    } catch (error) {
      this.#offsets = this.#offsets.filter((other) => other !== offset);
      throw error;
    }
  }

  async removeWhere(goes: (offset: bigint) => boolean): Promise<void> {
    const gone = this.#offsets.filter(goes);
    this.#offsets = this.#offsets.filter((offset) => !goes(offset));
    for (const offset of gone) await this.#environment.fileSystem.remove(this.#path(offset));
  }

  /** The directory was renamed. */
  moved(directory: string): void {
    this.#directory = directory;
  }

  #path(offset: bigint): string {
    return offsetFilePath(this.#directory, offset, Suffix.snapshot);
  }
}
