import { checkClientOptions } from '../../src/client/client-options.ts';
import { Cluster } from '../../src/client/cluster.ts';
import { fetchRecords } from '../../src/client/fetch.ts';
import { readFetched } from '../../src/client/fetched-batches.ts';
import { SectionReader } from '../../src/client/fetched-record.ts';
import { Getter } from '../../src/client/getter.ts';
import type { ClientOptions } from '../../src/client/index.ts';
import type { Referenced } from '../../src/client/references.ts';
import { SharedPool } from '../../src/client/shared-memory.ts';

/** A client that uses references that it is handed, wherever they come from. */
export class RawReferences {
  readonly #cluster: Cluster;
  readonly #getter: Getter;

  constructor(options: ClientOptions) {
    const { sharedChunkBytes, sharedMaxBytes, ...ways } = checkClientOptions(options);
    this.#cluster = new Cluster(ways);
    this.#getter = new Getter(this.#cluster, new SharedPool(sharedChunkBytes, sharedMaxBytes));
  }

  /** The first record's of partition 0, by a Fetch of this client. */
  async fetch(topic: string): Promise<Referenced> {
    const node = await this.#cluster.leaderOf(topic, 0);
    const [answer] = await fetchRecords(
      await this.#cluster.connection(node, 'control'),
      [{ topic, partition: 0, fetchOffset: 0n }],
      { maxBytes: 1 << 20, maxWaitMs: 0, isolationLevel: 1, requestTimeoutMs: 60_000 },
    );
    const [section] = readFetched(answer!.records!, 0n, []).sections;
    const record = new SectionReader(section!, 0n).next()!;
    return {
      node,
      size: record.referenced!,
      crc: record.referencedCrc,
      reference: record.value!,
      batch: section!,
      copyOfSameBatch: (to, at) => record.copyOfSameBatch(to, at),
      doing: 'get what a reference names',
      renew: () => Promise.resolve(false),
    };
  }

  /** The first bytes of its value, or all of it. Rejects with a DirectError when the gateway refuses. */
  async get(value: Referenced, length = value.size): Promise<Uint8Array> {
    const target = new Uint8Array(length);
    await this.#getter.get(value, [{ offset: 0, length, count: 1, stride: length }], target);
    return target;
  }

  /** As `get`, where it lies in the gateway's memory. */
  async view(value: Referenced): Promise<Uint8Array> {
    const { size: length } = value;
    const view = await this.#getter.view(value, { offset: 0, length, count: 1, stride: length });
    if (view === null) throw new Error('it cannot be viewed here');
    const bytes = new Uint8Array(view.bytes);
    view.release();
    return bytes;
  }

  close(): void {
    this.#cluster.close();
  }
}
