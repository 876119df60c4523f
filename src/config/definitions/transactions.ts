import type { ConfigDefinition } from './definition.ts';

/** Idempotent and transactional producers. */
export const transactionDefinitions = [
  {
    name: 'producer.id.expiration.ms',
    type: 'int',
    default: '86400000',
    min: 1,
    update: 'cluster-wide',
    documentation:
      'How long the sequence numbers of a producer that stopped writing are kept, in milliseconds.',
  },
  {
    name: 'producer.id.expiration.check.interval.ms',
    type: 'int',
    default: '600000',
    min: 1,
    documentation: 'How often expired producer ids are looked for, in milliseconds.',
  },
  {
    name: 'transaction.max.timeout.ms',
    type: 'int',
    default: '900000',
    min: 1,
    documentation: 'The longest transaction time-out that a producer may ask for, in milliseconds.',
  },
  {
    name: 'transactional.id.expiration.ms',
    type: 'int',
    default: '604800000',
    min: 1,
    documentation: 'How long a transactional id without a transaction is remembered, in milliseconds.',
  },
  {
    name: 'transaction.state.log.num.partitions',
    type: 'int',
    default: '50',
    min: 1,
    documentation: 'Partitions of __transaction_state when it is created.',
  },
  {
    name: 'transaction.state.log.replication.factor',
    type: 'short',
    default: '1',
    min: 1,
    documentation: 'Replication factor of __transaction_state when it is created.',
    kafkaDefault: { value: '3', reason: 'one node holds one replica' },
  },
  {
    name: 'transaction.state.log.min.isr',
    type: 'int',
    default: '1',
    min: 1,
    documentation: 'min.insync.replicas of __transaction_state.',
    kafkaDefault: { value: '2', reason: 'one node holds one replica' },
  },
  {
    name: 'transaction.state.log.segment.bytes',
    type: 'int',
    default: '104857600',
    min: 1,
    documentation: 'Segment size of __transaction_state.',
  },
  {
    name: 'transaction.abort.timed.out.transaction.cleanup.interval.ms',
    type: 'int',
    default: '10000',
    min: 1,
    documentation: 'How often transactions that have timed out are looked for, in milliseconds.',
  },
  {
    name: 'transaction.remove.expired.transaction.cleanup.interval.ms',
    type: 'int',
    default: '3600000',
    min: 1,
    documentation: 'How often expired transactional ids are looked for, in milliseconds.',
  },
  {
    name: 'transaction.partition.verification.enable',
    type: 'boolean',
    default: 'true',
    update: 'cluster-wide',
    documentation: 'Whether a transactional write is checked to belong to an open transaction.',
  },
] as const satisfies readonly ConfigDefinition[];
