import type * as Kafka from '@platformatic/kafka';
import { byTopic } from '../../client/consumer-protocol.ts';
import { bytesOf, nameOf, type OutputRecord, type TopicPartition } from '../records.ts';
import { type Cluster, CoordinatorType } from './cluster.ts';
import { BrokerError } from './errors.ts';
import { Sequences } from './sequences.ts';

const ALL_IN_SYNC = -1;
const PRODUCE_TIMEOUT_MS = 30_000;
/** Of one batch; below the 1 MiB that topics take by default. */
const MAX_BATCH_BYTES = 512 * 1024;

export interface WriterOptions {
  /** Null: idempotent, without transactions. */
  readonly transactionalId: string | null;
  readonly transactionTimeoutMs: number;
  readonly compression: Kafka.CompressionAlgorithmValue;
}

/** Who commits offsets: a member of a group in its generation. */
export interface GroupIdentity {
  readonly groupId: string;
  readonly generation: number;
  readonly memberId: string;
}

export interface OffsetToCommit extends TopicPartition {
  readonly offset: number;
  readonly metadata: string;
}

interface Batch extends TopicPartition {
  readonly records: readonly OutputRecord[];
}

/**
 * Writes records and commits offsets, in transactions if it has a transactional id. After an error it is of no use any more: a new one with
 * the same id fences it and aborts what it has left open, whatever became of its last requests.
 */
export class Writer {
  readonly #cluster: Cluster;
  readonly #options: WriterOptions;
  #producerId = -1n;
  #epoch = -1;
  readonly #sequences = new Sequences();
  /** Partitions that the open transaction has. */
  readonly #added = new Set<string>();
  #groupAdded = false;

  constructor(cluster: Cluster, options: WriterOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  get #open(): boolean {
    return this.#added.size > 0 || this.#groupAdded;
  }

