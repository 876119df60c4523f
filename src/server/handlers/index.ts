import type { EmbeddedBroker } from '../../broker/embedded-broker.ts';
import type { TopicNames } from '../../broker/groups/ports.ts';
import { ProduceGate } from '../../broker/transactions/produce-gate.ts';
import type { AdvertisedListener } from '../../config/index.ts';
import { ApiKey } from '../../protocol/api-keys.ts';
import type { AnyHandler } from '../net/handler.ts';
import { produceHandler } from './00-produce.ts';
import { fetchHandler } from './01-fetch.ts';
import { listOffsetsHandler } from './02-list-offsets.ts';
import { type MetadataDeps, metadataHandler } from './03-metadata.ts';
import { offsetCommitHandler } from './08-offset-commit.ts';
import { offsetFetchHandler } from './09-offset-fetch.ts';
import { findCoordinatorHandler } from './10-find-coordinator.ts';
import { joinGroupHandler } from './11-join-group.ts';
import { heartbeatHandler } from './12-heartbeat.ts';
import { leaveGroupHandler } from './13-leave-group.ts';
import { syncGroupHandler } from './14-sync-group.ts';
import { describeGroupsHandler } from './15-describe-groups.ts';
import { listGroupsHandler } from './16-list-groups.ts';
import { createTopicsHandler } from './19-create-topics.ts';
import { deleteTopicsHandler } from './20-delete-topics.ts';
import { deleteRecordsHandler } from './21-delete-records.ts';
import { initProducerIdHandler } from './22-init-producer-id.ts';
import { offsetForLeaderEpochHandler } from './23-offset-for-leader-epoch.ts';
import { addPartitionsToTxnHandler } from './24-add-partitions-to-txn.ts';
import { addOffsetsToTxnHandler } from './25-add-offsets-to-txn.ts';
import { endTxnHandler } from './26-end-txn.ts';
import { writeTxnMarkersHandler } from './27-write-txn-markers.ts';
import { txnOffsetCommitHandler } from './28-txn-offset-commit.ts';
import { describeConfigsHandler } from './32-describe-configs.ts';
import { alterConfigsHandler } from './33-alter-configs.ts';
import { alterReplicaLogDirsHandler } from './34-alter-replica-log-dirs.ts';
import { describeLogDirsHandler } from './35-describe-log-dirs.ts';
import { createPartitionsHandler } from './37-create-partitions.ts';
import { deleteGroupsHandler } from './42-delete-groups.ts';
import { incrementalAlterConfigsHandler } from './44-incremental-alter-configs.ts';
import { listPartitionReassignmentsHandler } from './46-list-partition-reassignments.ts';
import { offsetDeleteHandler } from './47-offset-delete.ts';
import { describeClusterHandler } from './60-describe-cluster.ts';
import { describeProducersHandler } from './61-describe-producers.ts';
import { describeTransactionsHandler } from './65-describe-transactions.ts';
import { listTransactionsHandler } from './66-list-transactions.ts';
import { consumerGroupHeartbeatHandler } from './68-consumer-group-heartbeat.ts';
import { consumerGroupDescribeHandler } from './69-consumer-group-describe.ts';
import { listConfigResourcesHandler } from './74-list-config-resources.ts';
import { describeTopicPartitionsHandler } from './75-describe-topic-partitions.ts';
import { streamsGroupHeartbeatHandler } from './88-streams-group-heartbeat.ts';
import { streamsGroupDescribeHandler } from './89-streams-group-describe.ts';
import { directAttachHandler } from './16384-direct-attach.ts';
import { directPutHandler } from './16385-direct-put.ts';
import { directGetHandler } from './16386-direct-get.ts';
import { directReleaseHandler } from './16387-direct-release.ts';
import { directMapHandler } from './16388-direct-map.ts';
import { directFabricHandler } from './16389-direct-fabric.ts';
import { directFetchHandler } from './16390-direct-fetch.ts';
import { administrationHandlers } from './administration.ts';
import { orderedProduce, ProduceOrders } from './direct-order.ts';
import { shareHandlers } from './share-handlers.ts';

