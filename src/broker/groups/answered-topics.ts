interface AnsweredTopic<P> {
  readonly name: string;
  /** When topics go by id. */
  readonly topicId?: string;
  readonly partitions: P[];
}

/**
 * The topics of an answer in Kafka's order: first the partitions that do not exist, then what the group says of the others, which joins
 * what is there of the same topic. Topics of which nothing is asked are left out.
 */
export class AnsweredTopics<T extends AnsweredTopic<P>, P = T['partitions'][number]> {
  readonly #refused = new Map<string, T>();
  readonly #asked: T[] = [];

  /**
   * Adds a topic of the request.
   * @returns the list in which a partition is answered, given whether that exists
   */
  add(exists: boolean, make: () => T): (partitionExists: boolean) => P[] {
    let asked: T | null = null;
    const refused = () => {
      const topic = make();
      const key = keyOf(topic);
      if (!this.#refused.has(key)) this.#refused.set(key, topic);
      return this.#refused.get(key)!.partitions;
    };
    if (!exists) refused();
    return (partitionExists) => {
      if (!partitionExists) return refused();
      if (asked === null) {
        asked = make();
        this.#asked.push(asked);
      }
      return asked.partitions;
    };
  }

  all(): T[] {
    if (this.#refused.size === 0) return this.#asked;
    const all = new Map(this.#refused);
    for (const topic of this.#asked) {
      const known = all.get(keyOf(topic));
      if (known === undefined) all.set(keyOf(topic), topic);
      else for (const partition of topic.partitions) known.partitions.push(partition);
    }
    return [...all.values()];
  }
}

function keyOf({ name, topicId = '' }: AnsweredTopic<unknown>): string {
  return `${topicId}/${name}`;
}
