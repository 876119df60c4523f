import { createTopicsRequest } from '../protocol/generated/create-topics-request.ts';
import { createTopicsResponse } from '../protocol/generated/create-topics-response.ts';
import { deleteTopicsRequest } from '../protocol/generated/delete-topics-request.ts';
import { deleteTopicsResponse } from '../protocol/generated/delete-topics-response.ts';
import { Cluster, type TopicInfo } from './cluster.ts';
import type { TlsOptions } from './connection.ts';
import { Consumer } from './consumer.ts';
import type { ConsumerOptions } from './consumer-options.ts';
import { brokerError, DirectError, unlessAborted } from './errors.ts';
import type { FabricChoice } from './fabric-path.ts';
import { GroupAdmin } from './group-admin.ts';
import { type Path, type RegisteredBuffer, SharedPool } from './shared-memory.ts';
import { alterConfigs, configsOf, TopicHandle } from './topic.ts';
import {
  type CustomForms,
  checkEvolution,
  checkForm,
  configsOfForm,
  type TopicForm,
  validatorOf,
} from './topic-form.ts';

const MIB = 1 << 20;

export interface ClientOptions {
  /** host:port of DIRECT listeners, one or several. */
  bootstrap: string | readonly string[];
  /** For the gateway's logs; default kafabric-client. */
  clientId?: string;
  /**
   * How data moves: shared memory where both are on one machine, else libfabric where both have a provider with RDMA, else TCP ('auto',
   * default); or one that has to be. 'mapped' lets this process use the gateway's memory, where the gateway trusts it.
   */
  path?: Path | 'auto';
  /** Which provider of libfabric carries data, where the path is 'fabric'. */
  fabric?: FabricChoice;
  /**
   * For listeners that speak TLS (DIRECT_SSL): which gateways are trusted, and who this client is; true: those that the CAs of the system vouch for.
   * Data that moves by shared memory stays on the machine; there is no path `fabric` then, for nothing encrypts it.
   */
  tls?: TlsOptions | boolean;
  /** Default 10 s. */
  connectTimeoutMs?: number;
  /** Default 30 s; requests that wait for others have longer. */
  requestTimeoutMs?: number;
  /** Shared memory is made in pieces of this size, for pushes and pulls. Default 64 MiB. */
  sharedChunkBytes?: number;
  /** Limit on it. Default 1 GiB. */
  sharedMaxBytes?: number;
  /** Validators, serializers and partition selectors that topics name. */
  custom?: CustomForms;
  /** Ends the attempt to connect, with ABORTED. */
  signal?: AbortSignal;
}

export interface CreateTopicOptions extends Partial<TopicForm> {
  /** Default 1. */
  partitions?: number;
  /** Any of Kafka's and Kafabric's topic configs. */
  configs?: Readonly<Record<string, string>>;
  timeoutMs?: number;
}

/** The direct API: topics whose events are small metadata and large data, on the same topics that Kafka clients use. */
export class Client {
  readonly #cluster: Cluster;
  readonly #pool: SharedPool;
  readonly #custom: CustomForms;
  /** Consumer groups of any client: what they have committed, who is in them. */
  readonly groups: GroupAdmin;
  readonly #way: { readonly path: Path; readonly provider: string | null };

  private constructor(
    cluster: Cluster,
    pool: SharedPool,
    custom: CustomForms,
    way: { path: Path; provider: string | null },
  ) {
    this.#cluster = cluster;
    this.groups = new GroupAdmin(cluster);
    this.#pool = pool;
    this.#custom = custom;
    this.#way = way;
  }

  /** Connects, and finds out how data can move. Rejects with a DirectError: CONNECTION, TIMEOUT or NOT_DIRECT. */
  static async connect(options: ClientOptions): Promise<Client> {
    const { bootstrap, clientId = 'kafabric-client', path = 'auto', fabric = {}, custom = {} } = options;
    const { connectTimeoutMs = 10_000, requestTimeoutMs = 30_000 } = options;
    const { sharedChunkBytes = 64 * MIB, sharedMaxBytes = 1024 * MIB } = options;
    const addresses = (typeof bootstrap === 'string' ? bootstrap.split(',') : bootstrap).map(addressOf);
    const tls = typeof options.tls === 'boolean' ? (options.tls ? {} : undefined) : options.tls;
    const pool = new SharedPool(sharedChunkBytes, sharedMaxBytes);
    const timeouts = { connectTimeoutMs, requestTimeoutMs };
    const cluster = new Cluster({ bootstrap: addresses, clientId, ...timeouts, path, fabric, tls });
    try {
      const { attachment } = await unlessAborted(cluster.channel(-1, 'get'), 'connect', options.signal);
      const used = attachment.mapped === null ? attachment.path : 'mapped';
      return new Client(cluster, pool, custom, { path: used, provider: attachment.provider });
    } catch (error) {
      cluster.close();
      throw error;
    }
  }

