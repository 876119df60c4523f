import { createHash, randomBytes } from 'node:crypto';

const GENERATION_DIGITS = 8;
const NAME = /^(.+)\/(\d{20})-([0-9a-f]{16})$/;

/** How gateways and stores call the copies of one segment. A segment that is begun anew gets another incarnation. */
export interface StoredName {
  /** As `partitionName`. */
  readonly partition: string;
  readonly segment: number;
  readonly incarnation: string;
}

export function storedName({ partition, segment, incarnation }: StoredName): string {
  return `${partition}/${String(segment).padStart(20, '0')}-${incarnation}`;
}

/** Null for what is no such name. */
export function parseStoredName(name: string): StoredName | null {
  const [, partition, segment, incarnation] = NAME.exec(name) ?? [];
  if (partition === undefined) return null;
  return { partition, segment: Number(segment), incarnation: incarnation! };
}

/**
 * The incarnation of a copy that is begun now. Its first half says from which log directory it comes: a gateway that has lost its directories, and
 * knows of nothing therefore, does not take what others had made for rubbish.
 */
export function newIncarnation(directoryId: string): string {
  return `${generationOf(directoryId)}${randomBytes(4).toString('hex')}`;
}

/** Stands for a log directory in incarnations. */
export function generationOf(directoryId: string): string {
  return createHash('sha256').update(directoryId).digest('hex').slice(0, GENERATION_DIGITS);
}

/** Of the log directory that the copy comes from. */
export function generationIn({ incarnation }: StoredName): string {
  return incarnation.slice(0, GENERATION_DIGITS);
}
