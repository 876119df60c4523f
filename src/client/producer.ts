import { initProducerIdRequest } from '../protocol/generated/init-producer-id-request.ts';
import { initProducerIdResponse } from '../protocol/generated/init-producer-id-response.ts';
import type { RecordHeader } from '../protocol/records/builder.ts';
import { type EventRecord, METADATA_HEADER, overheadOf } from './batch-encoder.ts';
import { BatchSender } from './batch-sender.ts';
import type { Cluster } from './cluster.ts';
import { aborted, brokerError, DirectError } from './errors.ts';
import type { Path, SharedPool } from './shared-memory.ts';
import type { TopicHandle } from './topic.ts';

const RETRY_MS = 50;

export interface ProducerOptions {
  /** Events of one batch; default 128. */
  batchSize?: number;
  /** Bytes at which a batch is full; larger events have one of their own. Default 4 MiB. */
  batchBytes?: number;
  /** How long a batch may wait for more events, in milliseconds; 'adaptive' (default): while the one before is under way. */
  lingerMs?: number | 'adaptive';
  /** Batches under way for one partition at the same time, 1 to 5; default 5. */
  maxInFlight?: number;
  /** Bytes pushed and not yet acknowledged, above which pushes wait. Default 256 MiB; one event may exceed it. */
  maxBufferedBytes?: number;
  /** How long a push may wait for room; default 60 s. */
  maxBlockMs?: number;
  /** How long an event may take until it is acknowledged, attempts included; default 120 s. */
  deliveryTimeoutMs?: number;
  /** 'all' (default): when it is as durable as the topic promises; 1: when it is written. */
  acks?: 'all' | 1;
  /** No duplicates and no gaps by attempts that were made again. Default true; needs acks 'all'. */
  idempotent?: boolean;
}

export interface PushOptions {
  key?: Uint8Array | string | null;
  /** Others than the metadata, for any Kafka client to see. */
  headers?: Readonly<Record<string, Uint8Array | string>>;
  /** Chosen by the topic's selector when absent. */
  partition?: number;
  /** Milliseconds since the epoch; now when absent. */
  timestamp?: number;
  signal?: AbortSignal;
}

export interface PushResult {
  readonly partition: number;
  /** -1n: the gateway had the event already and does not say where. */
  readonly offset: bigint;
}

/** Data of an event: bytes, or pieces of them that become one value. */
export type EventData = ArrayBufferView | ArrayBufferLike | readonly ArrayBufferView[] | null;

interface Waiting {
  readonly event: EventRecord;
  readonly bytes: number;
  readonly resolve: (result: PushResult) => void;
  readonly reject: (error: Error) => void;
}

interface Batch {
  readonly events: Waiting[];
  bytes: number;
  readonly deadline: number;
  sequence: number;
  timer: NodeJS.Timeout | null;
  attempts: number;
  /** Nobody knows whether it was appended. */
  uncertain: boolean;
}

/** The events of one partition, in their order. */
class Lane {
  readonly partition: number;
  open: Batch | null = null;
  readonly full: Batch[] = [];
  inFlight = 0;
  sequence = 0;
  /** When the batch before is on its way. */
  turn: Promise<void> = Promise.resolve();
  /** Attempts again, one at a time, until what failed is through. */
  readonly failed: Batch[] = [];

  constructor(partition: number) {
    this.partition = partition;
  }

  get isIdle(): boolean {
    return this.open === null && this.full.length === 0 && this.inFlight === 0 && this.failed.length === 0;
  }
}

/**
 * Pushes events to one topic. The data of a push must not change until its promise settles. Events of one partition keep the order of their
 * pushes. What cannot be sent at once is tried again, without duplicates, until the delivery time is over.
 */
export class Producer {
  readonly #topic: TopicHandle;
  readonly #cluster: Cluster;
  readonly #sender: BatchSender;
  readonly #options: Required<ProducerOptions>;
  readonly #lanes = new Map<number, Lane>();
  readonly #blocked: { bytes: number; enter: () => void; fail: (error: Error) => void }[] = [];
  #bufferedBytes = 0;
  #identity: { producerId: bigint; producerEpoch: number } | null = null;
  #identifying: Promise<void> | null = null;
  /** An event was lost: sequences begin anew, under another id, once nothing is under way. */
  #identityIsStale = false;
  #closed = false;
  #onIdle: (() => void)[] = [];