  /** How data moves between this client and the gateway that it asked first. */
  get path(): Path {
    return this.#way.path;
  }

  /** The provider of libfabric where the path is `fabric`, 'verbs;ofi_rxm' say; null on other paths. */
  get provider(): string | null {
    return this.#way.provider;
  }

  /**
   * Memory that pushes from it and pulls into it do not copy here, where the path is shared memory or the fabric; ordinary memory otherwise.
   * Rejects with BUFFER_FULL when `sharedMaxBytes` would be exceeded.
   *
   * Where the path is `mapped` it is memory of the gateway, for one push of all of it that nobody copies: the push hands it over, and it is
   * empty then. Rejects with BUFFER_FULL at a limit of the gateway.
   */
  async allocate(bytes: number): Promise<RegisteredBuffer> {
    if (!(Number.isSafeInteger(bytes) && bytes > 0))
      throw new DirectError('INVALID_ARGUMENT', `${bytes} bytes`, { doing: 'allocate' });
    if (this.#way.path === 'tcp') return { bytes: Buffer.allocUnsafeSlow(bytes), release() {} };
    if (this.#way.path === 'mapped') {
      const [node = -1] = await this.#cluster.nodes();
      const { attachment } = await this.#cluster.channel(node, 'put');
      if (attachment.mapped !== null) return this.#pool.allocateMapped(attachment.mapped, bytes);
    }
    const allocated = await this.#pool.allocate(bytes);
    if (allocated !== null) return allocated;
    throw new DirectError('BUFFER_FULL', `no room for ${bytes} bytes`, {
      doing: 'allocate',
      todo: 'release what is no longer used, or raise sharedMaxBytes',
      retriable: true,
    });
  }

  /** Creates a topic, whose form is stored with it, and opens it. */
  async createTopic(name: string, options: CreateTopicOptions = {}): Promise<TopicHandle> {
    const doing = `create topic ${name}`;
    const { partitions = 1, configs = {}, timeoutMs = 30_000, ...form } = options;
    checkForm(form, doing);
    if (form.serializer?.type === 'avro') checkEvolution(form.serializer.schemas);
    if (form.validator !== undefined && form.validator.type !== 'custom')
      validatorOf(form.validator, this.#custom);
    const all = { ...configsOfForm(form), ...configs };
    const connection = await this.#cluster.connection(-1, 'control');
    const { topics } = await connection.call(
      createTopicsRequest,
      createTopicsResponse,
      {
        topics: [
          {
            name,
            numPartitions: partitions,
            replicationFactor: -1,
            assignments: [],
            configs: Object.entries(all).map(([key, value]) => ({ name: key, value })),
          },
        ],
        timeoutMs,
        validateOnly: false,
      },
      { version: 7, doing },
    );
    for (const { errorCode, errorMessage } of topics)
      if (errorCode !== 0) throw brokerError(errorCode, errorMessage, doing);
    return this.openTopic(name);
  }

  openTopic(name: string): Promise<TopicHandle> {
    return TopicHandle.open(name, this.#custom, this.#cluster, this.#pool);
  }

  async deleteTopic(name: string): Promise<void> {
    const doing = `delete topic ${name}`;
    const connection = await this.#cluster.connection(-1, 'control');
    const request = { topics: [], topicNames: [name], timeoutMs: 30_000 };
    const { responses } = await connection.call(deleteTopicsRequest, deleteTopicsResponse, request, {
      version: 5,
      doing,
    });
    for (const { errorCode, errorMessage } of responses)
      if (errorCode !== 0) throw brokerError(errorCode, errorMessage, doing);
  }

  /** All topics but Kafka's internal ones. */
  async listTopics(): Promise<TopicInfo[]> {
    return (await this.#cluster.topics(null)).filter(({ name }) => !name.startsWith('__'));
  }

  topicConfigs(name: string): Promise<Map<string, string | null>> {
    return configsOf(name, this.#cluster);
  }

  /** Null gives a config its default again. */
  alterTopicConfigs(name: string, values: Readonly<Record<string, string | null>>): Promise<void> {
    return alterConfigs(name, values, this.#cluster, `alter the configs of ${name}`);
  }

  /** A consumer of several topics. */
  async consumer(topics: readonly string[], options: ConsumerOptions = {}): Promise<Consumer> {
    const handles = await Promise.all(topics.map((name) => this.openTopic(name)));
    return new Consumer(handles, this.#cluster, this.#pool, options);
  }

  /** Closes the connections; producers and consumers that are open fail from now on. */
  close(): void {
    this.#cluster.close();
  }
}

function addressOf(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text.trim());
  if (match === null)
    throw new DirectError('INVALID_ARGUMENT', `"${text}" is not of the form host:port`, { doing: 'connect' });
  return { host: match[1] ?? match[2]!, port: Number(match[3]) };
}
