import type { MemoryPiece } from '../../../native/pieces.ts';
import { type MadeSegment, type ReplacedSegments, swapIn } from '../compaction/segment-swap.ts';
import type { LogConfig } from '../config.ts';
import type { LogEnvironment } from '../environment.ts';
import type { LogSegments } from '../log-segments.ts';
import type { BatchInfo, LogFile } from '../ports.ts';
import type { Segment } from '../segment.ts';
import type { AbortedTransaction } from '../transaction-index.ts';
import { SegmentWriter } from './segment-writer.ts';

const SCAN_BYTES = 1 << 20;
const MAX_OFFSET = 2n ** 63n - 1n;

/** What takes the place of a batch: one batch of the same offsets. */
export interface Replacement {
  readonly pieces: (Uint8Array | MemoryPiece)[];
  readonly sizeBytes: number;
  readonly maxTimestamp: bigint;
  /** Gives back the memory of the pieces. */
  release(): void;
}

/** Says which batches of a log are replaced, and by what. */
export interface BatchRewriter {
  concerns(batch: BatchInfo): boolean;
  /** Of a batch that it concerns; null: the batch goes, and its offsets are missing. */
  replace(batch: BatchInfo, file: LogFile): Promise<Replacement | null>;
  /** Everything that was replaced so far is in the log, durably. */
  settled(): Promise<void>;
}

/**
 * Writes those segments of a log anew that hold batches which `rewriter` replaces; each may become several. Nothing else may use the log's
 * segments, and the active one must be empty. A process that is killed meanwhile leaves each segment as it was or as it is to become: the
 * next start puts the files' names in order, as after compaction.
 */
export async function rewriteSegments(
  environment: LogEnvironment,
  segments: LogSegments,
  config: LogConfig,
  rewriter: BatchRewriter,
): Promise<void> {
  for (const segment of segments.list.all.slice(0, -1)) {
    if (!(await isConcerned(segment, rewriter))) continue;
    const replaced = await rewriteSegment(environment, segments, config, segment, rewriter);
    await rewriter.settled();
    await removeNow(environment, replaced);
  }
}

async function isConcerned(segment: Segment, rewriter: BatchRewriter): Promise<boolean> {
  for (let position = 0; ; ) {
    const { batches, end, stop } = await segment.scan(position, SCAN_BYTES);
    // What lies behind the damage is not known: whoever copies the segment says where it is.
    if (stop === 'damaged' || batches.some((batch) => rewriter.concerns(batch))) return true;
    if (batches.length === 0) return false;
    position = end;
  }
}

async function rewriteSegment(
  environment: LogEnvironment,
  segments: LogSegments,
  config: LogConfig,
  old: Segment,
  rewriter: BatchRewriter,
): Promise<ReplacedSegments> {
  const aborted: AbortedTransaction[] = [];
  old.transactions.collect(old.baseOffset, MAX_OFFSET, aborted);
  const writer = new SegmentWriter(environment, segments.directory, config, aborted);
  let made: readonly MadeSegment[];
  try {
    await writer.begin(old.baseOffset);
    await copyBatches(old, writer, rewriter);
    await old.pin(config);
    made = await writer.end();
  } catch (error) {
    await writer.abandon().catch(() => {});
    throw error;
  }
  // When it fails, all the files stay, for the next start to see which of them count.
  return swapIn(environment, segments, { old: [old], made }, config);
}

async function copyBatches(old: Segment, writer: SegmentWriter, rewriter: BatchRewriter): Promise<void> {
  const file = await old.file.open();
  for (let position = 0; ; ) {
    const scan = await old.scan(position, SCAN_BYTES, true);
    let kept: BatchInfo[] = [];
    let keptBytes = 0;
    const copyKept = async () => {
      await copyRange(file, writer, kept);
      kept = [];
      keptBytes = 0;
    };
    for (const batch of scan.batches) {
      if (!rewriter.concerns(batch)) {
        if (writer.mustRoll(keptBytes + batch.sizeBytes, batch.lastOffset)) await copyKept();
        if (writer.mustRoll(batch.sizeBytes, batch.lastOffset)) await writer.roll(batch.baseOffset);
        kept.push(batch);
        keptBytes += batch.sizeBytes;
        continue;
      }
      await copyKept();
      await writeReplacement(batch, await rewriter.replace(batch, file), writer);
    }
    await copyKept();
    if (scan.stop === 'damaged')
      throw new Error(`${old.file.path} is damaged at ${scan.end}: ${scan.reason}`);
    if (scan.batches.length === 0) return;
    position = scan.end;
  }
}

async function writeReplacement(
  batch: BatchInfo,
  replacement: Replacement | null,
  writer: SegmentWriter,
): Promise<void> {
  if (replacement === null) return;
  try {
    const { pieces, sizeBytes, maxTimestamp } = replacement;
    if (writer.mustRoll(sizeBytes, batch.lastOffset)) await writer.roll(batch.baseOffset);
    await writer.append(pieces, [{ ...batch, sizeBytes, maxTimestamp }]);
  } finally {
    replacement.release();
  }
}

/** Copies batches that lie behind each other. */
async function copyRange(file: LogFile, writer: SegmentWriter, batches: readonly BatchInfo[]): Promise<void> {
  if (batches.length === 0) return;
  const length = batches.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const memory = await file.read(batches[0]!.position, length);
  try {
    await writer.append([memory.bytes()], batches);
  } finally {
    memory.release();
  }
}

async function removeNow(
  { fileSystem }: LogEnvironment,
  { segments, renamed }: ReplacedSegments,
): Promise<void> {
  for (const segment of segments) await segment.file.close();
  for (const path of renamed) await fileSystem.remove(path);
}
