import { addEvent } from './add-event.ts';
import { BatchSender } from './batch-sender.ts';
import type { Cluster } from './cluster.ts';
import type { Consumer } from './consumer.ts';
import { Delivery } from './delivery.ts';
import { type Abortable, asDirectError, checkSignal, DirectError, unlessAborted } from './errors.ts';
import type { PushResult } from './lane.ts';
import { newIdentity } from './producer-identity.ts';
import {
  type CheckedProducerOptions,
  CODECS,
  checkProducerOptions,
  type ProducerOptions,
} from './producer-options.ts';
import { eventRecord, type PushedEvent } from './push-event.ts';
import { PushRoom } from './push-room.ts';
import type { Path, SharedPool } from './shared-memory.ts';
import type { TopicHandle } from './topic.ts';
import { Transactions } from './transactions.ts';

export interface PushOptions {
  key?: Uint8Array | string | null;
  /** Others than the metadata, for any Kafka client to see. */
  headers?: Readonly<Record<string, Uint8Array | string>>;
  /** Chosen by the topic's selector when absent. */
  partition?: number;
  /** Milliseconds since the epoch; now when absent. */
  timestamp?: number;
  /** Takes the event back while it is not on its way: ABORTED. From then on the push ends as it ends. */
  signal?: AbortSignal;
}

/** Data of an event: bytes, or pieces of them that become one value. */
export type EventData = ArrayBufferView | ArrayBufferLike | readonly ArrayBufferView[] | null;

/** Events, and offsets of consumers, that take effect together or not at all. */
export interface Transaction {
  /** As `push` of the producer; a push that fails makes the transaction fail, whether or not its promise is looked at. */
  push(metadata: unknown, data?: EventData, options?: PushOptions): Promise<PushResult>;
  /**
   * What the consumer has acknowledged is committed with the transaction. It has to be a member of a group, with `commitEveryMs: 'transaction'`.
   * Rejects with FENCED when its partitions have gone to another member.
   */
  sendOffsets(consumer: Consumer, options?: Abortable): Promise<void>;
  /** Resolves when everything has taken effect. After a rejection it has to be aborted. A signal ends the wait alone. */
  commit(options?: Abortable): Promise<void>;
  /** Nothing of it takes effect. A signal ends the wait alone. */
  abort(options?: Abortable): Promise<void>;
}

/**
 * Pushes events to one topic. The data of a push must not change until its promise settles. What cannot be sent at once is tried
 * again until the delivery time is over. Events of one partition keep the order of their pushes, without duplicates, if it is idempotent.
 */