  /** Gets the producer's id; with a transactional id that fences who had it, and waits until its transaction has ended. */
  async start(): Promise<void> {
    const { transactionalId, transactionTimeoutMs } = this.#options;
    const { initProducerId } = this.#cluster.apis;
    const answer = await this.#cluster.retry(async () => {
      const initialized =
        transactionalId === null
          ? await this.#cluster.callAny(initProducerId, null, transactionTimeoutMs, -1n, -1)
          : await this.#coordinate(initProducerId, transactionalId, transactionTimeoutMs, -1n, -1);
      this.#cluster.check(initialized.errorCode, `get a producer id for ${transactionalId ?? 'a task'}`);
      return initialized;
    });
    this.#producerId = answer.producerId;
    this.#epoch = answer.producerEpoch;
  }

  #coordinate<A extends unknown[], R>(versions: readonly Kafka.API<A, R>[], ...args: A): Promise<R> {
    const id = this.#options.transactionalId!;
    return this.#cluster.callCoordinator(CoordinatorType.transaction, id, versions, ...args);
  }

  /** Resolves when all are in their logs, in their order within each partition. */
  async write(records: readonly OutputRecord[]): Promise<void> {
    if (records.length === 0) return;
    await this.#add(records);
    // Batches of one partition follow each other; those of different ones share requests.
    for (let waiting = batchesOf(records); waiting.length > 0; ) {
      const seen = new Set<string>();
      const now = waiting.filter((batch) => !seen.has(nameOf(batch)) && seen.add(nameOf(batch)));
      waiting = waiting.filter((batch) => !now.includes(batch));
      await this.#produce(now);
    }
  }

  async #add(records: readonly OutputRecord[]): Promise<void> {
    const { transactionalId } = this.#options;
    if (transactionalId === null) return;
    const fresh = [
      ...new Map(records.map(({ topic, partition }) => [`${topic}-${partition}`, { topic, partition }])),
    ].filter(([name]) => !this.#added.has(name));
    if (fresh.length === 0) return;
    const topics = byTopic(fresh.map(([, partition]) => partition)).map(([name, items]) => ({
      name,
      partitions: items.map(({ partition }) => partition),
    }));
    const transaction = {
      transactionalId,
      producerId: this.#producerId,
      producerEpoch: this.#epoch,
      verifyOnly: false,
      topics,
    };
    await this.#cluster.retry(async () => {
      const answer = await this.#coordinate(this.#cluster.apis.addPartitions, [transaction]);
      const results = answer.resultsByTransaction.flatMap(({ topicResults }) => topicResults);
      const codes = results.flatMap(({ resultsByPartition }) =>
        resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode),
      );
      // Of several, one was not even tried because of another: that one says why.
      const code = codes.find((one) => one !== 0 && this.#cluster.idOf(one) !== 'OPERATION_NOT_ATTEMPTED');
      this.#cluster.check(code ?? 0, `add partitions to transaction ${transactionalId}`);
      if (codes.length === 0 || codes.some((one) => one !== 0))
        throw new BrokerError('REQUEST_TIMED_OUT', `add partitions to transaction ${transactionalId}`);
    });
    for (const [name] of fresh) this.#added.add(name);
  }

  /** One batch for each partition; those that fail in passing are sent again, with the same sequence numbers. */
  async #produce(batches: readonly Batch[]): Promise<void> {
    let open = [...batches];
    await this.#cluster.retry(async () => {
      const groups = await this.#cluster.byLeader(open);
      const results = await Promise.allSettled(
        [...groups].map(([leader, group]) =>
          this.#send(leader, group, (done) => {
            this.#sequences.advance(done, done.records.length);
            open = open.filter((batch) => batch !== done);
          }),
        ),
      );
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    });
  }

  async #send(leader: number, batches: readonly Batch[], done: (batch: Batch) => void): Promise<void> {
    const { transactionalId, compression } = this.#options;
    const messages = batches.flatMap(({ records }) => records.map(messageOf));
    const answer = await this.#cluster.callNode(
      leader,
      this.#cluster.apis.produce,
      ALL_IN_SYNC,
      PRODUCE_TIMEOUT_MS,
      messages,
      {
        compression,
        producerId: this.#producerId,
        producerEpoch: this.#epoch,
        sequences: this.#sequences as unknown as Kafka.CreateRecordsBatchOptions['sequences'],
        ...(transactionalId === null ? {} : { transactionalId }),
      },
    );
    if (typeof answer === 'boolean') throw new BrokerError('NETWORK_EXCEPTION', 'produce');
    let failed: BrokerError | null = null;
    for (const { name: topic, partitionResponses } of answer.responses) {
      for (const { index: partition, errorCode } of partitionResponses) {
        const id = errorCode === 0 ? null : this.#cluster.idOf(errorCode);
        const batch = batches.find((one) => one.topic === topic && one.partition === partition);
        if (batch === undefined) continue;
        if (id === null || id === 'DUPLICATE_SEQUENCE_NUMBER') done(batch);
        else failed ??= new BrokerError(id, `write to ${topic}-${partition}`);
      }
    }
    if (failed !== null) throw failed;
  }

  /** Commits what has been written, and the offsets with it: both or nothing, if there is a transactional id. */
  async commit(group: GroupIdentity, offsets: readonly OffsetToCommit[]): Promise<void> {
    const topics = byTopic(offsets).map(([name, items]) => ({
      name,
      partitions: items.map(({ partition, offset, metadata }) => ({
        partitionIndex: partition,
        committedOffset: BigInt(offset),
        committedLeaderEpoch: -1,
        committedMetadata: metadata,
      })),
    }));
    if (this.#options.transactionalId === null) {
      if (topics.length > 0) await this.#commitPlainly(group, topics);
      return;
    }
    if (topics.length > 0) await this.#commitInTransaction(group, topics);
    if (!this.#open) return;
    await this.#end(true);
  }

  async #commitPlainly(
    group: GroupIdentity,
    topics: Kafka.offsetCommitV9.OffsetCommitRequestTopic[],
  ): Promise<void> {
    const { groupId, generation, memberId } = group;
    const { offsetCommit } = this.#cluster.apis;
    await this.#cluster.retry(async () => {
      const answer = await this.#cluster.callCoordinator(
        CoordinatorType.group,
        groupId,
        offsetCommit,
        groupId,
        generation,
        memberId,
        null,
        topics,
      );
      this.#checkAll(answer.topics, groupId);
    });
  }

  async #commitInTransaction(
    group: GroupIdentity,
    topics: Kafka.txnOffsetCommitV4.TxnOffsetCommitRequestTopic[],
  ): Promise<void> {
    const { groupId, generation, memberId } = group;
    const transactionalId = this.#options.transactionalId!;
    const { addOffsets, txnOffsetCommit } = this.#cluster.apis;
    const [producerId, epoch] = [this.#producerId, this.#epoch];
    await this.#cluster.retry(async () => {
      const { errorCode } = await this.#coordinate(addOffsets, transactionalId, producerId, epoch, groupId);
      this.#cluster.check(errorCode, `add offsets to transaction ${transactionalId}`);
    });
    this.#groupAdded = true;
    await this.#cluster.retry(async () => {
      const answer = await this.#cluster.callCoordinator(
        CoordinatorType.group,
        groupId,
        txnOffsetCommit,
        transactionalId,
        groupId,
        producerId,
        epoch,
        generation,
        memberId,
        null,
        topics,
      );
      this.#checkAll(answer.topics, groupId);
    });
  }

  #checkAll(
    topics: readonly { readonly partitions: readonly { readonly errorCode: number }[] }[],
    group: string,
  ): void {
    for (const { partitions } of topics)
      for (const { errorCode } of partitions)
        this.#cluster.check(errorCode, `commit offsets of group ${group}`);
  }

  /** Aborts what is open, if anything. */
  async abort(): Promise<void> {
    if (this.#open) await this.#end(false);
  }

  async #end(commit: boolean): Promise<void> {
    const transactionalId = this.#options.transactionalId!;
    const { endTxn } = this.#cluster.apis;
    await this.#cluster.retry(async () => {
      const { errorCode } = await this.#coordinate(
        endTxn,
        transactionalId,
        this.#producerId,
        this.#epoch,
        commit,
      );
      this.#cluster.check(errorCode, `${commit ? 'commit' : 'abort'} transaction ${transactionalId}`);
    });
    this.#added.clear();
    this.#groupAdded = false;
  }
}

function messageOf({ topic, partition, key, value, timestamp, headers }: OutputRecord): Kafka.MessageRecord {
  return {
    topic,
    partition,
    timestamp: BigInt(timestamp),
    // Null is written as such, also for values, whatever the client's type says.
    value: value as Buffer,
    headers: new Map(headers.map(([name, content]) => [Buffer.from(name), content as Buffer] as const)),
    ...(key === null ? {} : { key }),
  };
}

/** Records cut into batches, in order. */
function batchesOf(records: readonly OutputRecord[]): Batch[] {
  const open = new Map<string, { batch: Batch & { records: OutputRecord[] }; bytes: number }>();
  const batches: Batch[] = [];
  for (const record of records) {
    const { topic, partition } = record;
    const bytes = bytesOf(record);
    const current = open.get(nameOf(record));
    if (current !== undefined && current.bytes + bytes <= MAX_BATCH_BYTES) {
      current.batch.records.push(record);
      current.bytes += bytes;
      continue;
    }
    const batch = { topic, partition, records: [record] };
    batches.push(batch);
    open.set(nameOf(record), { batch, bytes });
  }
  return batches;
}
