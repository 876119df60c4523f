import type { Client, ConsumerOptions, Event } from '../../client/index.ts';

/** Bytes that are reused in turn, by pushes and by pulls. */
const RING_BYTES = 64 << 20;
/** An event under way takes about so much of this process, however small it is. */
const LEAST_EVENT_BYTES = 512;
const MOST_AT_ONCE = 64;
const NOTHING = new Uint8Array(0);

/** Memory that events are pushed from. */
export interface Source {
  /** Events under way at the same time. */
  readonly slots: number;
  /** Data for the next event of a slot, once the one before is acknowledged. */
  next(slot: number): Uint8Array | Promise<Uint8Array>;
  release(): void;
}

/** What becomes of events that are pulled. */
export interface Sink {
  /** Those that are looked at together. */
  readonly atOnce: number;
  readonly options: ConsumerOptions;
  /** The bytes of an event that are there. */
  take(event: Event): number | Promise<number>;
  release(): void;
}

/** A ring; or, where the path is `mapped`, memory of the gateway for each event, which the push hands over. */
export async function sourceOf(client: Client, size: number): Promise<Source> {
  if (client.path === 'mapped') {
    const next = async () => (size === 0 ? NOTHING : (await client.allocate(size)).bytes);
    return { slots: mappedAtOnce(size), next, release() {} };
  }
  const slots = Math.max(2, Math.floor(RING_BYTES / Math.max(size, LEAST_EVENT_BYTES)));
  const ring = await client.allocate(Math.max(1, slots * size));
  ring.bytes.fill(7);
  const next = (slot: number) => ring.bytes.subarray(slot * size, (slot + 1) * size);
  return { slots, next, release: () => ring.release() };
}

/** A ring that the selected bytes land in; or views of them, where the path is `mapped`. @param isWanted by metadata @param bytes of each event that is */
export async function sinkOf(
  client: Client,
  isWanted: (metadata: unknown) => boolean,
  bytes: number,
): Promise<Sink> {
  if (client.path === 'mapped') {
    const take = async (event: Event) => {
      if (bytes === 0 || !isWanted(event.metadata)) return 0;
      const view = await event.view({ offset: 0, length: bytes });
      const { byteLength } = view.bytes;
      view.release();
      return byteLength;
    };
    return { atOnce: mappedAtOnce(bytes), options: { select: 'none' }, take, release() {} };
  }
  // Of the largest one is under way while another is looked at.
  const slots = Math.max(2, Math.floor((2 * RING_BYTES) / Math.max(bytes, 1)));
  const ring = await client.allocate(Math.max(1, slots * bytes));
  let taken = 0;
  const options: ConsumerOptions = {
    select: (metadata) => (bytes > 0 && isWanted(metadata) ? { offset: 0, length: bytes } : 'none'),
    broker: (_metadata, _descriptor, length) => {
      const at = (taken++ % slots) * bytes;
      return ring.bytes.subarray(at, at + length);
    },
    // What is under way must not come round the ring.
    prefetchDataBytes: Math.max(1, Math.floor(RING_BYTES / 2)),
  };
  const take = ({ selected }: Event) => selected?.byteLength ?? 0;
  return { atOnce: 1, options, take, release: () => ring.release() };
}

/** Well below what one client may hold by default, of large events two. */
function mappedAtOnce(bytes: number): number {
  return Math.max(2, Math.min(MOST_AT_ONCE, Math.floor(RING_BYTES / Math.max(bytes, 1))));
}
