import type { StoreDirectory } from '../../backend/payload/stores/process/store-directory.ts';
import type { StoreServer } from '../../backend/payload/stores/process/store-server.ts';
import type { StoresTls } from '../../backend/payload/stores/tls/stores-tls.ts';
import { arenaShared, arenaStats } from '../../native/arena.ts';
import type { Store } from '../../native/store.ts';
import { recycledMetrics } from './file-metrics.ts';
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
    gauge(
      'capacity_bytes',
      'Size of the file system of the store, or what its tiers may hold.',
      () => directory.capacityBytes,
    ),
    gauge('free_bytes', 'Room there.', () => directory.freeBytes),
    gauge('used_bytes', 'Payload in the store.', () => directory.usedBytes),
    gauge('files', 'Copies of segments in the store.', () => directory.files),
    ...recycledMetrics(store),
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
    gauge('arena_shared', '1 while what is acknowledged from the arena outlives a killed process.', () =>
      Number(arenaShared().shared),
    ),
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
      () => tls.reloads,
      true,
    ),
    one('failures_total', 'Connections that failed in TLS.', () => tls.failures, true),
  ];
}
