import { PARTITION_METADATA } from '../checkpoint-files.ts';
import { parseOffsetFileName, Suffix } from '../log-file-names.ts';

const PAYLOAD = 'payload/';
const TEMPORARY = ['.tmp', '.moving', Suffix.deleted, Suffix.cleaned, Suffix.swap];

/** Copied when all else is there: a copy that has it is complete. */
export const SEAL = PARTITION_METADATA;

/**
 * Whether a file of a partition's directory is of a closed segment: of the log below `openOffset`, or of payload that has its list of extents. Such files
 * rarely change.
 */
export function isClosed(name: string, all: ReadonlyMap<string, unknown>, openOffset: bigint): boolean {
  if (!isKept(name)) return false;
  if (!name.startsWith(PAYLOAD)) {
    const parsed = parseOffsetFileName(name);
    return parsed !== null && parsed.offset < openOffset;
  }
  return name.endsWith('.extents') || all.has(name.replace(/\.payload$/, '.extents'));
}

/** Whether a file goes along when everything is closed. */
export function isKept(name: string): boolean {
  return name !== SEAL && !TEMPORARY.some((suffix) => name.endsWith(suffix));
}

/** Whether its bytes count for the size of a partition, as Kafka counts them, with the payload. */
export function isData(name: string): boolean {
  return name.endsWith(Suffix.log) || name.endsWith('.payload');
}
