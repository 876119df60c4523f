import { binding } from './addon.ts';
import { completion } from './completions.ts';

interface JournalBinding {
  journalReplay(id: number, name: string): void;
}

export interface ReplayReport {
  /** Appends that were written, and their bytes. */
  entries: number;
  bytes: number;
  /** Files that were written to. */
  files: number;
  /** Files that are gone or that another one has replaced: their topics were deleted. */
  skippedFiles: number;
  /** Shared memory whose owner still lives; it was left alone. */
  inUse: number;
  /** Shared memory that was not understood, and why; it stays where it is and nothing of it was written. */
  problems: string[];
}

const native = binding<JournalBinding>();

/**
 * Writes to its files what killed processes with a shared arena of this name had acknowledged and not written, and then removes
 * that memory. Call it before any of these files is opened. Rejects with an Error that has a `code` ('ENOSPC') and names the
 * file when that cannot be written; the memory stays, and nothing may be written to the files until another call succeeds.
 */
export function recoverAcknowledged(name: string): Promise<ReplayReport> {
  return completion((id) => native.journalReplay(id, name));
}
