import { hasAll, unpaced } from './extent-check.ts';
import { StoreError } from './messages.ts';
import type { ReplicatedSegment } from './replicated-segment.ts';
import { type Copy, isAnswer, readersOf, type SegmentStores } from './segment-copies.ts';

/**
 * Ends a segment at its stores, with `bytes`. A copy counts when it missed nothing and its store is certain of what it has, or when it has all that
 * the log refers to, by its checksums. Others are doubtful from then on. Where no copy counts it is left to repairs to make a good one of what is
 * there; reads take what is good of any.
 * @throws StoreError when no store is certain, and one that is away may have the only good copy: it is to be tried again
 */
export async function sealSegment(
  segment: ReplicatedSegment,
  copies: readonly Copy[],
  bytes: number,
  stores: SegmentStores,
): Promise<void> {
  const failures: string[] = [];
  let unanswered = 0;
  const missedSomething = copies.map(({ doubtful }) => doubtful);
  const certain = await Promise.all(
    copies.map(async (copy) => {
      const error = await sealCopy(copy, bytes, false, stores);
      if (error === null) return true;
      failures.push(`${copy.store}: ${error.message}`);
      if (!isAnswer(error)) unanswered++;
      return false;
    }),
  );
  let counted = certain.map((sealed, i) => sealed && !missedSomething[i]);
  if (!counted.includes(true)) counted = await sealVerified(segment, copies, bytes, stores);
  if (!counted.includes(true) && !certain.includes(true)) {
    if (unanswered > 0)
      throw new StoreError('EAGAIN', `${segment.file} cannot be completed yet: ${failures.join('; ')}`);
    await syncAny(copies, stores, failures);
    stores.warn({ file: segment.file, failures }, 'no payload store has a whole copy of a segment for sure');
  }
  for (const [i, copy] of copies.entries()) copy.doubtful = !counted[i];
}

/** Null when it was completed. */
async function sealCopy(
  { store, file }: Copy,
  bytes: number,
  trust: boolean,
  stores: SegmentStores,
): Promise<Error | null> {
  const peer = stores.peer(store);
  if (peer === null) return new StoreError('ENOTCONN', 'the store is not there');
  return peer.request({ op: 'seal', file, bytes, trust }).then(
    () => null,
    (error: StoreError) => error,
  );
}

/** Completes the copies that have all of what the log says, up to the end. */
async function sealVerified(
  segment: ReplicatedSegment,
  copies: readonly Copy[],
  bytes: number,
  stores: SegmentStores,
): Promise<boolean[]> {
  const references = await stores.references(segment);
  const last = references?.at(-1);
  const sealed = copies.map(() => false);
  if (references === null || last === undefined || last.position + last.length !== bytes) return sealed;
  for (const { copy, peer } of readersOf(copies, stores)) {
    const isWhole = await hasAll(peer, copy.file, references, unpaced).catch(() => false);
    if (isWhole && (await sealCopy(copy, bytes, true, stores)) === null) sealed[copies.indexOf(copy)] = true;
  }
  return sealed;
}

/** What is there is durable at one store at least. */
async function syncAny(copies: readonly Copy[], stores: SegmentStores, failures: string[]): Promise<void> {
  const synced = await Promise.allSettled(
    copies.map(({ store, file }) => stores.peer(store)?.request({ op: 'sync', file })),
  );
  const done = synced.some((result) => result.status === 'fulfilled' && result.value !== undefined);
  if (!done) throw new StoreError('EIO', `no store has it: ${failures.join('; ')}`);
}
