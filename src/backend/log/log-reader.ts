import type { LogConfig } from './config.ts';
import { LogError, LogErrorCode } from './errors.ts';
import { smallest } from './offsets.ts';
import type { BatchScan, LogFile } from './ports.ts';
import type { BatchPlace } from './recent-batches.ts';
import type { Segment } from './segment.ts';
import type { SegmentList } from './segment-list.ts';

/** A batch that was found, and the file to read it from. */
export interface BatchDescriptor extends BatchPlace {
  /** Stays open for the idle time at least, counted from the read. */
  readonly file: LogFile;
}

export interface LogRead {
  /** In order, all of one file, not always next to each other in it; empty at the end of what may be read. */
  readonly batches: readonly BatchDescriptor[];
}

export interface ReadOptions {
  /** Only batches that end below it; never beyond what is in the files. */
  readonly upToOffset?: bigint;
  /** Whether the first batch is returned even if it is larger than what was asked for. True unless given. */
  readonly minOneBatch?: boolean;
  /** What a batch counts for towards the limit; by default its bytes in the log. */
  readonly sizeOf?: (batch: BatchPlace) => number;
  /** Goes on in the next segment where the rest of one cannot be found for damage. Rejects with CORRUPT_MESSAGE unless given, as soon as nothing precedes it. */
  readonly passesDamage?: boolean;
}

/** What to collect: the batches that hold offsets from `from` on and end below `upTo`. */
export interface ReadRange {
  readonly from: bigint;
  readonly upTo: bigint;
  readonly maxBytes: number;
  readonly options: ReadOptions;
}

/** What to collect of a log from an offset on. Throws LogError OFFSET_OUT_OF_RANGE outside of the log. */
export function rangeOf(
  log: { readonly logStartOffset: bigint; readonly logEndOffset: bigint; readonly writtenEndOffset: bigint },
  from: bigint,
  maxBytes: number,
  options: ReadOptions,
): ReadRange {
  if (from < log.logStartOffset || from > log.logEndOffset) {
    const message = `offset ${from} is not in ${log.logStartOffset} to ${log.logEndOffset}`;
    throw new LogError(LogErrorCode.OFFSET_OUT_OF_RANGE, message);
  }
  const written = log.writtenEndOffset;
  return { from, upTo: smallest(options.upToOffset ?? written, written), maxBytes, options };
}

/** The batches of a range if they are among the recent ones of an open file; null when they have to be looked for. */
export function readRecent(segment: Segment, range: ReadRange): LogRead | null {
  const { recent } = segment;
  const file = recent && segment.file.current;
  const first = recent?.find(range.from) ?? -1;
  if (!recent || !file || first < 0) return null;
  const collector = new Collector(range, file);
  for (let index = first; index < recent.count; index++) {
    if (!collector.take(recent.at(index))) break;
  }
  return { batches: collector.batches };
}

/** To look for a batch that fits into the rest costs more than to ask again. */
export function isAlmostFull(bytes: number, maxBytes: number): boolean {
  return bytes >= maxBytes - maxBytes / 8;
}

/** Finds the batches of a range by the index and by reading headers; goes on to the next segment when one has none. */
export async function readSegments(
  segments: SegmentList,
  config: LogConfig,
  range: ReadRange,
): Promise<LogRead> {
  for (const segment of segments.from(range.from)) {
    if (segment.baseOffset >= range.upTo) break;
    const read = readRecent(segment, range) ?? (await readSegment(segment, config, range));
    if (read.batches.length > 0) return read;
  }
  return { batches: [] };
}

async function readSegment(segment: Segment, config: LogConfig, range: ReadRange): Promise<LogRead> {
  const indexes = await segment.indexes(config);
  const collector = new Collector(range, await segment.file.open());
  let position = indexes.offset.lookup(range.from);
  for (let maxBytes = config.indexIntervalBytes + range.maxBytes; ; maxBytes = collector.missingBytes) {
    const scan = await segment.scan(position, maxBytes);
    for (const batch of scan.batches) {
      if (batch.lastOffset >= range.from && !collector.take(batch)) return { batches: collector.batches };
    }
    if (scan.stop === 'damaged' && !range.options.passesDamage && collector.batches.length === 0)
      throw damage(segment, scan);
    if (scan.batches.length === 0 || collector.isAlmostFull) return { batches: collector.batches };
    position = scan.end;
  }
}

function damage({ file }: Segment, { end, reason }: BatchScan): LogError {
  return new LogError(LogErrorCode.CORRUPT_MESSAGE, `${file.path} is damaged at ${end}: ${reason}`);
}

class Collector {
  readonly batches: BatchDescriptor[] = [];
  readonly #range: ReadRange;
  readonly #file: LogFile;
  #bytes = 0;

  constructor(range: ReadRange, file: LogFile) {
    this.#range = range;
    this.#file = file;
  }

  get isAlmostFull(): boolean {
    return this.batches.length > 0 && isAlmostFull(this.#bytes, this.#range.maxBytes);
  }

  get missingBytes(): number {
    return this.#range.maxBytes - this.#bytes;
  }

  /** False when no more are wanted. */
  take(place: BatchPlace): boolean {
    const { upTo, maxBytes, options } = this.#range;
    if (place.lastOffset >= upTo) return false;
    const bytes = options.sizeOf?.(place) ?? place.sizeBytes;
    const mustTake = this.batches.length === 0 && (options.minOneBatch ?? true);
    if (this.#bytes + bytes > maxBytes && !mustTake) return false;
    const { baseOffset, lastOffset, position, sizeBytes, attributes } = place;
    this.batches.push({ baseOffset, lastOffset, position, sizeBytes, attributes, file: this.#file });
    this.#bytes += bytes;
    return this.#bytes < maxBytes;
  }
}
