import type { Reference } from './payload-recovery.ts';

/** What a partition's log refers to. */
export interface LogReferences {
  /** Batches below are in the log for good. */
  readonly endOffset: bigint;
  /** In order, from the batch with this offset on. */
  from(offset: bigint): AsyncIterable<Reference>;
}

/**
 * All that the log refers to in a segment, in order; null while that cannot be said, and when it is nothing. `offsets`: of the segment's batches.
 */
export async function referencesIn(
  log: LogReferences | null,
  segment: number,
  offsets: { readonly first: bigint; readonly last: bigint } | null,
): Promise<Reference[] | null> {
  if (log === null || offsets === null || log.endOffset <= offsets.last) return null;
  const found: Reference[] = [];
  for await (const reference of log.from(offsets.first)) {
    if (reference.baseOffset > offsets.last) break;
    if (reference.segmentId === segment) found.push(reference);
  }
  return found.length === 0 ? null : found;
}
