import type { TopicPartition } from '../records.ts';

/** After the highest, 2^31 - 1, they begin at 0 again, as those of Kafka's producers. */
const SEQUENCES = 2 ** 31;

/** The sequence numbers of a producer's next records, in the form in which the client asks for them. */
export class Sequences {
  readonly #next = new Map<string, number>();

  /** Counts records that a partition has. */
  advance({ topic, partition }: TopicPartition, records: number): void {
    const key = `${topic}:${partition}`;
    this.#next.set(key, (this.getWithDefault(key, 0) + records) % SEQUENCES);
  }

  /** @param key "topic:partition" */
  getWithDefault(key: string, fallback: number): number {
    return this.#next.get(key) ?? fallback;
  }
}
