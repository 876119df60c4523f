import { randomBytes } from 'node:crypto';
import { isPartitionName } from '../directories.ts';

const SEGMENT_DIGITS = 20;
const NAME = /^([^/]+)\/(\d{20})\.(\d{1,16})\.([0-9a-f]{8})\.payload$/;

/** The name of an object, relative to the bucket and its prefix. */
export interface ObjectName {
  /** As `partitionName`. */
  readonly partition: string;
  readonly segmentId: number;
  /** When the segment was last appended to. */
  readonly modifiedMs: number;
}

/**
 * A name for a copy that is begun now: no name is used twice, so that a removal that was thought to have failed cannot hit what was
 * written later.
 */
export function newObjectName({ partition, segmentId, modifiedMs }: ObjectName): string {
  return `${segmentPrefix(partition, segmentId)}${Math.max(0, Math.round(modifiedMs))}.${randomBytes(4).toString('hex')}.payload`;
}

/** How the names of a segment's objects begin. */
export function segmentPrefix(partition: string, segmentId: number): string {
  return `${partition}/${String(segmentId).padStart(SEGMENT_DIGITS, '0')}.`;
}

/** Null for what is no such name. */
export function parseObjectName(name: string): ObjectName | null {
  const [, partition, segment, modified] = NAME.exec(name) ?? [];
  if (partition === undefined || !isPartitionName(partition)) return null;
  return { partition, segmentId: Number(segment), modifiedMs: Number(modified) };
}
