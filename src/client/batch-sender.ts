import type { Codec } from '../native/codec.ts';
import { ErrorCode } from '../protocol/errors.ts';
import { directPutRequest } from '../protocol/generated/direct-put-request.ts';
import { directPutResponse } from '../protocol/generated/direct-put-response.ts';
import { produceRequest } from '../protocol/generated/produce-request.ts';
import { produceResponse } from '../protocol/generated/produce-response.ts';
import type { Uuid } from '../protocol/wire/types.ts';
import { BatchBuffers } from './batch-buffers.ts';
import {
  type BatchProducer,
  complete,
  type EncodedBatch,
  type EventRecord,
  encodeBatch,
} from './batch-encoder.ts';
import type { Cluster, DataChannel } from './cluster.ts';
import { brokerError, DirectError, mayPass } from './errors.ts';
import { inPlace } from './mapped-memory.ts';
import type { ProducerIdentity } from './producer-identity.ts';
import { PushedTopic } from './pushed-topic.ts';
import {
  type Path,
  RegionRefused,
  type RegisteredBuffer,
  type SharedPool,
  UNREACHABLE,
} from './shared-memory.ts';
import type { TopicHandle } from './topic.ts';

const PRODUCE_VERSION = 13;
/** Batches with less data of a size that is worth it go inline also where memory is shared. */
const SHARED_MIN_BYTES = 32 * 1024;
/** Less mapped memory of an event is copied into a batch with others, if there are others: that costs less than a batch of its own, at both ends. */
const ALONE_BYTES = 256 * 1024;
/** What a request has beside its batch, at most. */
const FRAME_OVERHEAD_BYTES = 4096;
/** Of the place of one piece of data. */
const PLACE_BYTES = 24;

export interface BatchSenderOptions {
  readonly topic: TopicHandle;
  readonly cluster: Cluster;
  readonly pool: SharedPool;
  readonly acks: 'all' | 1;
  readonly transactionalId: string | null;
  /** Of batches of small data. */
  readonly codec: Codec;
}

export interface SendableBatch extends EncodedBatch {
  /** Data that is memory of the gateway: once the batch is acknowledged, buffers of which it is all are the gateway's. */
  readonly lent: readonly Uint8Array[];
}

/** Where a batch is sent. */
interface Destination {
  readonly leader: number;
  readonly topicId: Uuid;
  readonly index: number;
}

/** In the name of whom a batch is sent. */
export interface BatchIdentity extends ProducerIdentity {
  readonly baseSequence: number;
}

/**
 * Sends batches of one topic, over one connection to each gateway: as Produce, or as a put whose data the gateway takes from registered memory. While a
 * put of a partition is under way, everything for it goes as a put, small as it may be: gateways answer puts and Produce in the order of
 * requests, but older ones append a Produce that is behind a put first.
 */
export class BatchSender {
  readonly #name: string;
  readonly #topic: PushedTopic;
  readonly #cluster: Cluster;
  readonly #pool: SharedPool;
  readonly #acks: number;
  readonly #transactionalId: string | null;
  readonly #codec: Codec;
  /** Puts under way, by partition. */
  readonly #puts = new Map<number, number>();
  readonly #buffers = new BatchBuffers();
  #path: Path | null = null;

  constructor({ topic, cluster, pool, acks, transactionalId, codec }: BatchSenderOptions) {
    this.#codec = codec;
    this.#name = topic.name;
    this.#topic = new PushedTopic(topic, cluster);
    this.#cluster = cluster;
    this.#pool = pool;
    this.#acks = acks === 'all' ? -1 : 1;
    this.#transactionalId = transactionalId;
  }

  /** How large data has moved, last; null before the first. */
  get path(): Path | null {
    return this.#path;
  }

