import type { Reference } from '../../backend/payload/payload-recovery.ts';
import { hasExtent, unpaced } from '../../backend/payload/stores/extent-check.ts';
import { StoreError } from '../../backend/payload/stores/messages.ts';
import type { PayloadStores } from '../../backend/payload/stores/payload-stores.ts';
import type { SegmentRecord } from '../../backend/payload/stores/segment-record.ts';
import {
  generationIn,
  generationOf,
  parseStoredName,
  storedName,
} from '../../backend/payload/stores/stored-name.ts';
import { partitionName } from '../../backend/payload/tiers/directories.ts';

/** What is wrong with the copies of one segment. */
export interface CopyProblem {
  /** `copy`: at one store, while another has it whole. */
  readonly kind: 'missing' | 'damaged' | 'copy';
  readonly file: string;
  readonly offset: bigint;
  readonly detail: string;
}

/** A file that a store has and no record of a segment names. */
export interface UnknownCopy {
  readonly store: string;
  readonly file: string;
  readonly bytes: number;
  /** Why it may be somebody's; null: it is nobody's. */
  readonly doubt: string | null;
}

/** The copies of segments at stores, as they are there, while the gateway does not run. */
export class StoreCopies {
  readonly #stores: PayloadStores;
  /** By store: the bytes of each file. */
  readonly #listed: Map<string, Map<string, number>>;
  readonly #named = new Set<string>();
  /** How names of partitions begin whose topic id is not known. */
  readonly #unnameable: string[] = [];

  private constructor(stores: PayloadStores, listed: Map<string, Map<string, number>>) {
    this.#stores = stores;
    this.#listed = listed;
  }

  /** Asks all stores that are there what they have. */
  static async survey(stores: PayloadStores): Promise<StoreCopies> {
    const listed = new Map<string, Map<string, number>>();
    for (const peer of stores.peers) {
      if (!peer.isUp || peer.id === null) continue;
      const files = new Map<string, number>();
      for await (const { file, bytes } of peer.files()) files.set(file, bytes);
      listed.set(peer.id, files);
    }
    return new StoreCopies(stores, listed);
  }

  /** Why not all copies could be looked at; null: they could. */
  get outage(): string | null {
    return this.#stores.outage;
  }

  /** Of the segment's copies, whether or not anybody refers to it. */
  name(partition: string, segment: number, { copies }: SegmentRecord): void {
    for (const { incarnation } of copies) this.#named.add(storedName({ partition, segment, incarnation }));
  }

  /** Some segments of the partition cannot be named: none of its copies is unknown. */
  cannotName(topic: string, partition: number): void {
    this.#unnameable.push(partitionName(topic, partition, ''));
  }

  /** Checks all copies of what the log refers to in one segment. `read`: with checksums, otherwise only lengths. */
  async check(
    partition: string,
    record: SegmentRecord,
    references: readonly Reference[],
    read: boolean,
  ): Promise<CopyProblem[]> {
    const segment = references[0]!.segmentId;
    const file = storedName({ partition, segment, incarnation: record.incarnation });
    const problems: CopyProblem[] = [];
    const bad = new Map<string, number>();
    for (const reference of references) {
      const found: string[] = [];
      let whole = 0;
      for (const { store, incarnation } of record.copies) {
        const name = storedName({ partition, segment, incarnation });
        const trouble = await this.#troubleAt(store, name, reference, read);
        if (trouble === null) {
          whole++;
          continue;
        }
        found.push(`${store}: ${trouble}`);
        bad.set(store, (bad.get(store) ?? 0) + 1);
      }
      if (whole > 0) continue;
      const kind = found.some((text) => text.endsWith(CHANGED)) ? 'damaged' : 'missing';
      const detail = found.join('; ') || 'no store has it';
      problems.push({ kind, file: `stores:${file}`, offset: reference.baseOffset, detail });
    }
    const offset = references[0]!.baseOffset;
    for (const [store, count] of bad)
      problems.push({
        kind: 'copy',
        file: `stores:${file}`,
        offset,
        detail: `the copy at the store ${store} lacks ${count} of ${references.length} extents; a gateway that runs makes it anew`,
      });
    return problems.filter(({ kind }) => kind !== 'copy' || problems.every((other) => other.kind === 'copy'));
  }

  /** Null when the store has it. */
  async #troubleAt(store: string, file: string, reference: Reference, read: boolean): Promise<string | null> {
    const peer = this.#stores.peer(store);
    const files = this.#listed.get(store);
    if (peer === null || files === undefined) return 'the store is not there';
    const bytes = files.get(file);
    const { position, length } = reference;
    if (bytes === undefined) return 'there is no copy';
    if (bytes < position + length) return `${length} bytes at ${position}, but the copy has ${bytes} bytes`;
    if (!read) return null;
    try {
      return (await hasExtent(peer, file, reference, unpaced)) ? null : CHANGED;
    } catch (error) {
      if (error instanceof StoreError && error.code === 'ENOMEM') throw error;
      return (error as Error).message;
    }
  }

  /** What no record names; only when all records were seen. `directoryIds`: of the log directories that were looked at. */
  unknown(directoryIds: readonly string[]): UnknownCopy[] {
    const generations = new Set(directoryIds.map(generationOf));
    const found: UnknownCopy[] = [];
    for (const [store, files] of this.#listed)
      for (const [file, bytes] of files)
        if (!this.#named.has(file))
          found.push({ store, file, bytes, doubt: this.#doubtAbout(file, generations) });
    return found;
  }

  #doubtAbout(file: string, generations: ReadonlySet<string>): string | null {
    if (this.#unnameable.some((prefix) => file.startsWith(prefix)))
      return 'a partition without partition.metadata may have it';
    const name = parseStoredName(file);
    if (name !== null && generations.has(generationIn(name))) return null;
    return this.#named.size === 0 ? 'no segment is recorded at all' : 'another log directory has made it';
  }

  async remove({ store, file }: UnknownCopy): Promise<void> {
    await this.#stores.peer(store)?.request({ op: 'remove', file });
  }
}

const CHANGED = 'it is not what was produced';
