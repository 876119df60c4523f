import { type Cluster, METADATA_AGE_MS, type TopicInfo } from './cluster.ts';

const NO_IDS: ReadonlyMap<string, string> = new Map();

/** Notices that topics have more partitions than they had, or are gone, made anew, or there at last: nobody tells unasked. */
export class TopicWatch {
  readonly #cluster: Pick<Cluster, 'topics' | 'isClosed'>;
  readonly #onChanged: () => void;
  readonly #everyMs: number;
  #counts: ReadonlyMap<string, number> = new Map();
  #ids = NO_IDS;
  #timer: NodeJS.Timeout | null = null;

  /** @param onChanged called again and again until something else is watched */
  constructor(
    cluster: Pick<Cluster, 'topics' | 'isClosed'>,
    onChanged: () => void,
    everyMs: number = METADATA_AGE_MS,
  ) {
    this.#cluster = cluster;
    this.#onChanged = onChanged;
    this.#everyMs = everyMs;
  }

  /**
   * From now on, in place of what was watched before.
   * @param counts of partitions, by topic; 0: there is none
   * @param ids of those of which it matters whether they are made anew
   */
  watch(counts: ReadonlyMap<string, number>, ids: ReadonlyMap<string, string> = NO_IDS): void {
    this.end();
    this.#counts = counts;
    this.#ids = ids;
    if (counts.size === 0) return;
    this.#timer = setInterval(() => void this.#look(), this.#everyMs);
    this.#timer.unref();
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#counts = new Map();
  }

  async #look(): Promise<void> {
    const counts = this.#counts;
    if (this.#cluster.isClosed) return this.end();
    const found = await this.#cluster.topics([...counts.keys()]).catch(() => null);
    // It is looked again later, or something else is watched.
    if (found === null || counts !== this.#counts) return;
    const now = countsAmong([...counts.keys()], found);
    const isAnother = ({ name, id }: TopicInfo) => this.#ids.has(name) && this.#ids.get(name) !== id;
    if ([...counts].some(([name, count]) => now.get(name) !== count) || found.some(isAnother))
      this.#onChanged();
  }
}

/** How many partitions each topic has; 0 of one that there is not. */
export async function countsOf(
  cluster: Pick<Cluster, 'topics'>,
  names: readonly string[],
): Promise<Map<string, number>> {
  return countsAmong(names, await cluster.topics(names));
}

function countsAmong(names: readonly string[], found: readonly TopicInfo[]): Map<string, number> {
  const counts = new Map(names.map((name) => [name, 0]));
  for (const { name, partitions } of found) counts.set(name, partitions.length);
  return counts;
}
