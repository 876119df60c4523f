import type { KafkaListeners } from '../net/listener.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

/** What the network part keeps count of. */
export function networkMetrics(listeners: KafkaListeners): MetricSource[] {
  return [
    { name: 'kafabric_connections', help: 'Open connections.', read: () => listeners.stats().connections },
    {
      name: 'kafabric_in_flight_bytes',
      help: 'Bytes of unanswered requests.',
      read: () => listeners.stats().inFlightBytes,
    },
    counter('kafabric_received_bytes_total', 'Bytes received.', () => listeners.stats().receivedBytes),
    counter(
      'kafabric_reply_memory_given_back_bytes_total',
      'Bytes of replies to slow readers that are sent from files instead of memory.',
      () => listeners.stats().givenBackBytes,
    ),
    counter('kafabric_sent_bytes_total', 'Bytes sent.', () => listeners.stats().sentBytes),
  ];
}
