import type { ListenerTls } from '../tls/listener-tls.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** The certificates of listeners; nothing where none speaks TLS. */
export function listenerTlsMetrics(tls: readonly ListenerTls[]): MetricSource[] {
  if (tls.length === 0) return [];
  return [
    {
      name: 'kafabric_tls_certificate_expiry_timestamp_seconds',
      help: 'When the first of the listeners’ certificates and the CAs of clients expires.',
      read: () => Math.min(...tls.map(({ expiresMs }) => expiresMs)) / 1000,
    },
    {
      name: 'kafabric_tls_certificate_trouble',
      help: '1 while files are there that cannot be used: those from before hold.',
      read: () => Number(tls.some(({ trouble }) => trouble !== null)),
    },
    counter('kafabric_tls_certificate_reloads_total', 'How often certificates were renewed.', () =>
      tls.reduce((sum, { reloads }) => sum + reloads, 0),
    ),
  ];
}
