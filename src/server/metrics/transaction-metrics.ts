import type { TransactionCoordinator } from '../../broker/transactions/coordinator.ts';
import { counter, type MetricSource } from './gateway-metrics.ts';

export function transactionMetrics(transactions: TransactionCoordinator): MetricSource[] {
  return [
    {
      name: 'kafabric_transactional_ids',
      help: 'Transactional ids by the state of their transaction.',
      label: 'state',
      read: () => transactions.states(),
    },
    counter(
      'kafabric_transactions_committed_total',
      'Transactions committed.',
      () => transactions.metrics.committed,
    ),
    counter(
      'kafabric_transactions_aborted_total',
      'Transactions aborted.',
      () => transactions.metrics.aborted,
    ),
    counter(
      'kafabric_transactions_timed_out_total',
      'Transactions that were aborted because they took too long.',
      () => transactions.metrics.timedOut,
    ),
  ];
}
