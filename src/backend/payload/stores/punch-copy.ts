import { PUNCHED_RANGES } from './messages.ts';
import type { StorePeer } from './store-peer.ts';

/** Has a store give back the space of ranges of a complete file, some of them with each request. Resolves to what the file takes then. */
export async function punchCopy(peer: StorePeer, file: string, ranges: Float64Array): Promise<number> {
  let held = 0;
  for (let at = 0; at < ranges.length; at += 2 * PUNCHED_RANGES) {
    const some = [...ranges.subarray(at, at + 2 * PUNCHED_RANGES)];
    ({ held } = await peer.request({ op: 'punch', file, ranges: some }));
  }
  return held;
}
