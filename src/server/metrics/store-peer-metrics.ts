import type { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import type { StorePeer } from '../../backend/payload/stores/store-peer.ts';
import type { MetricSource } from './gateway-metrics.ts';
import { storesTlsMetrics } from './store-metrics.ts';

const CIRCUITS = { closed: 0, 'half-open': 1, open: 2 } as const;

/** What a gateway knows of its stores; nothing without them. */
export function storePeerMetrics(stores: PayloadStores): MetricSource[] {
  if (!stores.areConfigured) return [];
  return [
    ...peerMetrics(stores),
    ...repairMetrics(stores),
    ...storesTlsMetrics('kafabric_stores', stores.tls),
  ];
}

function peerMetrics(stores: PayloadStores): MetricSource[] {
  const perStore = (
    name: string,
    help: string,
    read: (peer: StorePeer) => number,
    counter = false,
  ): MetricSource => ({
    name: `kafabric_stores_${name}`,
    help,
    label: 'store',
    counter,
    read: () => new Map(stores.peers.map((peer) => [peer.address, read(peer)])),
  });
  return [
    perStore('up', '1 while the store is there.', ({ isUp }) => Number(isUp)),
    perStore('circuit', '0 closed, 1 half-open, 2 open.', ({ circuit }) => CIRCUITS[circuit]),
    perStore('draining', '1 while the store is being emptied.', ({ status }) =>
      Number(status?.draining ?? false),
    ),
    perStore('free_bytes', 'Free space of the store.', ({ status }) => status?.freeBytes ?? 0),
    perStore('requests_waiting', 'Requests that the store has not answered.', ({ load }) => load),
    perStore(
      'clock_skew_milliseconds',
      'How far the clock of the store is ahead.',
      (peer) => peer.clockSkewMs,
    ),
    perStore('requests_total', 'Requests to the store.', ({ counters }) => counters.requests, true),
    perStore('request_failures_total', 'Requests that failed.', ({ counters }) => counters.failures, true),
    perStore('losses_total', 'How often the store was lost.', ({ counters }) => counters.losses, true),
    perStore(
      'written_bytes_total',
      'Payload given to the store.',
      ({ counters }) => counters.writtenBytes,
      true,
    ),
    perStore('read_bytes_total', 'Payload read from the store.', ({ counters }) => counters.readBytes, true),
    {
      name: 'kafabric_stores_by_provider',
      help: 'Stores that are there, by what carries payload.',
      label: 'provider',
      read: () => {
        const counts = new Map<string, number>();
        for (const { isUp, provider } of stores.peers)
          if (isUp) counts.set(provider, (counts.get(provider) ?? 0) + 1);
        return counts;
      },
    },
  ];
}

function repairMetrics({ repairs, scrubber }: PayloadStores): MetricSource[] {
  const one = (name: string, help: string, read: () => number, counter = false): MetricSource => ({
    name: `kafabric_stores_${name}`,
    help,
    counter,
    read,
  });
  return [
    one('segments_to_repair', 'Segments that wait for repair.', () => repairs.waiting),
    one('lacking_bytes', 'Bytes of copies that are to be made.', () => repairs.lackingBytes),
    one('copies_made_total', 'Copies of segments that were made anew.', () => repairs.counters.copies, true),
    one('copied_bytes_total', 'Bytes copied for them.', () => repairs.copiedBytes, true),
    one(
      'copy_skipped_bytes_total',
      'Bytes of them that no record refers to, which were left out.',
      () => repairs.skippedBytes,
      true,
    ),
    one(
      'lost_segments_total',
      'Repairs that found something of a segment at no store.',
      () => repairs.counters.lost,
      true,
    ),
    one(
      'foreign_files',
      'Files at stores from log directories that are not here.',
      () => repairs.comparison.foreignFiles,
    ),
    one('damaged_copies_total', 'Copies that were not whole.', () => repairs.counters.damaged, true),
    one('scrubbed_bytes_total', 'Bytes read to find damage.', () => scrubber.counters.bytes, true),
    one('scrub_rounds_total', 'Times that everything was read.', () => scrubber.counters.rounds, true),
    one(
      'scrub_damaged_extents_total',
      'Damaged extents that were found by it.',
      () => scrubber.counters.damaged,
      true,
    ),
    one(
      'scrub_lost_extents_total',
      'Those of which no whole copy was there.',
      () => scrubber.counters.lost,
      true,
    ),
    one('files_removed_total', 'Files of nobody removed from stores.', () => repairs.counters.removed, true),
    one(
      'repair_failures_total',
      'Repairs that failed and are tried again.',
      () => repairs.counters.failures,
      true,
    ),
  ];
}
