import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Timer } from '../../../../util/clock.ts';
import { isFull } from '../../full-disk.ts';
import { replaceFile } from '../../small-files.ts';
import { Backoff } from '../backoff.ts';
import { StoreError } from '../messages.ts';

/** `full`: it takes nothing more; `failed`: it could not write or flush. What is there is still read. */
export type DiskState = 'ok' | 'full' | 'failed';

/** After a failure the disk is left alone for so long, twice as long after each attempt that fails, up to the longest. */
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 60_000;
const PROBE = '.probe';
const PROBE_BYTES = 64 << 10;
/** A disk that was full takes something again when a probe succeeds and so much is free, or this part of it. */
const ENOUGH_BYTES = 256 << 20;
const ENOUGH_SHARE = 100;

const FAILED_CODES = new Set(['EIO', 'EROFS', 'ENODEV', 'ENXIO', 'ESTALE', 'EUCLEAN']);

/** What an operation failed with says something about the disk. */
export function isOfDisk(error: unknown): boolean {
  const { code = '' } = error as NodeJS.ErrnoException;
  return isFull(error) || FAILED_CODES.has(code);
}

export interface DiskHealthOptions {
  readonly directory: string;
  readonly clock: Clock;
  /** Room on the disk, as it is now. */
  readonly measure: () => Promise<{ freeBytes: number; capacityBytes: number }>;
  /** Called whenever the state has changed. */
  readonly changed: (state: DiskState, reason: string) => void;
}

/**
 * Whether the disk of a store takes anything. A write or flush that failed is not tried again as if nothing had happened: nothing new is
 * taken until a probe of its own has been written and flushed, after ever longer pauses.
 */
export class DiskHealth {
  #state: DiskState = 'ok';
  #reason = '';
  /** Failures of the disk that were seen. */
  failures = 0;
  readonly #options: DiskHealthOptions;
  #timer: Timer | null = null;
  readonly #backoff = new Backoff(FIRST_DELAY_MS, LONGEST_DELAY_MS);
  #probing: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: DiskHealthOptions) {
    this.#options = options;
  }

  get state(): DiskState {
    return this.#state;
  }

  /** For people; empty while it is well. */
  get trouble(): string {
    if (this.#state === 'ok') return '';
    return `the disk ${this.#state === 'full' ? 'is full' : 'has failed'}: ${this.#reason}`;
  }

  /** @throws StoreError ENOSPC or EIO while nothing new is taken */
  assertTakes(): void {
    if (this.#state !== 'ok') throw new StoreError(this.#state === 'full' ? 'ENOSPC' : 'EIO', this.trouble);
  }

  /** What writing, flushing, creating or renaming a file failed with; errors that say nothing about the disk are left alone. */
  failed(error: unknown): void {
    if (!isOfDisk(error)) return;
    const state = isFull(error) ? 'full' : 'failed';
    this.failures++;
    if (this.#state === 'failed' || this.#state === state) return;
    this.#become(state, (error as Error).message);
    this.#later();
  }

  #become(state: DiskState, reason: string): void {
    this.#state = state;
    this.#reason = reason;
    this.#options.changed(state, reason);
  }

  #later(): void {
    this.#timer?.cancel();
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(this.#backoff.delayMs, () => {
      this.#backoff.grow();
      this.#probing = this.#probe();
    });
  }

  async #probe(): Promise<void> {
    const path = join(this.#options.directory, PROBE);
    try {
      const { freeBytes, capacityBytes } = await this.#options.measure();
      if (this.#state === 'full' && freeBytes < Math.min(ENOUGH_BYTES, capacityBytes / ENOUGH_SHARE))
        throw new StoreError('ENOSPC', `${freeBytes} bytes are free`);
      await replaceFile(path, Buffer.alloc(PROBE_BYTES, 1));
      await rm(path);
    } catch {
      this.#later();
      return;
    }
    this.#backoff.reset();
    this.#become('ok', '');
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#probing;
  }
}
