import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../../small-files.ts';

/** The directories of partitions in that of their gateway: one that goes is not made anew before it is gone. */
export class PartitionDirectories {
  readonly #directory: string;
  readonly #leaving = new Map<string, Promise<void>>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Resolves when files can be made there, durably; nobody may `leave` it until they are. */
  async make(partition: string): Promise<void> {
    await this.#leaving.get(partition);
    await makeDirectory(join(this.#directory, partition));
  }

  /** Removes one in which no file is known, unless there is something else. Never rejects. */
  async leave(partition: string): Promise<void> {
    const left = rmdir(join(this.#directory, partition)).catch(() => undefined);
    this.#leaving.set(partition, left);
    await left;
    if (this.#leaving.get(partition) === left) this.#leaving.delete(partition);
  }
}
