/**
 * Keys of Apache Kafka that have no effect here (security, remote storage, quorum, thread queues).
 * They are accepted with a warning, so that a Kafka configuration can be used as it is.
 */
const PREFIXES = [
  'alter.log.dirs.replication.quota.',
  'broker.heartbeat.',
  'broker.session.',
  'client.quota.',
  'confluent.',
  'controller.',
  'delegation.token.',
  'group.coordinator.',
  'group.share.',
  'kafka.metrics.',
  'leader.imbalance.',
  'listener.name.',
  'log.cleaner.',
  'metadata.log.',
  'metadata.max.',
  'metric.',
  'metrics.',
  'remote.',
  'replica.',
  'replication.quota.',
  'sasl.',
  'share.coordinator.',
  'socket.connection.setup.',
  'ssl.',
  'transaction.state.log.',
];

const NAMES = new Set([
  'add.partitions.to.txn.retry.backoff.max.ms',
  'add.partitions.to.txn.retry.backoff.ms',
  'alter.config.policy.class.name',
  'config.providers',
  'connection.failed.authentication.delay.ms',
  'connections.max.reauth.ms',
  'cordoned.log.dirs',
  'create.topic.policy.class.name',
  'delete.records.purgatory.purge.interval.requests',
  'early.start.listeners',
  'fetch.purgatory.purge.interval.requests',
  'follower.fetch.last.tiered.offset.enable',
  'initial.broker.registration.timeout.ms',
  'group.consumer.assignor.offload.enable',
  'group.streams.assignor.offload.enable',
  'inter.broker.listener.name',
  'log.dir.failure.timeout.ms',
  'max.connection.creation.rate',
  'num.replica.alter.log.dirs.threads',
  'num.replica.fetchers',
  'principal.builder.class',
  'producer.purgatory.purge.interval.requests',
  'queued.max.requests',
  'security.inter.broker.protocol',
  'security.providers',
  'share.fetch.purgatory.purge.interval.requests',
  'super.users',
  'transaction.two.phase.commit.enable',
]);

/** Whether the key is one of Kafka's that this gateway knows and has no use for. */
export function isInheritedKey(name: string): boolean {
  return NAMES.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix));
}
