import type { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import type { StoreDirectory } from '../../backend/payload/stores/process/store-directory.ts';
import type { StoreServer } from '../../backend/payload/stores/process/store-server.ts';
import type { StorePeer } from '../../backend/payload/stores/store-peer.ts';
import type { StoresTls } from '../../backend/payload/stores/tls/stores-tls.ts';
import { arenaStats } from '../../native/arena.ts';
import type { Store } from '../../native/store.ts';
import type { MetricSource } from './gateway-metrics.ts';

const DISK_STATES = { ok: 0, full: 1, failed: 2 } as const;

/** What a store process keeps count of. */
export function storeMetrics(server: StoreServer, directory: StoreDirectory, store: Store): MetricSource[] {
  const gauge = (name: string, help: string, read: MetricSource['read'], label?: string): MetricSource => ({
    name: `kafabric_store_${name}`,
    help,
    read,
    ...(label !== undefined && { label }),
  });
  const counter = (name: string, help: string, read: () => number): MetricSource => ({
    ...gauge(name, help, read),
    counter: true,
  });
  const { counters } = server;
  return [
    gauge('capacity_bytes', 'Size of the file system of the store.', () => directory.capacityBytes),
    gauge('free_bytes', 'Free space there.', () => directory.freeBytes),
    gauge('used_bytes', 'Payload in the store.', () => directory.usedBytes),
    gauge('files', 'Copies of segments in the store.', () => directory.files),
    gauge('draining', '1 while the store is being emptied.', () => Number(directory.draining)),
    gauge(
      'disk_state',
      '0 well, 1 full, 2 failed: nothing new is taken.',
      () => DISK_STATES[directory.disk.state],
    ),
    counter(
      'disk_failures_total',
      'Writes and flushes that the disk refused.',
      () => directory.disk.failures,
    ),
    gauge('open_files', 'Files that are open, or were a short while ago.', () => directory.open.count),
    gauge('memory_waiting', 'Appends that wait for memory.', () => server.waitingForMemory),
    gauge('gateways', 'Gateways that are attached, by provider.', () => server.attached, 'provider'),
    counter('written_bytes_total', 'Payload taken from gateways.', () => counters.writtenBytes),
    counter('read_bytes_total', 'Payload given to gateways.', () => counters.readBytes),
    counter('checked_bytes_total', 'Payload read to compare copies.', () => counters.checkedBytes),
    counter('operations_total', 'Operations that were asked for.', () => counters.operations),
    counter('operation_failures_total', 'Operations that failed.', () => counters.failures),
    counter(
      'connections_refused_total',
      'Connections without the secret, or with a certificate that does not hold.',
      () => server.refused,
    ),
    gauge('arena_used_bytes', 'Arena memory in use.', () => arenaStats().usedBytes),
    gauge('arena_capacity_bytes', 'Size of the arena.', () => arenaStats().capacityBytes),
    gauge('queued_bytes', 'Taken and not yet written.', () => store.stats().queuedBytes),
  ];
}

/** Of certificates between gateways and stores; nothing without them. `prefix`: of the names. */
export function storesTlsMetrics(prefix: string, tls: StoresTls | null | undefined): MetricSource[] {
  if (!tls) return [];
  const one = (name: string, help: string, read: () => number, counter = false): MetricSource => ({
    name: `${prefix}_tls_${name}`,
    help,
    read,
    ...(counter && { counter }),
  });
  return [
    one(
      'certificate_expiry_timestamp_seconds',
      'When the first of the own certificate and those of the trusted CAs expires.',
      () => tls.expiresMs / 1000,
    ),
    one('certificate_trouble', '1 while changed certificate files cannot be used.', () =>
      Number(tls.trouble !== null),
    ),
    one(
      'certificate_reloads_total',
      'Times that changed certificate files were taken.',
      () => tls.counters.reloads,
      true,
    ),
    one('failures_total', 'Connections that failed in TLS.', () => tls.counters.failures, true),
  ];
}

const CIRCUITS = { closed: 0, 'half-open': 1, open: 2 } as const;

/** What a gateway knows of its stores; nothing without them. */
export function storePeerMetrics(stores: PayloadStores): MetricSource[] {
  if (!stores.areConfigured) return [];
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
  const { repairs, scrubber } = stores;
  const one = (name: string, help: string, read: () => number, counter = false): MetricSource => ({
    name: `kafabric_stores_${name}`,
    help,
    counter,
    read,
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
    ...storesTlsMetrics('kafabric_stores', stores.tls),
  ];
}
