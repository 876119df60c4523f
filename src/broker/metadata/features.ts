/** A feature (KIP-584) and the levels of it that this broker can run at. */
export interface SupportedFeature {
  readonly name: string;
  readonly minLevel: number;
  readonly maxLevel: number;
}

/**
 * What is served decides what is announced: a client that sees `transaction.version` 2 leaves AddPartitionsToTxn out,
 * one that sees `group.version` 1 may join with ConsumerGroupHeartbeat, `streams.version` 1 does the same for StreamsGroupHeartbeat. So only what is served is here, at Kafka 4.3's
 * levels.
 */
export const supportedFeatures: readonly SupportedFeature[] = [
  { name: 'group.version', minLevel: 0, maxLevel: 1 },
  { name: 'metadata.version', minLevel: 7, maxLevel: 30 },
  { name: 'share.version', minLevel: 0, maxLevel: 1 },
  { name: 'streams.version', minLevel: 0, maxLevel: 1 },
  { name: 'transaction.version', minLevel: 0, maxLevel: 2 },
];
