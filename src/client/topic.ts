import { describeConfigsRequest } from '../protocol/generated/describe-configs-request.ts';
import { describeConfigsResponse } from '../protocol/generated/describe-configs-response.ts';
import { incrementalAlterConfigsRequest } from '../protocol/generated/incremental-alter-configs-request.ts';
import { incrementalAlterConfigsResponse } from '../protocol/generated/incremental-alter-configs-response.ts';
import type { Uuid } from '../protocol/wire/types.ts';
import type { Cluster, TopicInfo } from './cluster.ts';
import { Consumer } from './consumer.ts';
import type { ConsumerOptions } from './consumer-options.ts';
import { brokerError, DirectError } from './errors.ts';
import { Producer } from './producer.ts';
import type { ProducerOptions } from './producer-options.ts';
import type { SharedPool } from './shared-memory.ts';
import {
  type CustomForms,
  checkEvolution,
  configsOfForm,
  FORM_CONFIGS,
  formOfConfigs,
  type PartitionSelector,
  partitionSelectorOf,
  type Serializer,
  serializerOf,
  type TopicForm,
  type Validator,
  validatorOf,
} from './topic-form.ts';

const TOPIC_RESOURCE = 2;
const SET = 0;

/** A topic, with the form of its events as its configs say: every client applies the same. */
export class TopicHandle {
  readonly name: string;
  readonly id: Uuid;
  readonly partitions: number;
  readonly form: TopicForm;
  readonly #cluster: Cluster;
  readonly #pool: SharedPool;
  readonly #validate: Validator;
  readonly #serializer: Serializer;
  readonly #selector: PartitionSelector | null;

  constructor(info: TopicInfo, form: TopicForm, custom: CustomForms, cluster: Cluster, pool: SharedPool) {
    this.name = info.name;
    this.id = info.id;
    this.partitions = info.partitions.length;
    this.form = form;
    this.#cluster = cluster;
    this.#pool = pool;
    this.#validate = validatorOf(form.validator, custom);
    this.#serializer = serializerOf(form.serializer, custom);
    this.#selector = partitionSelectorOf(form.partitionSelector, custom);
  }

  /** Opens a topic that exists. */
  static async open(
    name: string,
    custom: CustomForms,
    cluster: Cluster,
    pool: SharedPool,
  ): Promise<TopicHandle> {
    const info = await cluster.topic(name, true);
    return new TopicHandle(info, formOfConfigs(await configsOf(name, cluster)), custom, cluster, pool);
  }

  producer(options: ProducerOptions = {}): Producer {
    return new Producer(this, this.#cluster, this.#pool, options);
  }

  /** A consumer of this topic; see `ConsumerOptions` for who reads what from where. */
  consumer(options: ConsumerOptions = {}): Consumer {
    return new Consumer([this], this.#cluster, this.#pool, options);
  }

  /** Metadata as it goes out. @throws DirectError INVALID_METADATA */
  serialize(metadata: unknown): Uint8Array {
    const problem = this.#validate(metadata);
    if (problem !== null)
      throw new DirectError('INVALID_METADATA', problem, { doing: `push to ${this.name}` });
    try {
      return this.#serializer.serialize(metadata);
    } catch (cause) {
      if (cause instanceof DirectError) throw cause;
      throw new DirectError('INVALID_METADATA', `it cannot be written (${(cause as Error).message})`, {
        doing: `push to ${this.name}`,
        cause,
      });
    }
  }

  /** Metadata as it came in. @throws DirectError INVALID_METADATA */
  deserialize(bytes: Uint8Array): unknown {
    try {
      return this.#serializer.deserialize(bytes);
    } catch (cause) {
      if (cause instanceof DirectError) throw cause;
      throw new DirectError('INVALID_METADATA', `it cannot be read (${(cause as Error).message})`, {
        doing: `read from ${this.name}`,
        cause,
      });
    }
  }

  /** The partition that the topic's selector chooses. */
  select(metadata: unknown, key: Uint8Array | null): number {
    if (this.#selector === null)
      throw new DirectError('INVALID_ARGUMENT', 'the topic leaves the partition to each push', {
        doing: `push to ${this.name}`,
        todo: 'give it as options.partition',
      });
    return this.#selector(metadata, key, this.partitions);
  }

  /**
   * Adds a newer version of an Avro schema, after a check that what is there can be read as it. Handles that are open go on with the
   * version before; open the topic again to use the newer one.
   */
  async evolve(schema: object | string): Promise<void> {
    const doing = `evolve the schema of ${this.name}`;
    const { serializer } = this.form;
    if (serializer.type !== 'avro')
      throw new DirectError('INVALID_ARGUMENT', `the serializer is ${serializer.type}, not avro`, { doing });
    const schemas = [...serializer.schemas, schema];
    checkEvolution(schemas);
    const value = configsOfForm({ serializer: { type: 'avro', schemas } })[FORM_CONFIGS.serializer]!;
    await alterConfigs(this.name, { [FORM_CONFIGS.serializer]: value }, this.#cluster, doing);
  }
}

/** The configs of a topic. */
export async function configsOf(name: string, cluster: Cluster): Promise<Map<string, string | null>> {
  const doing = `read the configs of ${name}`;
  const connection = await cluster.connection(-1, 'control');
  const { results } = await connection.call(
    describeConfigsRequest,
    describeConfigsResponse,
    { resources: [{ resourceType: TOPIC_RESOURCE, resourceName: name, configurationKeys: null }] },
    { version: 4, doing },
  );
  const [result] = results;
  if (result === undefined) throw new DirectError('BROKER', 'no answer', { doing });
  if (result.errorCode !== 0) throw brokerError(result.errorCode, result.errorMessage, doing);
  return new Map(result.configs.map(({ name: key, value }) => [key, value]));
}

export async function alterConfigs(
  name: string,
  values: Readonly<Record<string, string | null>>,
  cluster: Cluster,
  doing: string,
): Promise<void> {
  const connection = await cluster.connection(-1, 'control');
  const configs = Object.entries(values).map(([key, value]) => ({
    name: key,
    value,
    configOperation: value === null ? 1 : SET,
  }));
  const { responses } = await connection.call(
    incrementalAlterConfigsRequest,
    incrementalAlterConfigsResponse,
    { resources: [{ resourceType: TOPIC_RESOURCE, resourceName: name, configs }], validateOnly: false },
    { version: 1, doing },
  );
  for (const { errorCode, errorMessage } of responses)
    if (errorCode !== 0) throw brokerError(errorCode, errorMessage, doing);
}