/** Every API that the embedded broker serves, except ApiVersions, which needs the registry of all. */
export function brokerHandlers(
  broker: EmbeddedBroker,
  advertised: readonly AdvertisedListener[],
): AnyHandler[] {
  const { metadata, topics, configs, partitions, producerIds, groups, transactions, logs } = broker;
  const quotas = broker.clientQuotas;
  const addressOf = (listener: string) => {
    const { host, port } = advertised.find(({ name }) => name === listener) ?? advertised[0]!;
    return { host, port };
  };
  const cluster: MetadataDeps = {
    metadata,
    topics,
    advertised: addressOf,
    isOffline: ({ name }, index) => partitions.find(name, index)?.log.isClosed ?? true,
  };
  const names: TopicNames = {
    partitionCount: (name) => metadata.topicByName(name)?.partitions.length ?? null,
    idOf: (name) => metadata.topicByName(name)?.id ?? null,
    nameOf: (id) => metadata.topicById(id)?.name ?? null,
  };
  const gate = new ProduceGate(transactions);
  return [
    produceHandler({ partitions, gate, quota: quotas.produce }),
    fetchHandler({
      partitions,
      fetches: broker.fetches,
      sessions: broker.fetchSessions,
      quota: quotas.fetch,
    }),
    listOffsetsHandler({ partitions }),
    deleteRecordsHandler({ partitions }),
    initProducerIdHandler({ producerIds, transactions }),
    offsetForLeaderEpochHandler({ partitions }),
    alterReplicaLogDirsHandler({ moves: broker.moves }),
    describeLogDirsHandler({ partitions, logs, moves: broker.moves }),
    describeProducersHandler({ partitions }),
    metadataHandler({ ...cluster, quota: quotas.mutations }),
    describeClusterHandler(cluster),
    describeTopicPartitionsHandler(cluster),
    createTopicsHandler({ metadata, topics, quota: quotas.mutations }),
    deleteTopicsHandler({ metadata, topics, quota: quotas.mutations }),
    createPartitionsHandler({ topics, quota: quotas.mutations }),
    listPartitionReassignmentsHandler(),
    ...administrationHandlers(broker, advertised),
    describeConfigsHandler({ metadata, loggers: configs.loggers }),
    alterConfigsHandler({ configs }),
    incrementalAlterConfigsHandler({ configs }),
    listConfigResourcesHandler({ metadata }),
    findCoordinatorHandler({
      groups,
      transactions,
      states: broker.sharing.states,
      broker: (listener) => ({ nodeId: metadata.nodeId, ...addressOf(listener) }),
    }),
    joinGroupHandler({ groups }),
    syncGroupHandler({ groups }),
    heartbeatHandler({ groups }),
    leaveGroupHandler({ groups }),
    offsetCommitHandler({ groups, topics: names }),
    offsetFetchHandler({ groups, topics: names }),
    offsetDeleteHandler({ groups, topics: names }),
    describeGroupsHandler({ groups }),
    listGroupsHandler({ groups }),
    deleteGroupsHandler({ groups }),
    consumerGroupHeartbeatHandler({ groups }),
    consumerGroupDescribeHandler({ groups }),
    ...shareHandlers(broker, names),
    streamsGroupHeartbeatHandler({ groups }),
    streamsGroupDescribeHandler({ groups }),
    addPartitionsToTxnHandler({ transactions, topics: names }),
    addOffsetsToTxnHandler({ transactions, groups }),
    endTxnHandler({ transactions }),
    writeTxnMarkersHandler({ partitions, markers: broker.markers }),
    txnOffsetCommitHandler({ groups, gate, topics: names }),
    describeTransactionsHandler({ transactions }),
    listTransactionsHandler({ transactions, clock: broker.clock }),
  ];
}

/** What a direct listener serves: everything, with references in place of what they stand for, and the APIs that move data. */
export function directHandlers(broker: EmbeddedBroker, handlers: readonly AnyHandler[]): AnyHandler[] {
  const { direct, partitions, fetches, fetchSessions: sessions } = broker;
  const signing = (principal: string) => direct.signing(principal);
  const quota = broker.clientQuotas.fetch;
  const fetch = fetchHandler({ partitions, fetches, sessions, quota, signing });
  const produce = handlers.find(({ apiKey }) => apiKey === ApiKey.Produce)!;
  const orders = new ProduceOrders();
  return [
    ...handlers.filter(({ apiKey }) => apiKey !== ApiKey.Fetch && apiKey !== ApiKey.Produce),
    orderedProduce(produce, orders),
    fetch,
    directAttachHandler(direct),
    directPutHandler(direct, produce, orders),
    directGetHandler(direct, quota),
    directReleaseHandler(direct),
    directMapHandler(direct, quota),
    directFabricHandler(direct),
    directFetchHandler({ direct, partitions, fetches, quota, signing }),
  ];
}
