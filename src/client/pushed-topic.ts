import { isDeepStrictEqual } from 'node:util';
import type { Uuid } from '../protocol/wire/types.ts';
import type { Cluster } from './cluster.ts';
import { describeConfigs } from './configs.ts';
import { DirectError } from './errors.ts';
import type { TopicHandle } from './topic.ts';
import { formOfConfigs } from './topic-form.ts';

/** The topic that has the name of one which was opened: another, once that was deleted and made anew. */
export class PushedTopic {
  readonly #opened: TopicHandle;
  readonly #cluster: Cluster;
  /** By partition: what is under way to the one before is refused, and must not be overtaken. */
  readonly #ids = new Map<number, Uuid>();
  /** Of the last whose events have the form that the handle gives them. */
  #alike: Uuid;

  constructor(opened: TopicHandle, cluster: Cluster) {
    this.#opened = opened;
    this.#cluster = cluster;
    this.#alike = opened.id;
  }

  /**
   * Under which id a batch is pushed; at once unless that is another. Rejects with CONFLICT when events of that topic have another form.
   * @param isRetry whether nothing else is under way to the partition: then it goes by what was heard of the topic last
   */
  idFor(partition: number, isRetry: boolean): Uuid | Promise<Uuid> {
    const before = this.#ids.get(partition);
    if (before !== undefined && !isRetry) return before;
    const id = this.#cluster.known(this.#opened.name)?.id ?? this.#opened.id;
    if (id !== this.#alike) return this.#checkForm(id).then(() => this.#use(partition, id));
    return this.#use(partition, id);
  }

  #use(partition: number, id: Uuid): Uuid {
    this.#ids.set(partition, id);
    return id;
  }

  async #checkForm(id: Uuid): Promise<void> {
    const { name, form } = this.#opened;
    const doing = `push to ${name}`;
    const now = formOfConfigs(await describeConfigs(this.#cluster, { type: 'topic', name }), doing);
    if (!isDeepStrictEqual(now, form))
      throw new DirectError('CONFLICT', 'the topic was made anew, and its events have another form', {
        doing,
        todo: 'open the topic again',
      });
    this.#alike = id;
  }
}