  /** Events as a batch that can be sent, again and again, until it is acknowledged. */
  encode(events: readonly EventRecord[]): SendableBatch {
    const { pieces, bytes, eventOf, dataBytes, buffer } = encodeBatch(events, this.#codec, this.#buffers);
    return { pieces, bytes, eventOf, dataBytes, buffer, lent: this.#pool.lentOf(events) };
  }

  /**
   * Resolves to the offset of the first event. `sent` is called once the request is on its way: what is sent after that comes behind it.
   * @param isRetry whether to ask anew who leads the partition
   */
  async send(
    partition: number,
    batch: SendableBatch,
    identity: BatchIdentity | null,
    isRetry: boolean,
    sent: () => void,
  ): Promise<bigint> {
    const to = await this.#find(partition, isRetry);
    const channel = await this.#cluster.channel(to.leader, 'put');
    const producer = identity && this.#producerOf(identity);
    const isInline = !this.#puts.has(partition) && batch.dataBytes < SHARED_MIN_BYTES;
    if (channel.attachment.path === 'tcp' || isInline) {
      if (channel.attachment.path === 'tcp') this.#path = 'tcp';
      const offset = await this.#produce(channel, to, batch, producer, sent);
      this.#acknowledged(batch);
      return offset;
    }
    const staged: RegisteredBuffer[] = [];
    try {
      const offset = await this.#sendShared(channel, to, batch, producer, staged, sent);
      this.#acknowledged(batch);
      return offset;
    } finally {
      // An answer has come, or the connection is gone: the gateway no longer reads there.
      for (const buffer of staged) buffer.release();
    }
  }

  /** A topic that is not there may be about to be made anew: that is waited for. */
  async #find(partition: number, isRetry: boolean): Promise<Destination> {
    try {
      const leader = await this.#cluster.leaderOf(this.#name, partition, isRetry);
      const id = this.#topic.idFor(partition, isRetry);
      return { leader, topicId: typeof id === 'string' ? id : await id, index: partition };
    } catch (error) {
      throw mayPass(error);
    }
  }

  /** Whether the event should not share its batch: then its data is pushed from where it is. */
  isAlone({ data, dataBytes }: EventRecord): boolean {
    return dataBytes >= ALONE_BYTES && data?.length === 1 && this.#pool.isWhole(data[0]!);
  }

  #producerOf({ producerId, producerEpoch, baseSequence }: BatchIdentity): BatchProducer {
    return { producerId, producerEpoch, baseSequence, isTransactional: this.#transactionalId !== null };
  }

  #acknowledged({ lent, buffer }: SendableBatch): void {
    this.#pool.handedOver(lent);
    this.#buffers.give(buffer);
  }

