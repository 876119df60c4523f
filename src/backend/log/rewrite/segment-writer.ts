import type { MemoryPiece } from '../../../native/pieces.ts';
import {
  cleanedStem,
  dropCleaned,
  type MadeSegment,
  writeCleanedTransactions,
} from '../compaction/segment-swap.ts';
import type { LogConfig } from '../config.ts';
import type { LogEnvironment } from '../environment.ts';
import { Suffix } from '../log-file-names.ts';
import type { BatchInfo, LogFile } from '../ports.ts';
import { SegmentIndexes } from '../segment-indexes.ts';
import type { AbortedTransaction } from '../transaction-index.ts';

const MAX_RELATIVE_OFFSET = 0x7fffffffn;
const MAX_OFFSET = 2n ** 63n - 1n;

interface OpenSegment {
  readonly baseOffset: bigint;
  readonly file: LogFile;
  readonly indexes: SegmentIndexes;
  size: number;
}

/** Writes `.cleaned` files of segments that are to take the place of one, as many as are needed for what they hold. */
export class SegmentWriter {
  readonly #environment: LogEnvironment;
  readonly #directory: string;
  readonly #config: LogConfig;
  /** Those that end in what is written, in the order of their markers. */
  readonly #aborted: readonly AbortedTransaction[];
  readonly #made: MadeSegment[] = [];
  readonly #started: bigint[] = [];
  #open: OpenSegment | null = null;

  constructor(
    environment: LogEnvironment,
    directory: string,
    config: LogConfig,
    aborted: readonly AbortedTransaction[],
  ) {
    this.#environment = environment;
    this.#directory = directory;
    this.#config = config;
    this.#aborted = aborted;
  }

  /** Begins with a segment of this offset. */
  async begin(baseOffset: bigint): Promise<void> {
    const path = `${cleanedStem(this.#directory, baseOffset)}${Suffix.log}${Suffix.cleaned}`;
    this.#started.push(baseOffset);
    // What a process that died has left of it.
    await dropCleaned(this.#environment, this.#directory, baseOffset);
    const file = await this.#environment.fileSystem.open(path, { create: true });
    this.#open = { baseOffset, file, indexes: new SegmentIndexes(baseOffset, this.#config), size: 0 };
  }

  /** Whether a batch has to begin another segment. */
  mustRoll(sizeBytes: number, lastOffset: bigint): boolean {
    const { baseOffset, indexes, size } = this.#open!;
    if (lastOffset - baseOffset > MAX_RELATIVE_OFFSET) return true;
    return size > 0 && (size + sizeBytes > this.#config.segmentBytes || indexes.isFull);
  }

  /** Completes the segment and begins another one. */
  async roll(baseOffset: bigint): Promise<void> {
    await this.#complete(baseOffset);
    await this.begin(baseOffset);
  }

  /** Appends batches that follow each other in `pieces`; resolves when they are written. */
  async append(pieces: (Uint8Array | MemoryPiece)[], batches: readonly BatchInfo[]): Promise<void> {
    const open = this.#open!;
    const { done } = open.file.append(pieces);
    for (const batch of batches) {
      open.indexes.add({ ...batch, position: open.size }, this.#config.indexIntervalBytes);
      open.size += batch.sizeBytes;
    }
    await done;
  }

  /** Completes the last segment; all are durable then. */
  async end(): Promise<readonly MadeSegment[]> {
    await this.#complete(MAX_OFFSET);
    return this.#made;
  }

  /** Removes what was written. */
  async abandon(): Promise<void> {
    await this.#open?.file.close();
    for (const baseOffset of this.#started) await dropCleaned(this.#environment, this.#directory, baseOffset);
  }

  async #complete(endOffset: bigint): Promise<void> {
    const { baseOffset, file, indexes, size } = this.#open!;
    const { fileSystem } = this.#environment;
    await file.trim();
    await file.sync();
    await file.close();
    this.#open = null;
    indexes.close();
    const stem = cleanedStem(this.#directory, baseOffset);
    await fileSystem.replaceFile(`${stem}${Suffix.offsetIndex}${Suffix.cleaned}`, indexes.offset.content());
    await fileSystem.replaceFile(`${stem}${Suffix.timeIndex}${Suffix.cleaned}`, indexes.time.content());
    const aborted = this.#aborted.filter(
      ({ lastOffset }) => lastOffset >= baseOffset && lastOffset < endOffset,
    );
    const transactions = await writeCleanedTransactions(
      this.#environment,
      this.#directory,
      baseOffset,
      aborted,
    );
    this.#made.push({ baseOffset, size, transactions });
  }
}
