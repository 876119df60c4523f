import { createHash } from 'node:crypto';

/** A store as far as placement goes. */
export interface Candidate {
  readonly id: string;
  /** Stores of one zone may fail together; empty: its own. */
  readonly zone: string;
}

/**
 * The stores for a new segment, best first: by rendezvous hashing, so that stores that come and go change as few choices as can be, and in as many
 * zones as there are before any zone gets a second copy.
 */
export function chooseStores<C extends Candidate>(
  name: string,
  candidates: readonly C[],
  replicas: number,
): C[] {
  const ranked = candidates
    .map((store) => ({ store, weight: weightOf(name, store.id) }))
    .sort((a, b) => (a.weight < b.weight ? 1 : a.weight > b.weight ? -1 : 0))
    .map(({ store }) => store);
  const chosen: C[] = [];
  const copies = new Map<string, number>();
  while (chosen.length < replicas && ranked.length > 0) {
    let best = 0;
    for (let i = 1; i < ranked.length; i++)
      if (copiesIn(copies, ranked[i]!) < copiesIn(copies, ranked[best]!)) best = i;
    const [store] = ranked.splice(best, 1);
    chosen.push(store!);
    const zone = zoneOf(store!);
    copies.set(zone, (copies.get(zone) ?? 0) + 1);
  }
  return chosen;
}

/** A zone of its own for who has none. */
export function zoneOf({ id, zone }: Candidate): string {
  return zone === '' ? `store ${id}` : `zone ${zone}`;
}

function copiesIn(copies: ReadonlyMap<string, number>, store: Candidate): number {
  return copies.get(zoneOf(store)) ?? 0;
}

function weightOf(name: string, store: string): string {
  return createHash('sha256').update(`${store}\n${name}`).digest('hex');
}
