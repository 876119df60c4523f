import { MAX_SCHEMA_VERSIONS } from '../protocol/forms/topic-form.ts';
import type { Uuid } from '../protocol/wire/types.ts';
import { checkEvolution } from './avro-form.ts';
import type { Cluster, TopicInfo } from './cluster.ts';
import { alterConfigs, describeConfigs } from './configs.ts';
import { Consumer } from './consumer.ts';
import type { ConsumerOptions } from './consumer-options.ts';
import { type Abortable, atOnce, DirectError, textOf, unlessAborted } from './errors.ts';
import type { FormCode } from './form-code.ts';
import { Producer } from './producer.ts';
import type { ProducerOptions } from './producer-options.ts';
import type { SharedPool } from './shared-memory.ts';
import {
  configsOfForm,
  FORM_CONFIGS,
  formOfConfigs,
  type OpenForm,
  openForm,
  type TopicForm,
} from './topic-form.ts';

/** What topics of one client have in common. */
export interface TopicContext {
  readonly cluster: Cluster;
  readonly pool: SharedPool;
  readonly code: FormCode;
  readonly openTopic: (name: string) => Promise<TopicHandle>;
}

/** Metadata as a serializer has written it, and as text. */
export interface WrittenMetadata {
  readonly metadata: Uint8Array | null;
  readonly metadataText: string | null;
}

/** A topic, with the form of its events as its configs say: every client applies the same. */
export class TopicHandle {
  readonly name: string;
  readonly id: Uuid;
  readonly form: TopicForm;
  readonly #context: TopicContext;
  readonly #opened: TopicInfo;
  readonly #open: OpenForm;

  private constructor(info: TopicInfo, form: TopicForm, open: OpenForm, context: TopicContext) {
    this.name = info.name;
    this.id = info.id;
    this.form = form;
    this.#opened = info;
    this.#context = context;
    this.#open = open;
  }

  /** Opens a topic that exists. Rejects with MODULE when its form needs a module that the client does not allow. */
  static async open(name: string, context: TopicContext): Promise<TopicHandle> {
    const { cluster, code } = context;
    const doing = `open topic ${name}`;
    const info = await cluster.topic(name, true);
    const form = formOfConfigs(await describeConfigs(cluster, { type: 'topic', name }), doing);
    return new TopicHandle(info, form, await openForm(form, code, doing), context);
  }

  /** How many it has; those that are added count from when they are heard of, half a minute later at most while it is in use. So does a topic made anew. */
  get partitions(): number {
    return (this.#context.cluster.known(this.name) ?? this.#opened).partitions.length;
  }

  producer(options: ProducerOptions = {}): Producer {
    return new Producer(this, this.#context.cluster, this.#context.pool, options);
  }

  /** A consumer of this topic; see `ConsumerOptions` for who reads what from where. */
  consumer(options: ConsumerOptions = {}): Consumer {
    return new Consumer([this], this.#context, options);
  }

  /** Metadata as it goes out; a text stands for its UTF-8. @throws DirectError INVALID_METADATA */
  serialize(metadata: unknown): Uint8Array | string {
    try {
      const { validate, serializer, textOf } = this.#open;
      const problem = atOnce(validate(metadata), 'the validator');
      if (problem !== null && problem !== undefined) throw this.#invalid(problem);
      if (textOf !== null) return textOf(metadata);
      const bytes = atOnce(serializer.serialize(metadata), 'the serializer');
      if (!(bytes instanceof Uint8Array)) throw this.#invalid('its serializer gave no Uint8Array');
      // Raw metadata is the application's, and a serializer may use its memory again.
      return Buffer.from(bytes);
    } catch (cause) {
      throw unusable(`push to ${this.name}`, 'it cannot be written', cause);
    }
  }

  /** Metadata as it came in; null where there is none. @param event of which it is, for errors @throws DirectError */
  read(written: WrittenMetadata, event: { readonly partition: number; readonly offset: bigint }): unknown {
    try {
      const { serializer, parse } = this.#open;
      if (parse !== null) {
        const { metadataText } = written;
        return metadataText === null ? null : parse(metadataText);
      }
      const { metadata } = written;
      return metadata === null ? null : atOnce(serializer.deserialize(metadata), 'the serializer');
    } catch (cause) {
      const where = `${this.name}-${event.partition} at ${event.offset}`;
      throw unusable(`read metadata of ${where}`, 'it cannot be read', cause);
    }
  }

  /** The partition that the topic's selector chooses. @throws DirectError */
  selectPartition(metadata: unknown, key: Uint8Array | null): number {
    const { selectPartition } = this.#open;
    if (selectPartition === null)
      throw new DirectError('INVALID_ARGUMENT', 'the topic leaves the partition to each push', {
        doing: `push to ${this.name}`,
        todo: 'give it as options.partition',
      });
    try {
      return atOnce(selectPartition(metadata, key, this.partitions), 'the partition selector');
    } catch (cause) {
      throw unusable(`push to ${this.name}`, 'no partition can be chosen for it', cause);
    }
  }

  /**
   * Adds a newer version of an Avro schema, after a check that what is there can be read as it; does nothing when it is the newest already.
   * Several may do so at the same time: each version is checked against all that come before it. Handles that are open go on with the
   * version before; open the topic again to use the newer one. Rejects with INVALID_ARGUMENT when events could not be read as it.
   */
  evolve(schema: object | string, { signal }: Abortable = {}): Promise<void> {
    const doing = `evolve the schema of ${this.name}`;
    return unlessAborted(() => this.#evolve(schema, doing), doing, signal);
  }

  /** The gateway takes only what begins with the versions that it has: who comes second looks at what the first has added. */
  async #evolve(schema: object | string, doing: string): Promise<void> {
    for (let others = 0; ; others++) {
      try {
        await this.#addVersion(schema, doing);
        return;
      } catch (error) {
        const isOvertaken = error instanceof DirectError && error.code === 'CONFLICT';
        if (!isOvertaken || others === MAX_SCHEMA_VERSIONS) throw error;
      }
    }
  }

  async #addVersion(schema: object | string, doing: string): Promise<void> {
    const { cluster } = this.#context;
    const owner = { type: 'topic', name: this.name } as const;
    // Others may have added versions since this handle was opened: events name them by their place.
    const { serializer } = formOfConfigs(await describeConfigs(cluster, owner), doing);
    if (serializer.type !== 'avro')
      throw new DirectError('INVALID_ARGUMENT', `the serializer is ${serializer.type}, not avro`, { doing });
    if (JSON.stringify(serializer.schemas.at(-1)) === JSON.stringify(schema)) return;
    const schemas = [...serializer.schemas, schema];
    checkEvolution(schemas);
    const value = configsOfForm({ serializer: { type: 'avro', schemas } })[FORM_CONFIGS.serializer]!;
    await alterConfigs(cluster, owner, { [FORM_CONFIGS.serializer]: value }, doing);
  }

  #invalid(problem: string): DirectError {
    return new DirectError('INVALID_METADATA', problem, { doing: `push to ${this.name}` });
  }
}

/** What code of applications and of libraries has thrown, which may be anything. */
function unusable(doing: string, what: string, cause: unknown): DirectError {
  if (cause instanceof DirectError) return cause;
  const why = cause instanceof Error ? cause.message : textOf(cause);
  return new DirectError('INVALID_METADATA', `${what} (${why})`, { doing, cause });
}
