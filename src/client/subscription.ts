import type { Cluster } from './cluster.ts';
import type { AssignedPartition } from './consumer-protocol.ts';
import { DirectError, isUnknownTopic } from './errors.ts';
import type { TopicHandle } from './topic.ts';
import { TopicWatch } from './topic-watch.ts';

/** A partition of a topic that is there. */
export interface TopicPartition extends AssignedPartition {
  readonly handle: TopicHandle;
}

/** The topics that a consumer reads, while they are there. One that was deleted and made anew is another, with a form of its own. */
export class Subscription {
  readonly #cluster: Pick<Cluster, 'topics' | 'isClosed'>;
  readonly #open: (name: string) => Promise<TopicHandle>;
  readonly #watch: TopicWatch;
  #handles: ReadonlyMap<string, TopicHandle> = new Map();
  /** Those that were not there when they were looked for last. */
  #missing: ReadonlySet<string> = new Set();

  /** @param onChanged see TopicWatch */
  constructor(
    cluster: Pick<Cluster, 'topics' | 'isClosed'>,
    open: (name: string) => Promise<TopicHandle>,
    onChanged: () => void,
  ) {
    this.#cluster = cluster;
    this.#open = open;
    this.#watch = new TopicWatch(cluster, onChanged);
  }

  get names(): string[] {
    return [...this.#handles.keys()];
  }

  /** Each as its form is now. */
  open(names: readonly string[]): Promise<TopicHandle[]> {
    return Promise.all(names.map((name) => this.#open(name)));
  }

  /** These topics, which are there, in place of those before. */
  use(topics: readonly TopicHandle[]): void {
    this.#handles = new Map(topics.map((topic) => [topic.name, topic]));
    this.#missing = new Set();
  }

  /** Looks which topics are there, and opens those that were made anew. */
  async refresh(): Promise<void> {
    const handles = this.#handles;
    const found = new Map((await this.#cluster.topics(this.names)).map(({ name, id }) => [name, id]));
    const now = await Promise.all(
      [...handles.values()].map(async (handle) => {
        const id = found.get(handle.name);
        if (id === undefined) return null;
        return id === handle.id ? handle : await this.#opened(handle.name);
      }),
    );
    // Others are subscribed to by now.
    if (handles !== this.#handles) return;
    this.#handles = new Map([...handles].map(([name, handle], i) => [name, now[i] ?? handle]));
    this.#missing = new Set(this.names.filter((_, i) => now[i] === null));
  }

  /** Why there is nothing to read; null when one of the topics is there, or none is subscribed to. */
  get absence(): DirectError | null {
    const { names } = this;
    if (names.length === 0 || this.#missing.size < names.length) return null;
    return new DirectError('BROKER', `${names.join(', ')} ${names.length > 1 ? 'are' : 'is'} not there`, {
      doing: 'read topics',
      broker: 'UNKNOWN_TOPIC_OR_PARTITION',
      todo: 'create the topic first',
    });
  }

  /** Null: it was deleted again. */
  #opened(name: string): Promise<TopicHandle | null> {
    return this.#open(name).catch((error: unknown) => {
      if (isUnknownTopic(error)) return null;
      throw error;
    });
  }

  /** A topic that is there. */
  find(name: string): TopicHandle | null {
    return this.#missing.has(name) ? null : (this.#handles.get(name) ?? null);
  }

  /** Whether it is that topic which is there. */
  has({ name, id }: TopicHandle): boolean {
    return this.find(name)?.id === id;
  }

  /** Of the topics that are there. @param given these partitions of each; undefined: all */
  partitions(given: readonly number[] | undefined): AssignedPartition[] {
    return this.names.flatMap((topic) => {
      const count = this.find(topic)?.partitions ?? 0;
      const partitions = given ?? Array.from({ length: count }, (_, i) => i);
      return count === 0 ? [] : partitions.map((partition) => ({ topic, partition }));
    });
  }

  /** Has it noticed from now on when topics are not as they are known. */
  watch(): void {
    const ids = new Map<string, string>();
    const counts = new Map<string, number>();
    for (const name of this.names) {
      const handle = this.find(name);
      counts.set(name, handle?.partitions ?? 0);
      if (handle !== null) ids.set(name, handle.id);
    }
    this.#watch.watch(counts, ids);
  }

  end(): void {
    this.#watch.end();
  }
}
