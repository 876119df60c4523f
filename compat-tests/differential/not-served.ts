/** APIs that Apache Kafka 4.3 announces and this gateway does not, yet. */
export const NOT_SERVED: readonly string[] = [
  // Directories are for the broker to choose.
  'AlterReplicaLogDirs',
];
