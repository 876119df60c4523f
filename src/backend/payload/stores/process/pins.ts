import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import type { Logger } from '../../../../util/logger.ts';
import { makeDirectory, replaceFile } from '../../small-files.ts';
import { pinnedTier } from '../messages.ts';

const FILE = 'pins.json';
const content = z.object({ version: z.literal(1), pins: z.record(z.string(), pinnedTier) });

/**
 * In which tier, from 0 on, the partitions of a gateway are to stay. The gateway says so again whenever it connects; until then what was said last
 * holds, as far as it could be noted.
 */
export class Pins {
  readonly #path: string;
  readonly #logger: Logger;
  readonly #tiers = new Map<string, number>();
  #isDirty = false;
  #noted: Promise<void> = Promise.resolve();

  /** `directory`: of the gateway in the store's directory. */
  constructor(directory: string, logger: Logger) {
    this.#path = join(directory, FILE);
    this.#logger = logger;
  }

  async load(): Promise<void> {
    try {
      const { pins } = content.parse(JSON.parse(await readFile(this.#path, 'utf8')));
      for (const [partition, tier] of Object.entries(pins)) this.#tiers.set(partition, tier);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.#logger.warn(
        { path: this.#path, err: error },
        'which topics are pinned to tiers cannot be read; their gateway says so when it connects',
      );
    }
  }

  /** Null: in none. */
  of(partition: string): number | null {
    return this.#tiers.get(partition) ?? null;
  }

  set(partition: string, tier: number | null): void {
    if (this.of(partition) === tier) return;
    if (tier === null) this.#tiers.delete(partition);
    else this.#tiers.set(partition, tier);
    this.#note();
  }

  #note(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#noted = this.#noted
      .then(() => this.#write())
      .catch((error: unknown) =>
        this.#logger.warn(
          { path: this.#path, err: error },
          'which topics are pinned to tiers cannot be noted',
        ),
      );
  }

  async #write(): Promise<void> {
    this.#isDirty = false;
    await makeDirectory(dirname(this.#path));
    const text = JSON.stringify({ version: 1, pins: Object.fromEntries(this.#tiers) });
    await replaceFile(this.#path, Buffer.from(`${text}\n`));
  }

  /** Resolves when what was set is noted, or could not be. */
  async closed(): Promise<void> {
    await this.#noted;
  }
}
