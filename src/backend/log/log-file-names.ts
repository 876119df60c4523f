import { flatPath } from '../../util/flat-path.ts';

/** The names of a log's files: a 20-digit offset and what the file is. */

export const Suffix = {
  log: '.log',
  offsetIndex: '.index',
  timeIndex: '.timeindex',
  transactionIndex: '.txnindex',
  snapshot: '.snapshot',
  deleted: '.deleted',
  cleaned: '.cleaned',
  swap: '.swap',
} as const;

/** What Kafka appends to the directory of a topic partition that was deleted. */
const DELETED_DIRECTORY_SUFFIX = '-delete';

/** What Kafka appends to the directory of a copy that is to take the place of a partition's. */
const FUTURE_DIRECTORY_SUFFIX = '-future';

export const MAX_NAME_LENGTH = 255;

/** The files that belong to one segment. */
export const SEGMENT_SUFFIXES = [
  Suffix.log,
  Suffix.offsetIndex,
  Suffix.timeIndex,
  Suffix.transactionIndex,
] as const;

export function offsetFileName(offset: bigint, suffix: string): string {
  return `${offset.toString().padStart(20, '0')}${suffix}`;
}

export function offsetFilePath(directory: string, offset: bigint, suffix: string): string {
  return flatPath(directory, offsetFileName(offset, suffix));
}

/** The offset and suffix that a file's name has; null for other files. */
export function parseOffsetFileName(name: string): { offset: bigint; suffix: string } | null {
  const match = /^(\d{20})(\..+)$/.exec(name);
  return match ? { offset: BigInt(match[1]!), suffix: match[2]! } : null;
}

export function partitionDirectoryName(topic: string, partition: number): string {
  return `${topic}-${partition}`;
}

/** The name of a new directory for a copy that is to take the place of a partition's; too long where the topic's is. */
export function futureDirectoryName(topic: string, partition: number, uuid: string): string {
  return `${topic}-${partition}.${uuid.replaceAll('-', '')}${FUTURE_DIRECTORY_SUFFIX}`;
}

/** The partition of which a directory's name says that a copy is in it; null for other directories. */
export function parseFutureDirectory(name: string): { topic: string; partition: number } | null {
  const match = /^(.+)\.[0-9a-f]{32}-future$/.exec(name);
  return match && parsePartitionDirectory(match[1]!);
}

/** The partition that a directory's name stands for; null for other directories, deleted ones among them. */
export function parsePartitionDirectory(name: string): { topic: string; partition: number } | null {
  const match = /^([\w.-]{1,249})-(\d{1,10})$/.exec(name);
  if (!match) return null;
  const partition = Number(match[2]);
  return partition <= 0x7fffffff ? { topic: match[1]!, partition } : null;
}

export function isDeletedDirectory(name: string): boolean {
  return /^.+-\d+\.[0-9a-f]{32}-delete$/.test(name);
}

/** The name under which a partition's directory waits for its removal; a long topic name is cut. */
export function deletedDirectoryName(topic: string, partition: number, uuid: string): string {
  const suffix = `-${partition}.${uuid.replaceAll('-', '')}${DELETED_DIRECTORY_SUFFIX}`;
  return topic.slice(0, MAX_NAME_LENGTH - suffix.length) + suffix;
}
