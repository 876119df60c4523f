import { binding } from './addon.ts';
import { ARENA_DIRECTORY } from './arena.ts';
import { completion } from './completions.ts';

interface JournalBinding {
  journalReplay(id: number, name: string, directories: readonly string[]): void;
  journalAbandoned(id: number, ageSeconds: number, remove: boolean, directories: readonly string[]): void;
}

export interface ReplayReport {
  /** Appends that were written, and their bytes. */
  entries: number;
  bytes: number;
  /** Files that were written to. */
  files: number;
  /** Files that are gone or that another one has replaced: their topics were deleted. */
  skippedFiles: number;
  /** Files whose file system is not mounted, or another one in its place. What is for them stays in memory for a later call. */
  keptFiles: number;
  /** The shared memory that has it. */
  kept: string[];
  /** Shared memory whose owner still lives; it was left alone. */
  inUse: number;
  /** Shared memory that was not understood, and why; it stays where it is and nothing of it was written. */
  problems: string[];
}

/** Shared memory of a process that is dead. */
export interface AbandonedMemory {
  path: string;
  /** That it takes. */
  bytes: number;
  /** Appends that were acknowledged and are not in their files: only a start with these files can use it. */
  entries: number;
  /** One of these files; empty without entries. */
  file: string;
  removed: boolean;
}

/** What is younger may be of a process that is about to be started again. */
const ABANDONED_SECONDS = 60;

const native = binding<JournalBinding>();

/**
 * Writes to its files what killed processes with a shared arena of this name in one of `directories` had acknowledged and not written, and then removes
 * that memory, unless some of it is for files whose file system is not mounted. Call it before any of these files is opened. Rejects with an Error that has a `code` ('ENOSPC') and names the
 * file when that cannot be written; the memory stays, and nothing may be written to the files until another call succeeds.
 */
export function recoverAcknowledged(
  name: string,
  directories: readonly string[] = [ARENA_DIRECTORY],
): Promise<ReplayReport> {
  return completion((id) => native.journalReplay(id, name, directories));
}

/**
 * Finds the shared arenas of this user in `directories`, of whatever name, whose processes are dead. `remove`: removes those that hold nothing which was acknowledged and is
 * not in its file; the others always stay, for `recoverAcknowledged`.
 */
export function abandonedMemory(
  remove: boolean,
  directories: readonly string[] = [ARENA_DIRECTORY],
): Promise<AbandonedMemory[]> {
  return completion((id) => native.journalAbandoned(id, ABANDONED_SECONDS, remove, directories));
}