export class Producer {
  readonly #topic: TopicHandle;
  /** For people, in errors of pushes. */
  readonly #doing: string;
  readonly #sender: BatchSender;
  readonly #room: PushRoom;
  readonly #delivery: Delivery;
  /** Null: events are pushed outside transactions. */
  readonly #transactions: Transactions | null;
  /** Pushes that wait for room. */
  readonly #waiting = new Set<Promise<unknown>>();
  /** The commit that was asked for last. */
  #committing: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(topic: TopicHandle, cluster: Cluster, pool: SharedPool, options: ProducerOptions) {
    const checked = checkProducerOptions(options);
    const { acks, idempotent, transactionalId, maxBufferedBytes, maxBlockMs } = checked;
    this.#topic = topic;
    this.#doing = `push to ${topic.name}`;
    this.#sender = new BatchSender({
      topic,
      cluster,
      pool,
      acks,
      transactionalId,
      codec: CODECS[checked.compression],
    });
    this.#room = new PushRoom(maxBufferedBytes, maxBlockMs);
    this.#delivery = new Delivery({
      ...checked,
      sender: this.#sender,
      doing: this.#doing,
      identify: idempotent ? () => newIdentity(cluster, this.#doing) : null,
      onLost: transactionalId === null ? null : (error) => this.#transactions!.fail(error),
      onSettled: (bytes) => this.#room.give(bytes),
      isWaitedFor: () => this.#room.isWaitedFor,
    });
    this.#transactions = transactionsOf(checked, cluster, this.#delivery);
  }

  /** How large data has moved, last; null before the first. */
  get path(): Path | null {
    return this.#sender.path;
  }

  /** Bytes pushed and not yet acknowledged. */
  get bufferedBytes(): number {
    return this.#room.bytes;
  }

  /**
   * Pushes one event. Resolves when it is acknowledged.
   * @param metadata checked by the topic's validator, written by its serializer; small
   * @param data any size; owned by the producer until the promise settles. Bytes of `client.allocate` are not copied
   */
  push(metadata: unknown, data: EventData = EMPTY, options: PushOptions = NO_OPTIONS): Promise<PushResult> {
    try {
      return this.#push(metadata, data, options);
    } catch (error) {
      return Promise.reject(asDirectError(error, this.#doing, 'INVALID_ARGUMENT'));
    }
  }

  #push(metadata: unknown, data: EventData, options: PushOptions): Promise<PushResult> {
    const doing = this.#doing;
    if (this.#closed) throw new DirectError('CLOSED', 'the producer is closed', { doing });
    checkSignal(options.signal, doing);
    const event = eventRecord(this.#topic.serialize(metadata), data, options, doing);
    const partition = options.partition ?? this.#topic.selectPartition(metadata, event.key);
    if (!(Number.isInteger(partition) && partition >= 0 && partition < this.#topic.partitions))
      throw new DirectError('INVALID_ARGUMENT', `partition ${partition} of ${this.#topic.partitions}`, {
        doing,
      });
    this.#transactions?.check();
    if (this.#room.takeNow(event.bytes))
      return addEvent(this.#delivery, partition, event, options.signal, doing);
    return this.#pushLater(partition, event, options.signal);
  }

  /** Pushes an event once there is room for it. */
  #pushLater(partition: number, event: PushedEvent, signal: AbortSignal | undefined): Promise<PushResult> {
    const add = () => addEvent(this.#delivery, partition, event, signal, this.#doing);
    const added = this.#room.take(event.bytes, this.#doing, signal, add);
    this.#delivery.hurry();
    const forget = () => this.#waiting.delete(added);
    this.#waiting.add(added);
    added.then(forget, forget);
    return added;
  }

  /**
   * Resolves when all that was pushed before is acknowledged, or has failed; what is pushed meanwhile is not waited for. A signal ends the wait
   * alone.
   */
  flush({ signal }: Abortable = {}): Promise<void> {
    const flush = () => this.#delivery.flush([...this.#waiting]);
    return unlessAborted(flush, `flush pushes to ${this.#topic.name}`, signal);
  }

  /**
   * Begins a transaction, one at a time: pushes belong to it until it ends. `transaction` does it for you. Needs `transactionalId`. Rejects with FENCED
   * when another producer has begun under the same id.
   */
  beginTransaction({ signal }: Abortable = {}): Promise<Transaction> {
    const doing = `begin a transaction on ${this.#topic.name}`;
    const begin = () => this.#begin(doing);
    return unlessAborted(begin, doing, signal, (late) => void late.abort().catch(() => undefined));
  }

  async #begin(doing: string): Promise<Transaction> {
    if (this.#closed) throw new DirectError('CLOSED', 'the producer is closed', { doing });
    const transactions = this.#transactions;
    if (transactions === null)
      throw new DirectError('INVALID_ARGUMENT', 'the producer is not transactional', {
        doing,
        todo: 'give it a transactionalId',
      });
    const number = await transactions.begin();
    // Whoever goes on with one that has ended must not do so in the next.
    const checked = <T>(action: () => Promise<T>): Promise<T> =>
      transactions.isCurrent(number)
        ? action()
        : Promise.reject(new DirectError('INVALID_ARGUMENT', 'the transaction has ended', { doing }));
    return {
      push: (metadata, data, options) => {
        const pushed = checked(() => this.push(metadata, data, options));
        // Whoever does not look at it learns it from the commit.
        pushed.catch((error: DirectError) => transactions.isCurrent(number) && transactions.fail(error));
        return pushed;
      },
      sendOffsets: (consumer, { signal } = {}) =>
        unlessAborted(() => checked(() => transactions.sendOffsets(consumer)), 'send offsets', signal),
      commit: ({ signal } = {}) =>
        unlessAborted(() => checked(() => this.#commit(transactions)), 'commit', signal),
      abort: ({ signal } = {}) => unlessAborted(() => checked(() => transactions.abort()), 'abort', signal),
    };
  }

  /**
   * Runs `work` in a transaction: commits when its promise resolves, aborts and rejects when it rejects or something pushed failed. Resolves to what
   * `work` resolved to. A signal that says so before `work` resolves makes it abort.
   */
  async transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    { signal }: Abortable = {},
  ): Promise<T> {
    const transaction = await this.beginTransaction({ signal });
    try {
      // In JavaScript it may have nothing to wait for.
      const working = async () => work(transaction);
      const result = await unlessAborted(working, `produce to ${this.#topic.name}`, signal);
      await transaction.commit();
      return result;
    } catch (error) {
      // The first error says what was wrong; a transaction that cannot be aborted either is ended by the gateway in time.
      await transaction.abort().catch(() => undefined);
      throw error;
    }
  }

  /** Sends what was pushed, and takes no more. A transaction that is open is aborted, unless its commit was asked for. A signal ends the wait alone. */
  close({ signal }: Abortable = {}): Promise<void> {
    const closing = this.#close();
    closing.catch(() => undefined); // told to whoever waits
    return unlessAborted(() => closing, `close a producer to ${this.#topic.name}`, signal);
  }

  async #close(): Promise<void> {
    this.#closed = true;
    await this.#committing;
    if (this.#transactions?.isOpen) await this.#transactions.abort();
    await this.flush();
  }

  #commit(transactions: Transactions): Promise<void> {
    // Pushes that wait for room are part of it.
    const committed = this.flush().then(() => transactions.commit());
    this.#committing = committed.catch(() => undefined);
    return committed;
  }
}

const EMPTY = new Uint8Array(0);
const NO_OPTIONS: PushOptions = {};

function transactionsOf(
  { transactionalId, transactionTimeoutMs, deliveryTimeoutMs }: CheckedProducerOptions,
  cluster: Cluster,
  delivery: Delivery,
): Transactions | null {
  if (transactionalId === null) return null;
  const timeoutMs = deliveryTimeoutMs;
  return new Transactions({ cluster, transactionalId, transactionTimeoutMs, timeoutMs, delivery });
}
