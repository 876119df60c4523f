import { createTopicsRequest } from '../protocol/generated/create-topics-request.ts';
import { createTopicsResponse } from '../protocol/generated/create-topics-response.ts';
import { deleteTopicsRequest } from '../protocol/generated/delete-topics-request.ts';
import { deleteTopicsResponse } from '../protocol/generated/delete-topics-response.ts';
import { checkEvolution } from './avro-form.ts';
import { type ClientOptions, checkClientOptions } from './client-options.ts';
import { Cluster, type TopicInfo } from './cluster.ts';
import { alterConfigs, type Configs, describeConfigs, describeSetConfigs } from './configs.ts';
import { Consumer } from './consumer.ts';
import type { ConsumerOptions } from './consumer-options.ts';
import { type Abortable, brokerError, DirectError, unlessAborted } from './errors.ts';
import { FormCode } from './form-code.ts';
import { GroupAdmin } from './group-admin.ts';
import { type Path, type RegisteredBuffer, SharedPool } from './shared-memory.ts';
import { type TopicContext, TopicHandle } from './topic.ts';
import { checkForm, configsOfForm, formOfConfigs, openForm, type TopicForm } from './topic-form.ts';

/**
 * Of topics that `createTopic` makes: data lies apart from its metadata, where who wants metadata alone is not sent it, from a size on at which a get costs
 * no more than it.
 */
export const APART_CONFIGS = { 'payload.min.bytes': '4096' } as const;

export interface CreateTopicOptions extends Partial<TopicForm>, Abortable {
  /** Default 1. */
  partitions?: number;
  /** Any of Kafka's and Kafabric's topic configs. `createTopic` sets `payload.min.bytes` to 4096 unless it is here. */
  configs?: Readonly<Record<string, string>>;
  timeoutMs?: number;
}

export interface TopicDescription extends TopicInfo {
  /** Those that somebody has set, for the topic or for all. */
  readonly configs: Configs;
}

/** The direct API: topics whose events are small metadata and large data, on the same topics that Kafka clients use. */
export class Client {
  readonly #context: TopicContext;
  /** Consumer groups of any client: what they have committed, who is in them, and the data selector that is stored with each. */
  readonly groups: GroupAdmin;
  readonly #way: { readonly path: Path; readonly provider: string | null };

  private constructor(context: TopicContext, way: { path: Path; provider: string | null }) {
    this.#context = context;
    this.groups = new GroupAdmin(context.cluster);
    this.#way = way;
  }

