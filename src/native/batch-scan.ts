import { BATCH_SLOTS, type BatchHeader, readHeader } from './batch-layout.ts';
import { completion } from './completions.ts';
import { storeBinding as native, type Scanned } from './store-binding.ts';
import type { StoreFile } from './store-file.ts';

const MAX_SCANNED_BATCHES = 65_536;

/** Why a scan ended, in the order of ScanEnd in native/store/scan.h. */
const SCAN_ENDS = ['limit', 'end', 'torn', 'zeros', 'corrupt'] as const;

export interface ScanResult {
  batches: BatchHeader[];
  /** Position behind the last of `batches`. */
  end: number;
  /**
   * 'limit': there may be more; 'end': the file ends there; 'torn': a batch is cut off by the end of the file; 'zeros': only
   * zeros follow (preallocated); 'corrupt': what follows is no batch, or its CRC is wrong.
   */
  reason: (typeof SCAN_ENDS)[number];
}

export interface ScanOptions {
  /** Read everything and accept only batches whose CRC is right. */
  verifyCrc?: boolean;
  /** At most 65,536, which is the default. */
  maxBatches?: number;
  /** By default the end of the file once everything queued is written. */
  end?: number;
}

/**
 * Finds the batches of a file that start at `position` or behind and before `position + maxBytes`, by their headers; `position` must
 * be the start of a batch. The file is taken to end at `options.end`.
 */
export async function scanBatches(
  file: StoreFile,
  position: number,
  maxBytes: number,
  options: ScanOptions = {},
): Promise<ScanResult> {
  const limit = Math.min(maxBytes, Number.MAX_SAFE_INTEGER);
  const maxBatches = Math.min(options.maxBatches ?? MAX_SCANNED_BATCHES, MAX_SCANNED_BATCHES);
  const { verifyCrc = false, end: fileEnd = file.size } = options;
  const found = verifyCrc ? null : native.fileScanFound(file.fileId, position, limit, maxBatches, fileEnd);
  const [doubles, end, reason] =
    found ??
    (await completion<Scanned>((id) =>
      native.fileScan(file.fileId, id, position, limit, maxBatches, verifyCrc, fileEnd),
    ));
  const integers = new BigInt64Array(doubles.buffer);
  const batches: BatchHeader[] = [];
  for (let i = 0; i < doubles.length / BATCH_SLOTS; i++) batches.push(readHeader(doubles, integers, i));
  return { batches, end, reason: SCAN_ENDS[reason]! };
}
