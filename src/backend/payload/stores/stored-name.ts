import { randomBytes } from 'node:crypto';

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

export function newIncarnation(): string {
  return randomBytes(8).toString('hex');
}
