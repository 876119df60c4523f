import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import type { TransferStatistics } from '../../native/fabric.ts';
import { exportFabric, type MeasuredTransport } from './fabric-metrics.ts';

const nothing: TransferStatistics = {
  bytesRead: 0,
  bytesWritten: 0,
  operations: 0,
  requests: 0,
  errors: 0,
  timeouts: 0,
  cancelled: 0,
  retries: 0,
  latency: [0, 0, 0, 0],
  latencyMicroseconds: 0,
};

describe('metrics of the fabric', () => {
  it('are by provider, and by peer', async () => {
    const done = {
      ...nothing,
      bytesRead: 3000,
      operations: 4,
      requests: 3,
      errors: 2,
      timeouts: 1,
      retries: 5,
    };
    const statistics = {
      ...done,
      latency: [0, 2, 0, 1],
      latencyMicroseconds: 500,
      recoveries: 7,
      stalledMs: 250,
      peers: {},
    };
    const transports: MeasuredTransport[] = [];
    const registry = new Registry();
    exportFabric(registry, () => transports);
    assert.doesNotMatch(await registry.metrics(), /^kafabric_fabric\S* /m);

    const peers = new Map([['cluster.1', { ...nothing, bytesWritten: 12, latency: [0, 0, 5, 0] }]]);
    transports.push({ provider: 'verbs;ofi_rxm', domain: 'mlx5_0', statistics, peers });
    const text = await registry.metrics();
    const way = 'provider="verbs;ofi_rxm",domain="mlx5_0"';
    for (const line of [
      `read_bytes_total{${way}} 3000`,
      `written_bytes_total{${way}} 0`,
      `operations_total{${way}} 4`,
      `transfers_total{${way}} 3`,
      `transfer_failures_total{${way}} 2`,
      `transfer_timeouts_total{${way}} 1`,
      `retries_total{${way}} 5`,
      `recoveries_total{${way}} 7`,
      `stalled_seconds{${way}} 0.25`,
      'peer_written_bytes_total{provider="verbs;ofi_rxm",peer="cluster.1"} 12',
      `transfer_duration_seconds_bucket{le="0.000001",${way}} 0`,
      `transfer_duration_seconds_bucket{le="0.000002",${way}} 2`,
      `transfer_duration_seconds_bucket{le="0.000004",${way}} 2`,
      `transfer_duration_seconds_bucket{le="+Inf",${way}} 3`,
      `transfer_duration_seconds_sum{${way}} 0.0005`,
      `transfer_duration_seconds_count{${way}} 3`,
      'peer_transfer_duration_seconds_bucket{le="0.000002",provider="verbs;ofi_rxm",peer="cluster.1"} 0',
      'peer_transfer_duration_seconds_bucket{le="+Inf",provider="verbs;ofi_rxm",peer="cluster.1"} 5',
    ])
      assert.ok(text.split('\n').includes(`kafabric_fabric_${line}`), `${line} is not in\n${text}`);
  });
});
