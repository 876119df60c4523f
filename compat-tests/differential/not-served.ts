/** APIs that Kafka announces only with a plugin that receives clients' metrics; Kafabric needs none, and announces them once a subscription asks for metrics. */
export const SERVED_HERE_ALONE: readonly string[] = ['GetTelemetrySubscriptions', 'PushTelemetry'];

/** APIs that Apache Kafka 4.3 announces and this gateway does not, yet. */
export const NOT_SERVED: readonly string[] = [
  // Directories are for the broker to choose.
  'AlterReplicaLogDirs',
  'AlterUserScramCredentials',
  'ConsumerGroupHeartbeat',
  'ConsumerGroupDescribe',
  'ShareGroupHeartbeat',
  'ShareGroupDescribe',
  'ShareFetch',
  'ShareAcknowledge',
  'StreamsGroupHeartbeat',
  'StreamsGroupDescribe',
  'DescribeShareGroupOffsets',
  'AlterShareGroupOffsets',
  'DeleteShareGroupOffsets',
  // Between brokers.
  'InitializeShareGroupState',
  'ReadShareGroupState',
  'WriteShareGroupState',
  'DeleteShareGroupState',
  'ReadShareGroupStateSummary',
];