  /** Connects, and finds out how data can move. Rejects with a DirectError: CONNECTION, TIMEOUT or NOT_DIRECT. */
  static async connect(options: ClientOptions): Promise<Client> {
    const { sharedChunkBytes, sharedMaxBytes, ...ways } = checkClientOptions(options);
    const cluster = new Cluster(ways);
    const pool = new SharedPool(sharedChunkBytes, sharedMaxBytes);
    const code = new FormCode(options.custom, options.modules);
    try {
      const attach = () => cluster.channel(-1, 'get');
      const { attachment } = await unlessAborted(attach, 'connect', options.signal);
      const used = attachment.mapped === null ? attachment.path : 'mapped';
      const context: TopicContext = {
        ...{ cluster, pool, code },
        openTopic: (name) => TopicHandle.open(name, context),
      };
      return new Client(context, { path: used, provider: attachment.provider });
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
  allocate(bytes: number, { signal }: Abortable = {}): Promise<RegisteredBuffer> {
    return unlessAborted(
      () => this.#allocate(bytes),
      'allocate',
      signal,
      (buffer) => buffer.release(),
    );
  }

  async #allocate(bytes: number): Promise<RegisteredBuffer> {
    const { cluster, pool } = this.#context;
    if (!(Number.isSafeInteger(bytes) && bytes > 0))
      throw new DirectError('INVALID_ARGUMENT', `"${bytes}" is no number of bytes`, { doing: 'allocate' });
    if (this.#way.path === 'tcp') return { bytes: Buffer.allocUnsafeSlow(bytes), release() {} };
    if (this.#way.path === 'mapped') {
      const [node = -1] = await cluster.nodes();
      const { attachment } = await cluster.channel(node, 'put');
      if (attachment.mapped !== null) return pool.allocateMapped(attachment.mapped, bytes);
    }
    const allocated = await pool.allocate(bytes);
    if (allocated !== null) return allocated;
    throw new DirectError('BUFFER_FULL', `no room for ${bytes} bytes`, {
      doing: 'allocate',
      todo: 'release what is no longer used, or raise sharedMaxBytes',
      retriable: true,
    });
  }

  /**
   * Creates a topic, whose form is stored with it, and opens it. Nothing is created when the form cannot be used here: INVALID_ARGUMENT, or MODULE for a
   * module that the client does not allow.
   */
  async createTopic(name: string, options: CreateTopicOptions = {}): Promise<TopicHandle> {
    const doing = `create topic ${name}`;
    const form = formOfConfigs(new Map(Object.entries(configsToCreate(options, doing))), doing);
    await unlessAborted(() => openForm(form, this.#context.code, doing), doing, options.signal);
    await this.defineTopic(name, { ...options, configs: { ...APART_CONFIGS, ...options.configs } });
    return this.openTopic(name, options);
  }

  /** Creates a topic without opening it, with the gateway's `payload.min.bytes`: its form may be of code that only others have. */
  defineTopic(name: string, options: CreateTopicOptions = {}): Promise<void> {
    const doing = `create topic ${name}`;
    return unlessAborted(() => this.#create(name, options, doing), doing, options.signal);
  }

  async #create(name: string, options: CreateTopicOptions, doing: string): Promise<void> {
    const { partitions: numPartitions = 1, timeoutMs = 30_000 } = options;
    const configs = Object.entries(configsToCreate(options, doing)).map(([key, value]) => ({
      name: key,
      value,
    }));
    const topic = { name, numPartitions, replicationFactor: -1, assignments: [], configs };
    const connection = await this.#context.cluster.connection(-1, 'control');
    const { topics } = await connection.call(
      createTopicsRequest,
      createTopicsResponse,
      { topics: [topic], timeoutMs, validateOnly: false },
      { version: 7, doing },
    );
    for (const { errorCode, errorMessage } of topics)
      if (errorCode !== 0) throw brokerError(errorCode, errorMessage, doing);
  }

  /** Rejects with MODULE when the topic's form needs a module that the client does not allow. */
  openTopic(name: string, { signal }: Abortable = {}): Promise<TopicHandle> {
    return unlessAborted(() => this.#context.openTopic(name), `open topic ${name}`, signal);
  }

  deleteTopic(name: string, { signal }: Abortable = {}): Promise<void> {
    const doing = `delete topic ${name}`;
    return unlessAborted(() => this.#delete(name, doing), doing, signal);
  }

  async #delete(name: string, doing: string): Promise<void> {
    const connection = await this.#context.cluster.connection(-1, 'control');
    const request = { topics: [], topicNames: [name], timeoutMs: 30_000 };
    const { responses } = await connection.call(deleteTopicsRequest, deleteTopicsResponse, request, {
      version: 5,
      doing,
    });
    for (const { errorCode, errorMessage } of responses)
      if (errorCode !== 0) throw brokerError(errorCode, errorMessage, doing);
  }

  /** All topics but Kafka's internal ones. */
  async listTopics({ signal }: Abortable = {}): Promise<TopicInfo[]> {
    const all = await unlessAborted(() => this.#context.cluster.topics(null), 'list topics', signal);
    return all.filter(({ name }) => !name.startsWith('__'));
  }

  /** A topic as it is now, with its configs that are not the default. Rejects with BROKER when there is none. */
  describeTopic(name: string, { signal }: Abortable = {}): Promise<TopicDescription> {
    const { cluster } = this.#context;
    const describe = async () => {
      const info = await cluster.topic(name, true);
      return { ...info, configs: await describeSetConfigs(cluster, { type: 'topic', name }) };
    };
    return unlessAborted(describe, `describe topic ${name}`, signal);
  }

  topicConfigs(name: string, { signal }: Abortable = {}): Promise<Configs> {
    const read = () => describeConfigs(this.#context.cluster, { type: 'topic', name });
    return unlessAborted(read, `read the configs of ${name}`, signal);
  }

  /** Null gives a config its default again. */
  alterTopicConfigs(
    name: string,
    values: Readonly<Record<string, string | null>>,
    { signal }: Abortable = {},
  ): Promise<void> {
    const alter = () => alterConfigs(this.#context.cluster, { type: 'topic', name }, values);
    return unlessAborted(alter, `alter the configs of ${name}`, signal);
  }

  /** A consumer of several topics. A signal ends the wait for them. */
  async consumer(
    topics: readonly string[],
    options: ConsumerOptions = {},
    abortable: Abortable = {},
  ): Promise<Consumer> {
    const handles = await Promise.all(topics.map((name) => this.openTopic(name, abortable)));
    return new Consumer(handles, this.#context, options);
  }

  /** Closes the connections; producers and consumers that are open fail from now on. */
  close(): void {
    this.#context.cluster.close();
  }
}

/** @throws DirectError INVALID_ARGUMENT for a form that no client could open */
function configsToCreate(
  { partitions: _, timeoutMs: __, signal: ___, configs = {}, ...form }: CreateTopicOptions,
  doing: string,
): Record<string, string> {
  checkForm(form, doing);
  if (form.serializer?.type === 'avro') checkEvolution(form.serializer.schemas);
  return { ...configsOfForm(form), ...configs };
}
