import { ApiKey } from '../protocol/api-keys.ts';
import { ErrorCode } from '../protocol/errors.ts';
import { findCoordinatorRequest } from '../protocol/generated/find-coordinator-request.ts';
import { findCoordinatorResponse } from '../protocol/generated/find-coordinator-response.ts';
import { metadataRequest } from '../protocol/generated/metadata-request.ts';
import { type MetadataResponsePartition, metadataResponse } from '../protocol/generated/metadata-response.ts';
import type { Uuid } from '../protocol/wire/types.ts';
import { monotonicMs } from '../util/clock.ts';
import { AttachAgain } from './attach-again.ts';
import { Connection, type TlsOptions } from './connection.ts';
import { brokerError, DirectError } from './errors.ts';
import type { FabricChoice } from './fabric-path.ts';
import { ClientAttachment, type Path } from './shared-memory.ts';

/** Older gateways aside, what both ends speak. */
const METADATA_VERSION = 12;
/** Who leads partitions, and how many there are, is asked for again after so long. */
export const METADATA_AGE_MS = 30_000;
const FIND_COORDINATOR_VERSION = 4;
/** In the order of Kafka's numbers. */
const COORDINATOR_KINDS = ['group', 'transaction'] as const;
export type CoordinatorKind = (typeof COORDINATOR_KINDS)[number];

export interface ClusterOptions {
  readonly bootstrap: readonly { host: string; port: number }[];
  readonly clientId: string;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly path: Path | 'auto';
  readonly fabric: FabricChoice;
  readonly tls?: TlsOptions | undefined;
}

export interface PartitionInfo {
  readonly index: number;
  /** Numbers of gateways, here and below; -1: none leads it. */
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  readonly offline: readonly number[];
}

export interface TopicInfo {
  readonly name: string;
  readonly id: Uuid;
  readonly partitions: readonly PartitionInfo[];
}

/**
 * What a connection is for. Answers come in the order of requests, so that what may wait long has a connection of its own: `fetch` waits for
 * records, `put` for the disk, `get` for neither, and each member of a group for the other members.
 */
export type Purpose = 'control' | 'put' | 'get' | `fetch ${number}` | `member ${number}`;

/** A connection and how data moves over it. */
export interface DataChannel {
  readonly connection: Connection;
  readonly attachment: ClientAttachment;
}

/** The gateways of one cluster: who they are, which leads which partition, and connections to them. */
export class Cluster {
  readonly options: ClusterOptions;
  readonly #connections = new Map<string, Promise<Connection>>();
  readonly #channels = new Map<string, Promise<DataChannel>>();
  readonly #again = new AttachAgain();
  #brokers = new Map<number, { host: string; port: number }>();
  readonly #topics = new Map<string, { info: TopicInfo; readAt: number }>();
  readonly #coordinators = new Map<string, number>();
  #closed = false;

  constructor(options: ClusterOptions) {
    this.options = options;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#connections.values())
      connection.then((open) => open.close()).catch(() => undefined);
    this.#connections.clear();
    this.#channels.clear();
  }

