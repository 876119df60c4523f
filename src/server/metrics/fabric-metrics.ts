import { Counter, Gauge, type Metric, type Registry } from 'prom-client';
import type { TransferStatistics, TransportStatistics } from '../../native/fabric.ts';

/** What a transport that starts transfers has done. */
export interface MeasuredTransport {
  readonly provider: string;
  readonly domain: string;
  readonly statistics: TransportStatistics;
  /** By the names of peers that are attached. */
  readonly peers: ReadonlyMap<string, TransferStatistics>;
}

/** Numbers that are kept for each transport and for each of its peers. */
const KEPT: readonly (readonly [name: string, help: string, read: (of: TransferStatistics) => number])[] = [
  ['read_bytes_total', 'Bytes read from the memory of peers.', ({ bytesRead }) => bytesRead],
  ['written_bytes_total', 'Bytes written to the memory of peers.', ({ bytesWritten }) => bytesWritten],
  ['operations_total', 'Pieces that were moved.', ({ operations }) => operations],
  ['transfers_total', 'Transfers that ended well.', ({ requests }) => requests],
  ['transfer_failures_total', 'Transfers that failed.', ({ errors }) => errors],
  ['transfer_timeouts_total', 'Those that did not end in their time.', ({ timeouts }) => timeouts],
  ['retries_total', 'Pieces that were sent again after an interruption.', ({ retries }) => retries],
];

/** Exports what the transports of this process that start transfers have done, by provider and by peer. */
export function exportFabric(registry: Registry, read: () => readonly MeasuredTransport[]): void {
  const registers = [registry];
  for (const [name, help, value] of KEPT) {
    new Counter({
      name: `kafabric_fabric_${name}`,
      help,
      labelNames: ['provider', 'domain'],
      registers,
      collect() {
        this.reset();
        for (const { provider, domain, statistics } of read())
          this.inc({ provider, domain }, value(statistics));
      },
    });
    new Counter({
      name: `kafabric_fabric_peer_${name}`,
      help: `${help} Of each peer, since it was attached.`,
      labelNames: ['provider', 'peer'],
      registers,
      collect() {
        this.reset();
        for (const { provider, peers } of read())
          for (const [peer, statistics] of peers) this.inc({ provider, peer }, value(statistics));
      },
    });
  }
  new Counter({
    name: 'kafabric_fabric_recoveries_total',
    help: 'How often everything under way was given up to be rid of a peer that did not answer.',
    labelNames: ['provider', 'domain'],
    registers,
    collect() {
      this.reset();
      for (const { provider, domain, statistics } of read())
        this.inc({ provider, domain }, statistics.recoveries);
    },
  });
  new Gauge({
    name: 'kafabric_fabric_stalled_seconds',
    help: 'How long the thread has been in one round; many seconds mean that the provider does not return.',
    labelNames: ['provider', 'domain'],
    registers,
    collect() {
      this.reset();
      for (const { provider, domain, statistics } of read())
        this.set({ provider, domain }, statistics.stalledMs / 1000);
    },
  });
  const help = 'How long transfers took that ended well.';
  registry.registerMetric(
    durations('kafabric_fabric_transfer_duration_seconds', help, () =>
      read().map(({ provider, domain, statistics }) => [{ provider, domain }, statistics]),
    ),
  );
  registry.registerMetric(
    durations(
      'kafabric_fabric_peer_transfer_duration_seconds',
      `${help} Of each peer, since it was attached.`,
      () =>
        read().flatMap(({ provider, peers }) =>
          Array.from(peers, ([peer, statistics]) => [{ provider, peer }, statistics] as const),
        ),
    ),
  );
}

/** A histogram as the registry reads one. */
function durations(
  name: string,
  help: string,
  read: () => readonly (readonly [labels: Record<string, string>, of: TransferStatistics])[],
): Metric {
  const get = async () => ({
    name,
    help,
    type: 'histogram',
    aggregator: 'sum',
    values: read().flatMap(([labels, of]) => histogramValues(name, labels, of)),
  });
  return { name, help, get, reset() {} } as unknown as Metric;
}

function histogramValues(name: string, labels: Record<string, string>, of: TransferStatistics) {
  let count = 0;
  const buckets = of.latency.map((inBucket, i) => {
    count += inBucket;
    const le = i === of.latency.length - 1 ? '+Inf' : 2 ** i / 1e6;
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: of.latencyMicroseconds / 1e6 },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
