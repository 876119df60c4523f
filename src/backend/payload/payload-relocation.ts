import type { PayloadPlaces } from './ports.ts';
import type { PayloadSegment } from './segment.ts';

/** A segment takes extents, or could not be completed. */
export class PayloadOpen extends Error {}

/** Where a partition's payload goes. */
export interface PayloadTarget {
  /** The payload directory of the partition. */
  readonly directory: string;
  /** Of its log directory. */
  readonly directoryId: string;
}

/**
 * Lets segments go on with another payload directory, to which `swap` brings what is in the one that they have: nothing is read or noted there
 * meanwhile. Throws PayloadOpen unless `open`, those that are not complete, is empty. When `swap` is rejected all is as it was.
 */
export async function relocateSegments(
  parts: { segments: readonly PayloadSegment[]; open: Iterable<PayloadSegment>; places: PayloadPlaces },
  { directory, directoryId }: PayloadTarget,
  swap: () => Promise<void>,
): Promise<void> {
  const { segments, open, places } = parts;
  for (const { path } of open) throw new PayloadOpen(`the payload segment ${path} cannot be completed`);
  let letGo = () => {};
  const until = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  try {
    await Promise.all([...segments.map((segment) => segment.hold(until)), places.hold?.(until)]);
    await swap();
    for (const segment of segments) segment.relocated(directory);
    places.relocated(directory, directoryId);
  } finally {
    letGo();
  }
}