  async #sendShared(
    channel: DataChannel,
    to: Destination,
    batch: EncodedBatch,
    producer: BatchProducer | null,
    staged: RegisteredBuffer[],
    sent: () => void,
  ): Promise<bigint> {
    try {
      const placed = await this.#place(batch, staged);
      if (placed === null) {
        this.#path = 'tcp';
        return await this.#produce(channel, to, batch, producer, sent);
      }
      return await this.#put(channel, to, placed, producer, sent);
    } catch (error) {
      if (!(error instanceof RegionRefused)) throw error;
      this.#path = 'tcp';
      return await this.#produce(channel, to, batch, producer, sent);
    }
  }

  /** The batch with its data in shared memory; null when there is no room for it. */
  async #place(batch: EncodedBatch, staged: RegisteredBuffer[]): Promise<EncodedBatch | null> {
    const pieces: Uint8Array[] = [];
    const eventOf: number[] = [];
    for (let i = 0; i < batch.pieces.length; ) {
      const event = batch.eventOf[i]!;
      const end = this.#endOutside(batch, i);
      const piece = end === i ? batch.pieces[i++]! : await this.#stage(batch.pieces.slice(i, end), staged);
      if (piece === null) return null;
      pieces.push(piece);
      eventOf.push(event);
      i = Math.max(i, end);
    }
    return { ...batch, pieces, eventOf };
  }

  /** Where the data of one event ends, from piece `i` on, that is not in shared memory; what lies between its pieces is data, too. `i`: none. */
  #endOutside({ pieces, eventOf }: EncodedBatch, i: number): number {
    const event = eventOf[i]!;
    let end = i;
    if (event < 0) return end;
    for (let at = i; at < pieces.length; at++) {
      if (eventOf[at]! < 0) continue;
      if (eventOf[at] !== event || this.#pool.locate(pieces[at]!) !== null) break;
      end = at + 1;
    }
    return end;
  }

  /** A copy in shared memory; null when there is no room for it. */
  async #stage(pieces: readonly Uint8Array[], staged: RegisteredBuffer[]): Promise<Uint8Array | null> {
    const room = await this.#pool.allocate(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
    if (room === null) return null;
    staged.push(room);
    let at = 0;
    for (const piece of pieces) {
      room.bytes.set(piece, at);
      at += piece.byteLength;
    }
    return room.bytes;
  }

  async #produce(
    { connection, attachment }: DataChannel,
    { topicId, index }: Destination,
    batch: EncodedBatch,
    producer: BatchProducer | null,
    sent: () => void,
  ): Promise<bigint> {
    const doing = `push to ${this.#name}-${index}`;
    checkFrame(batch.bytes, attachment.limits, doing);
    complete(batch, producer);
    const called = connection.call(
      produceRequest,
      produceResponse,
      {
        transactionalId: this.#transactionalId,
        acks: this.#acks,
        timeoutMs: this.#cluster.options.requestTimeoutMs,
        topicData: [{ name: '', topicId, partitionData: [{ index, records: batch.pieces }] as never }],
      },
      { version: PRODUCE_VERSION, doing },
    );
    sent();
    const answer = await called;
    const [partition] = answer.responses[0]?.partitionResponses ?? [];
    return this.#offsetOf(partition, doing);
  }

  async #put(
    { connection, attachment }: DataChannel,
    { topicId, index }: Destination,
    encoded: EncodedBatch,
    producer: BatchProducer | null,
    sent: () => void,
  ): Promise<bigint> {
    const doing = `push to ${this.#name}-${index}`;
    complete(encoded, producer);
    const parts: Uint8Array[] = [];
    const data: { at: number; region: number; offset: bigint; length: number }[] = [];
    const whole = inPlace(encoded, (piece) => this.#pool.mappedAt(piece), attachment.mapped);
    if (whole !== null) data.push({ at: 0, ...whole });
    let at = 0;
    for (const [i, piece] of whole === null ? encoded.pieces.entries() : []) {
      const place = encoded.eventOf[i]! >= 0 ? this.#pool.locate(piece) : null;
      if (place === null) {
        parts.push(piece);
        at += piece.byteLength;
        continue;
      }
      const region = await attachment.regionOf(place.chunk);
      data.push({ at, region, offset: BigInt(place.offset), length: piece.byteLength });
    }
    checkFrame(at + data.length * PLACE_BYTES, attachment.limits, doing);
    const called = connection.call(
      directPutRequest,
      directPutResponse,
      {
        attachmentId: attachment.id,
        transactionalId: this.#transactionalId,
        acks: this.#acks,
        // For memory of the gateway: it says that it has none before its answer is no longer waited for.
        timeoutMs: Math.ceil(this.#cluster.options.requestTimeoutMs / 2),
        topics: [{ topicId, partitions: [{ index, batch: Buffer.concat(parts), data }] }],
      },
      { doing },
    );
    this.#puts.set(index, (this.#puts.get(index) ?? 0) + 1);
    sent();
    const answer = await called
      .catch((error: unknown) => {
        throw whole !== null && producer === null ? takenOrNot(error, doing) : error;
      })
      .finally(() => {
        const left = this.#puts.get(index)! - 1;
        if (left > 0) this.#puts.set(index, left);
        else this.#puts.delete(index);
      });
    // Its memory cannot be reached any more: the next attempt attaches anew.
    if (answer.errorCode === ErrorCode.NETWORK_EXCEPTION) connection.abandon(UNREACHABLE);
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, answer.errorMessage, doing);
    this.#path = whole === null ? attachment.path : 'mapped';
    return this.#offsetOf(answer.topics[0]?.partitions[0], doing);
  }

  #offsetOf(
    partition: { errorCode: number; errorMessage: string | null; baseOffset: bigint } | undefined,
    doing: string,
  ): bigint {
    if (partition === undefined)
      throw new DirectError('BROKER', 'an answer without the partition', { doing });
    const { errorCode, errorMessage, baseOffset } = partition;
    if (errorCode === ErrorCode.DUPLICATE_SEQUENCE_NUMBER) return -1n; // it is there, too long ago for its offset to be known
    if (errorCode === ErrorCode.UNKNOWN_TOPIC_ID) throw deleted(doing);
    if (errorCode !== 0) throw brokerError(errorCode, errorMessage, doing);
    return baseOffset;
  }
}

/** The gateway would close the connection, which would be tried again. @throws DirectError MESSAGE_TOO_LARGE */
function checkFrame(bytes: number, { frameBytes }: { frameBytes: number }, doing: string): void {
  if (bytes + FRAME_OVERHEAD_BYTES <= frameBytes) return;
  const message = `${bytes} bytes in one request, ${frameBytes} are allowed (socket.request.max.bytes)`;
  throw brokerError(ErrorCode.MESSAGE_TOO_LARGE, message, doing);
}

/** It may have been made anew: the next attempt looks. */
function deleted(doing: string): DirectError {
  return new DirectError('BROKER', 'the topic was deleted (UNKNOWN_TOPIC_ID)', {
    doing,
    broker: 'UNKNOWN_TOPIC_ID',
    retriable: true,
  });
}

/** The gateway may have taken the memory over, and use it otherwise: what is there now must not be sent again as the event. */
function takenOrNot(error: unknown, doing: string): unknown {
  if (!(error instanceof DirectError) || !error.retriable) return error;
  return new DirectError('CONNECTION', 'the answer was lost, and the data may be the gateway’s now', {
    doing,
    retriable: false,
    todo: 'look whether the event is there',
    cause: error,
  });
}