  /** A connection to a gateway, or to any with -1. */
  async connection(node: number, purpose: Purpose): Promise<Connection> {
    if (this.#closed) throw new DirectError('CLOSED', 'the client is closed', { doing: 'connect' });
    const key = `${node} ${purpose}`;
    let opened = this.#connections.get(key);
    if (opened === undefined) {
      opened = this.#open(node);
      this.#connections.set(key, opened);
      const forget = () => {
        if (this.#connections.get(key) === opened) this.#connections.delete(key);
      };
      opened.then((connection) => connection.onClosed(forget), forget);
    }
    return opened;
  }

  /** Closes the connections of a purpose that is no more. */
  closeConnections(purpose: Purpose): void {
    for (const [key, opened] of this.#connections) {
      if (!key.endsWith(` ${purpose}`)) continue;
      this.#connections.delete(key);
      opened.then((connection) => connection.close()).catch(() => undefined);
    }
  }

  /** A connection over which data moves, attached. */
  async channel(node: number, purpose: 'put' | 'get'): Promise<DataChannel> {
    const key = `${node} ${purpose}`;
    let channel = this.#channels.get(key);
    if (channel === undefined) {
      channel = this.#attach(node, purpose);
      this.#channels.set(key, channel);
      const opened = channel;
      const forget = () => this.#forgetChannel(key, opened);
      channel.then(({ connection }) => connection.onClosed(forget), forget);
    }
    const found = await channel;
    const { attachment } = found;
    if (attachment.wasTurnedAway && this.#again.isDue(attachment)) this.#attachAgain(key, found);
    return found;
  }

  #forgetChannel(key: string, channel: Promise<DataChannel>): void {
    if (this.#channels.get(key) === channel) this.#channels.delete(key);
  }

  /** Shared memory may be had by now; until then data moves over the connection. */
  #attachAgain(key: string, { connection }: DataChannel): void {
    const { path, fabric } = this.options;
    ClientAttachment.attach(connection, path, fabric).then(
      (attachment) => {
        if (attachment.wasTurnedAway || this.#closed || connection.isClosed) return;
        const channel = Promise.resolve({ connection, attachment });
        this.#channels.set(key, channel);
        connection.onClosed(() => this.#forgetChannel(key, channel));
      },
      () => undefined,
    );
  }

  async #attach(node: number, purpose: Purpose): Promise<DataChannel> {
    const connection = await this.connection(node, purpose);
    if (!connection.serves(ApiKey.DirectAttach))
      throw new DirectError('NOT_DIRECT', 'this listener serves the Kafka protocol alone', {
        doing: 'attach',
        todo: 'use the address of the gateway’s DIRECT listener',
      });
    const { path, fabric } = this.options;
    return { connection, attachment: await ClientAttachment.attach(connection, path, fabric) };
  }

  async #open(node: number): Promise<Connection> {
    const known = this.#brokers.get(node);
    const addresses = known === undefined ? this.options.bootstrap : [known];
    const { clientId, connectTimeoutMs, requestTimeoutMs, tls } = this.options;
    let failure: unknown = null;
    for (const address of addresses) {
      try {
        return await Connection.open({ ...address, tls, clientId, connectTimeoutMs, requestTimeoutMs });
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** What was heard of a topic last; null for one that nobody has asked for. */
  known(name: string): TopicInfo | null {
    return this.#topics.get(name)?.info ?? null;
  }

  /** What is known of a topic, not older than half a minute; `fresh` asks again. */
  async topic(name: string, fresh = false): Promise<TopicInfo> {
    const known = this.#topics.get(name);
    if (!fresh && known !== undefined && monotonicMs() - known.readAt < METADATA_AGE_MS) return known.info;
    const [topic] = await this.topics([name]);
    if (topic === undefined)
      throw new DirectError('BROKER', 'there is no such topic', {
        doing: `find topic ${name}`,
        broker: 'UNKNOWN_TOPIC_OR_PARTITION',
        todo: 'create it first',
      });
    return topic;
  }

  /** Topics by name, or all (null); those that do not exist are left out. */
  async topics(names: readonly string[] | null): Promise<TopicInfo[]> {
    const connection = await this.connection(-1, 'control');
    const answer = await connection.call(
      metadataRequest,
      metadataResponse,
      {
        topics: names?.map((name) => ({ name, topicId: 'AAAAAAAAAAAAAAAAAAAAAA' })) ?? null,
        allowAutoTopicCreation: false,
      },
      { version: METADATA_VERSION, doing: 'describe topics' },
    );
    this.#brokers = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]));
    const found: TopicInfo[] = [];
    for (const { errorCode, name, topicId, partitions } of answer.topics) {
      if (name === null) continue;
      if (errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) {
        this.#topics.delete(name);
        continue;
      }
      if (errorCode !== 0) throw brokerError(errorCode, null, `describe topic ${name}`);
      const info = {
        name,
        id: topicId,
        partitions: partitions.map(partitionInfo).sort((a, b) => a.index - b.index),
      };
      this.#topics.set(name, { info, readAt: monotonicMs() });
      found.push(info);
    }
    return found;
  }

  /** The gateway that leads a partition. */
  async leaderOf(topic: string, partition: number, fresh = false): Promise<number> {
    const { partitions } = await this.topic(topic, fresh);
    const found = partitions[partition];
    if (found !== undefined) return found.leader;
    // It may have been added since.
    if (!fresh) return this.leaderOf(topic, partition, true);
    throw new DirectError(
      'INVALID_ARGUMENT',
      `${topic} has ${partitions.length} partitions, not one ${partition}`,
      {
        doing: 'find a partition',
      },
    );
  }

  /** Things of partitions, by the gateway that leads each. */
  async byLeader<T>(
    ones: readonly T[],
    partitionOf: (one: T) => { topic: string; partition: number },
  ): Promise<Map<number, T[]>> {
    const led = new Map<number, T[]>();
    for (const one of ones) {
      const { topic, partition } = partitionOf(one);
      const node = await this.leaderOf(topic, partition);
      const others = led.get(node);
      if (others === undefined) led.set(node, [one]);
      else others.push(one);
    }
    return led;
  }

  /** The gateways that are known, by number; asks when none is. */
  async nodes(): Promise<number[]> {
    if (this.#brokers.size === 0) await this.topics([]);
    return [...this.#brokers.keys()];
  }

  /** A connection to the coordinator of a group or a transactional id, which is asked for once. */
  async coordinator(kind: CoordinatorKind, key: string, purpose: Purpose): Promise<Connection> {
    const name = `${kind} ${key}`;
    let node = this.#coordinators.get(name);
    if (node === undefined) {
      node = await this.#findCoordinator(kind, key);
      this.#coordinators.set(name, node);
    }
    return this.connection(node, purpose);
  }

  /** It is another one by now, or will be. */
  forgetCoordinator(kind: CoordinatorKind, key: string): void {
    this.#coordinators.delete(`${kind} ${key}`);
  }

  async #findCoordinator(kind: CoordinatorKind, key: string): Promise<number> {
    const doing = `find the coordinator of ${kind} ${key}`;
    const connection = await this.connection(-1, 'control');
    const { coordinators } = await connection.call(
      findCoordinatorRequest,
      findCoordinatorResponse,
      { keyType: COORDINATOR_KINDS.indexOf(kind), coordinatorKeys: [key] },
      { version: FIND_COORDINATOR_VERSION, doing },
    );
    const [found] = coordinators;
    if (found === undefined) throw brokerError(ErrorCode.COORDINATOR_NOT_AVAILABLE, null, doing);
    if (found.errorCode !== 0) throw brokerError(found.errorCode, found.errorMessage, doing);
    const { nodeId, host, port } = found;
    this.#brokers.set(nodeId, { host, port });
    return nodeId;
  }
}

function partitionInfo(partition: MetadataResponsePartition): PartitionInfo {
  const { partitionIndex: index, leaderId: leader, leaderEpoch, offlineReplicas: offline } = partition;
  return { index, leader, leaderEpoch, replicas: partition.replicaNodes, isr: partition.isrNodes, offline };
}
