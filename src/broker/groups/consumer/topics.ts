import { createHash } from 'node:crypto';
import type { Uuid } from '../../../protocol/wire/types.ts';

/** The topics that groups can subscribe to, as they are now. */
export interface Topics {
  byName(name: string): { readonly id: Uuid; readonly partitionCount: number } | null;
  byId(id: Uuid): { readonly name: string; readonly partitionCount: number } | null;
  names(): Iterable<string>;
  /** Rises with every topic that is created. */
  readonly version: bigint;
}

/**
 * Changes with the set of existing topics among `names`, their ids, or their numbers of partitions. Kafka computes another
 * number from the same: groups that it wrote get a new epoch when they are first looked at here, and the other way round.
 */
export function metadataHash(topics: Topics, names: Iterable<string>): bigint {
  const lines: string[] = [];
  for (const name of names) {
    const topic = topics.byName(name);
    if (topic !== null) lines.push(`${name} ${topic.id} ${topic.partitionCount}\n`);
  }
  if (lines.length === 0) return 0n;
  const hash = createHash('sha256');
  for (const line of lines.sort()) hash.update(line);
  return hash.digest().readBigInt64BE(0);
}

/** The ids of those that exist. */
export function topicIdsOf(topics: Topics, names: Iterable<string>): Set<Uuid> {
  const ids = new Set<Uuid>();
  for (const name of names) {
    const topic = topics.byName(name);
    if (topic !== null) ids.add(topic.id);
  }
  return ids;
}
