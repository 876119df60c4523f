import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { replaceFile } from '../small-files.ts';

const SUFFIX = '.stores';
const MAX_COPIES = 64;

const incarnation = z.string().regex(/^[0-9a-f]{16}$/);
const record = z.object({
  version: z.literal(1),
  incarnation,
  copies: z
    .array(z.object({ store: z.string().regex(/^[\w-]{1,64}$/), doubtful: z.boolean(), incarnation }))
    .max(MAX_COPIES),
});

/** One store's copy of a segment. */
export interface CopyRecord {
  readonly store: string;
  /** The store was away when the segment ended: the copy may lack its end. */
  readonly doubtful: boolean;
  /** In the name that the store knows it by: one that is made anew gets another name than the one that it replaces. */
  readonly incarnation: string;
}

/** Which stores have a segment; kept beside its list of extents, and durable before the segment gets its first extent. */
export interface SegmentRecord {
  readonly incarnation: string;
  readonly copies: readonly CopyRecord[];
}

export function recordPath(directory: string, segment: number): string {
  return join(directory, `${String(segment).padStart(20, '0')}${SUFFIX}`);
}

export async function writeRecord(path: string, { incarnation, copies }: SegmentRecord): Promise<void> {
  const plain = copies.map((copy) => ({
    store: copy.store,
    doubtful: copy.doubtful,
    incarnation: copy.incarnation,
  }));
  await replaceFile(path, Buffer.from(`${JSON.stringify({ version: 1, incarnation, copies: plain })}\n`));
}

/** The records among the `names` of a partition's payload directory, by segment. Throws an Error for people when one cannot be understood. */
export async function readRecords(
  directory: string,
  names: readonly string[],
): Promise<Map<number, SegmentRecord>> {
  const found = new Map<number, SegmentRecord>();
  for (const name of names) {
    if (!name.endsWith(SUFFIX)) continue;
    const digits = name.slice(0, -SUFFIX.length);
    if (!/^\d{20}$/.test(digits)) continue;
    const path = join(directory, name);
    try {
      found.set(Number(digits), record.parse(JSON.parse(await readFile(path, 'utf8'))));
    } catch (error) {
      throw new Error(`${path} does not say which stores have the segment: ${(error as Error).message}`);
    }
  }
  return found;
}
