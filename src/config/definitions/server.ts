import type { ConfigDefinition } from './definition.ts';

/** The node, its cluster and the defaults of new topics. */
export const serverDefinitions = [
  {
    name: 'node.id',
    type: 'int',
    default: '1',
    min: 0,
    documentation:
      'The id of this node, which clients see as the broker id. Keep it for the life of the data.',
    kafkaDefault: { value: null, reason: 'a single node needs no choice' },
  },
  {
    name: 'broker.id',
    type: 'int',
    default: '-1',
    min: -1,
    documentation:
      'The older name of node.id, used when node.id is not set. The default, -1, means that node.id says it.',
  },
  {
    name: 'cluster.id',
    type: 'string',
    default: null,
    documentation:
      'The cluster id that a new data directory is given; without it a random one is generated. A directory that belongs to another cluster is refused.',
  },
  {
    name: 'broker.rack',
    type: 'string',
    default: null,
    documentation: 'The rack or zone of this node, told to clients so that they can prefer near replicas.',
  },
  {
    name: 'process.roles',
    type: 'list',
    default: 'broker,controller',
    values: ['broker', 'controller'],
    documentation:
      'Accepted so that a Kafka configuration can be used as it is: one process always has both roles.',
    kafkaDefault: { value: null, reason: 'one process always has both roles' },
  },
  {
    name: 'controller.listener.names',
    type: 'list',
    default: '',
    documentation: 'Listeners named here are not opened, because there is no separate controller to talk to.',
    kafkaDefault: { value: null, reason: 'there is no controller listener' },
  },
  {
    name: 'authorizer.class.name',
    type: 'string',
    default: '',
    values: [''],
    documentation:
      'Access control lists are not enforced by this version, so an authorizer is refused, not ignored.',
  },
  {
    name: 'auto.create.topics.enable',
    type: 'boolean',
    default: 'true',
    documentation:
      'Whether a metadata request that allows it creates the topics that it names and that do not exist.',
  },
  {
    name: 'delete.topic.enable',
    type: 'boolean',
    default: 'true',
    documentation: 'Whether topics may be deleted.',
  },
  {
    name: 'num.partitions',
    type: 'int',
    default: '1',
    min: 1,
    documentation: 'Partitions of a topic that is created automatically or without a partition count.',
  },
  {
    name: 'default.replication.factor',
    type: 'int',
    default: '1',
    min: 1,
    documentation: 'Replication factor of a topic that is created automatically or without one.',
  },
  {
    name: 'min.insync.replicas',
    type: 'int',
    default: '1',
    min: 1,
    update: 'cluster-wide',
    documentation:
      'In-sync replicas that a produce request with acks=all needs, for topics that do not set it.',
  },
  {
    name: 'unclean.leader.election.enable',
    type: 'boolean',
    default: 'false',
    update: 'cluster-wide',
    documentation:
      'Whether a replica that is not in sync may lead. One node has one replica, so nothing depends on it.',
  },
  {
    name: 'auto.leader.rebalance.enable',
    type: 'boolean',
    default: 'true',
    documentation:
      'Whether leadership moves back to preferred replicas. One node has one replica, so nothing depends on it.',
  },
  {
    name: 'max.request.partition.size.limit',
    type: 'int',
    default: '2000',
    min: 1,
    documentation:
      'The most partitions that one DescribeTopicPartitions answer lists; the client asks for the rest.',
  },
  {
    name: 'background.threads',
    type: 'int',
    default: '10',
    min: 1,
    documentation: 'Threads for background work. Without effect: such work shares num.io.threads.',
  },
  {
    name: 'request.timeout.ms',
    type: 'int',
    default: '30000',
    documentation:
      'How long a request to another broker may take, in milliseconds. A single node sends none.',
  },
  {
    name: 'controlled.shutdown.enable',
    type: 'boolean',
    default: 'true',
    documentation:
      'Whether the broker moves its leaders away before it stops. A single node has nowhere to move them.',
  },
  {
    name: 'metadata.log.max.record.bytes.between.snapshots',
    type: 'long',
    default: '20971520',
    min: 1,
    documentation:
      'Bytes of new cluster metadata after which a snapshot is written, so that the log before it can go.',
  },
  {
    name: 'metrics.listener',
    type: 'string',
    default: 'http://127.0.0.1:9464',
    documentation:
      'Where /metrics (Prometheus), /health/live and /health/ready are served, as http://host:port; empty switches it off.',
  },
] as const satisfies readonly ConfigDefinition[];
