import type { ListenerTls } from '../tls/listener-tls.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** The certificates of listeners; nothing where none speaks TLS. */
export function listenerTlsMetrics(tls: ListenerTls | null): MetricSource[] {
  if (tls === null) return [];
  return [
    {
      name: 'kafabric_tls_certificate_expiry_timestamp_seconds',
      help: 'When the first of the listeners’ certificate and the CAs of clients expires.',
      read: () => tls.expiresMs / 1000,
    },
    {
      name: 'kafabric_tls_certificate_trouble',
      help: '1 while files are there that cannot be used: those from before hold.',
      read: () => Number(tls.trouble !== null),
    },
    counter(
      'kafabric_tls_certificate_reloads_total',
      'How often certificates were renewed.',
      () => tls.reloads,
    ),
  ];
}