  constructor(topic: TopicHandle, cluster: Cluster, pool: SharedPool, options: ProducerOptions) {
    this.#topic = topic;
    this.#cluster = cluster;
    this.#options = {
      batchSize: 128,
      batchBytes: 4 << 20,
      lingerMs: 'adaptive',
      maxInFlight: 5,
      maxBufferedBytes: 256 << 20,
      maxBlockMs: 60_000,
      deliveryTimeoutMs: 120_000,
      acks: 'all',
      idempotent: options.acks !== 1,
      ...options,
    };
    const { idempotent, acks, maxInFlight, batchSize } = this.#options;
    if (idempotent && acks !== 'all') throw invalid('an idempotent producer needs acks "all"');
    if (!(maxInFlight >= 1 && maxInFlight <= 5)) throw invalid(`maxInFlight is ${maxInFlight}, not 1 to 5`);
    this.#sender = new BatchSender(topic, cluster, pool, acks);
    if (!(batchSize >= 1)) throw invalid(`batchSize is ${batchSize}`);
  }

  /** How large data has moved, last; null before the first. */
  get path(): Path | null {
    return this.#sender.path;
  }

  /** Bytes pushed and not yet acknowledged. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /**
   * Pushes one event. Resolves when it is acknowledged.
   * @param metadata checked by the topic's validator, written by its serializer; small
   * @param data any size; owned by the producer until the promise settles. Bytes of `client.allocate` are not copied
   */
  async push(metadata: unknown, data: EventData = EMPTY, options: PushOptions = {}): Promise<PushResult> {
    const doing = `push to ${this.#topic.name}`;
    if (this.#closed) throw new DirectError('CLOSED', 'the producer is closed', { doing });
    if (options.signal?.aborted) throw aborted(doing, options.signal);
    const event = this.#eventOf(metadata, data, options);
    const partition = options.partition ?? this.#topic.select(metadata, event.key);
    if (!(partition >= 0 && partition < this.#topic.partitions))
      throw invalid(`partition ${partition} of ${this.#topic.partitions}`, doing);
    const bytes = event.dataBytes + overheadOf(event);
    if (this.#blocked.length > 0 || !this.#hasRoomFor(bytes)) await this.#room(bytes, doing, options.signal);
    else this.#bufferedBytes += bytes;
    return new Promise((resolve, reject) => {
      this.#add(partition, { event, bytes, resolve, reject });
    });
  }

  /** Resolves when all that was pushed before is acknowledged, or has failed. */
  async flush(): Promise<void> {
    for (const lane of this.#lanes.values()) this.#seal(lane);
    while (this.#blocked.length > 0 || [...this.#lanes.values()].some((lane) => !lane.isIdle)) {
      for (const lane of this.#lanes.values()) this.#seal(lane);
      await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    }
  }

  /** Sends what was pushed, and takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  #eventOf(metadata: unknown, data: EventData, { key, headers, timestamp }: PushOptions): EventRecord {
    const encoded: RecordHeader[] = [{ key: METADATA_HEADER, value: this.#topic.serialize(metadata) }];
    for (const [name, value] of Object.entries(headers ?? {}))
      encoded.push({ key: name, value: bytesOf(value) });
    const pieces = data === null ? null : piecesOf(data);
    let dataBytes = 0;
    for (const { byteLength } of pieces ?? []) dataBytes += byteLength;
    return {
      key: key === undefined || key === null ? null : bytesOf(key),
      data: pieces,
      dataBytes,
      headers: encoded,
      timestamp: timestamp ?? Date.now(),
    };
  }

  #hasRoomFor(bytes: number): boolean {
    return this.#bufferedBytes === 0 || this.#bufferedBytes + bytes <= this.#options.maxBufferedBytes;
  }

  /** First come, first served. */
  #room(bytes: number, doing: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const { maxBlockMs } = this.#options;
      const settle = (action: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        const at = this.#blocked.indexOf(entry);
        if (at >= 0) this.#blocked.splice(at, 1);
        action();
      };
      const entry = {
        bytes,
        enter: () => settle(resolve),
        fail: (error: Error) => settle(() => reject(error)),
      };
      const onAbort = () => settle(() => reject(aborted(doing, signal!)));
      const timer = setTimeout(
        () =>
          settle(() =>
            reject(
              new DirectError('BUFFER_FULL', `no room for ${bytes} bytes in ${maxBlockMs} ms`, {
                doing,
                todo: 'push less at a time, or raise maxBufferedBytes',
                retriable: true,
              }),
            ),
          ),
        maxBlockMs,
      );
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#blocked.push(entry);
    });
  }

  #released(bytes: number): void {
    this.#bufferedBytes -= bytes;
    for (
      let next = this.#blocked[0];
      next !== undefined && this.#hasRoomFor(next.bytes);
      next = this.#blocked[0]
    ) {
      this.#bufferedBytes += next.bytes;
      next.enter();
    }
  }

  #add(partition: number, waiting: Waiting): void {
    let lane = this.#lanes.get(partition);
    if (lane === undefined) {
      lane = new Lane(partition);
      this.#lanes.set(partition, lane);
    }
    const { batchSize, batchBytes, lingerMs, deliveryTimeoutMs } = this.#options;
    if (lane.open !== null && lane.open.bytes + waiting.bytes > batchBytes) this.#seal(lane);
    if (lane.open === null) {
      lane.open = {
        events: [],
        bytes: 0,
        deadline: Date.now() + deliveryTimeoutMs,
        sequence: -1,
        timer: null,
        attempts: 0,
        uncertain: false,
      };
      const { open } = lane;
      const owner = lane;
      // Events that are pushed in one go are sent in one batch.
      if (lingerMs === 'adaptive') setImmediate(() => owner.open === open && this.#pump(owner));
      else open.timer = setTimeout(() => owner.open === open && this.#seal(owner), lingerMs);
    }
    const { open } = lane;
    open.events.push(waiting);
    open.bytes += waiting.bytes;
    if (open.events.length >= batchSize || open.bytes >= batchBytes) this.#seal(lane);
  }

  /** The open batch takes no more. */
  #seal(lane: Lane): void {
    const { open } = lane;
    if (open === null) return;
    if (open.timer !== null) clearTimeout(open.timer);
    lane.open = null;
    lane.full.push(open);
    this.#pump(lane);
  }

  /** Sends what may be sent now. */
  #pump(lane: Lane): void {
    const { maxInFlight, idempotent, lingerMs } = this.#options;
    if (idempotent && !this.#identify()) return;
    if (lane.failed.length > 0) {
      // Order: what failed goes first, alone.
      if (lane.inFlight === 0) void this.#send(lane, lane.failed[0]!);
      return;
    }
    while (lane.inFlight < maxInFlight) {
      if (lane.full.length === 0 && lingerMs === 'adaptive' && lane.inFlight === 0 && lane.open !== null) {
        lane.full.push(lane.open);
        lane.open = null;
      }
      const batch = lane.full.shift();
      if (batch === undefined) return;
      batch.sequence = lane.sequence;
      lane.sequence = (lane.sequence + batch.events.length) % 2 ** 31;
      void this.#send(lane, batch);
    }
  }

  /** Whether there is an id under which batches can be sent; asks for one, and goes on then. */
  #identify(): boolean {
    if (this.#identityIsStale) {
      for (const lane of this.#lanes.values()) if (lane.inFlight > 0) return false;
      this.#identity = null;
      this.#identityIsStale = false;
      for (const lane of this.#lanes.values()) {
        this.#dropUncertain(lane);
        lane.full.unshift(...lane.failed.splice(0));
        lane.sequence = 0;
      }
    }
    if (this.#identity !== null) return true;
    this.#identifying ??= this.#initProducerId()
      .catch((error: unknown) => this.#giveUp(error as Error))
      .finally(() => {
        this.#identifying = null;
        if (this.#identity !== null) for (const lane of this.#lanes.values()) this.#pump(lane);
      });
    return false;
  }

  /** Under another id the gateway could not tell whether it has them. */
  #dropUncertain(lane: Lane): void {
    for (const batch of lane.failed.filter(({ uncertain }) => uncertain)) {
      lane.failed.splice(lane.failed.indexOf(batch), 1);
      const error = new DirectError('CONNECTION', 'the answer was lost, and an event before it failed', {
        doing: `push to ${this.#topic.name}`,
        retriable: false,
        todo: 'look whether the events are there',
      });
      this.#settle(batch, (waiting) => waiting.reject(error));
    }
  }

  async #initProducerId(): Promise<void> {
    const doing = `push to ${this.#topic.name}`;
    const deadline = Date.now() + this.#options.deliveryTimeoutMs;
    for (;;) {
      try {
        const connection = await this.#cluster.connection(-1, 'control');
        const answer = await connection.call(
          initProducerIdRequest,
          initProducerIdResponse,
          { transactionalId: null, transactionTimeoutMs: 60_000, producerId: -1n, producerEpoch: -1 },
          { version: 4, doing },
        );
        if (answer.errorCode !== 0) throw brokerError(answer.errorCode, null, doing);
        this.#identity = { producerId: answer.producerId, producerEpoch: answer.producerEpoch };
        return;
      } catch (error) {
        if (!(error instanceof DirectError && error.retriable) || Date.now() >= deadline) throw error;
        await pause(RETRY_MS);
      }
    }
  }

  /** Without an id nothing can be sent. */
  #giveUp(error: Error): void {
    for (const lane of this.#lanes.values()) {
      const batches = [...lane.failed.splice(0), ...lane.full.splice(0)];
      if (lane.open !== null) batches.push(lane.open);
      lane.open = null;
      for (const batch of batches) this.#settle(batch, (waiting) => waiting.reject(error));
    }
    this.#idle();
  }

  async #send(lane: Lane, batch: Batch): Promise<void> {
    lane.inFlight++;
    let failure: DirectError | null = null;
    let baseOffset = -1n;
    const { turn } = lane;
    let sent = () => {};
    lane.turn = new Promise<void>((resolve) => {
      sent = resolve;
    });
    try {
      await turn;
      const producer = this.#identity === null ? null : { ...this.#identity, baseSequence: batch.sequence };
      const events = batch.events.map(({ event }) => event);
      baseOffset = await this.#sender.send(lane.partition, events, producer, batch.attempts++ > 0, sent);
    } catch (error) {
      failure =
        error instanceof DirectError
          ? error
          : new DirectError('BROKER', String(error), { doing: `push to ${this.#topic.name}`, cause: error });
    }
    sent();
    lane.inFlight--;
    const again = lane.failed.indexOf(batch);
    if (failure === null) {
      if (again >= 0) lane.failed.splice(again, 1);
      const { partition } = lane;
      const offsetOf = (i: number) => (baseOffset < 0n ? -1n : baseOffset + BigInt(i));
      this.#settle(batch, (waiting, i) => waiting.resolve({ partition, offset: offsetOf(i) }));
    } else if (failure.retriable && Date.now() < batch.deadline && failure.code !== 'CLOSED') {
      if (again < 0) {
        lane.failed.push(batch);
        lane.failed.sort((a, b) => a.sequence - b.sequence);
      }
      batch.uncertain ||= failure.code === 'CONNECTION' || failure.code === 'TIMEOUT';
      if (lane.inFlight === 0) await pause(RETRY_MS);
    } else {
      if (again >= 0) lane.failed.splice(again, 1);
      this.#settle(batch, (waiting) => waiting.reject(failure));
      // Those behind it would be out of sequence.
      if (this.#options.idempotent) this.#identityIsStale = true;
    }
    if (this.#identityIsStale) for (const other of this.#lanes.values()) this.#pump(other);
    else this.#pump(lane);
    this.#idle();
  }

  #settle(batch: Batch, settle: (waiting: Waiting, index: number) => void): void {
    let bytes = 0;
    for (const [i, waiting] of batch.events.entries()) {
      bytes += waiting.bytes;
      settle(waiting, i);
    }
    this.#released(bytes);
  }

  #idle(): void {
    for (const waiting of this.#onIdle.splice(0)) waiting();
  }
}

const EMPTY = new Uint8Array(0);

function invalid(message: string, doing = 'make a producer'): DirectError {
  return new DirectError('INVALID_ARGUMENT', message, { doing });
}

function bytesOf(value: Uint8Array | string): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value;
}

function piecesOf(data: Exclude<EventData, null>): Uint8Array[] {
  if (ArrayBuffer.isView(data)) return [viewOf(data)];
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return [new Uint8Array(data)];
  return (data as readonly ArrayBufferView[]).map(viewOf);
}

function viewOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
