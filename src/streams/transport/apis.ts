import type * as Kafka from '@platformatic/kafka';

export type Client = typeof Kafka;

type Api<A extends unknown[], R> = Kafka.API<A, R>;

/** Versions of one API that differ only in what the client does not use; the newest first. */
function versions<A extends unknown[], R>(
  newest: { api: Api<A, R> },
  ...older: { api: unknown }[]
): readonly Api<A, R>[] {
  return [newest.api, ...older.map(({ api }) => api as Api<A, R>)];
}

/**
 * The APIs that are used. AddPartitionsToTxn from version 4 on is for brokers among themselves. With Fetch 13 and OffsetFetch 8 the oldest
 * Apache Kafka is 3.1.
 */
export function apisOf(kafka: Client) {
  return {
    metadata: versions(kafka.metadataV12, kafka.metadataV11, kafka.metadataV10),
    findCoordinator: versions(kafka.findCoordinatorV6, kafka.findCoordinatorV5, kafka.findCoordinatorV4),
    createTopics: versions(kafka.createTopicsV7),
    deleteRecords: versions(kafka.deleteRecordsV2),
    listOffsets: versions(kafka.listOffsetsV9, kafka.listOffsetsV8, kafka.listOffsetsV7),
    fetch: versions(kafka.fetchV17, kafka.fetchV16, kafka.fetchV15, kafka.fetchV14, kafka.fetchV13),
    produce: versions(kafka.produceV11, kafka.produceV10, kafka.produceV9),
    initProducerId: versions(kafka.initProducerIdV5, kafka.initProducerIdV4),
    addPartitions: versions(kafka.addPartitionsToTxnV3),
    addOffsets: versions(kafka.addOffsetsToTxnV4, kafka.addOffsetsToTxnV3),
    txnOffsetCommit: versions(kafka.txnOffsetCommitV4, kafka.txnOffsetCommitV3),
    endTxn: versions(kafka.endTxnV4, kafka.endTxnV3),
    offsetFetch: versions(kafka.offsetFetchV9, kafka.offsetFetchV8),
    offsetCommit: versions(kafka.offsetCommitV9, kafka.offsetCommitV8),
    joinGroup: versions(kafka.joinGroupV9, kafka.joinGroupV8, kafka.joinGroupV7),
    syncGroup: versions(kafka.syncGroupV5),
    heartbeat: versions(kafka.heartbeatV4),
    leaveGroup: versions(kafka.leaveGroupV5, kafka.leaveGroupV4),
  };
}

export type Apis = ReturnType<typeof apisOf>;
