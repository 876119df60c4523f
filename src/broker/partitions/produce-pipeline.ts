import type { PartitionLog } from '../../backend/log/partition-log.ts';
import type { AppendResult } from '../../backend/log/partition-log-types.ts';
import type { ClientOrigin } from '../../backend/log/producer-entry.ts';
import type { PartitionPayloads } from '../../backend/payload/partition-payloads.ts';
import type { PendingExtent } from '../../backend/payload/pending-extent.ts';
import type { NativeMemory } from '../../native/arena.ts';
import {
  type BatchCheck,
  type CheckOptions,
  checkBatchesSoon,
  locateReferenceBatch,
  recompressBatch,
  storeTimestamps,
} from '../../native/batch.ts';
import type { Codec } from '../../native/codec.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import { BATCH_HEADER_SIZE } from '../../protocol/records/batch-header.ts';
import type { Clock } from '../../util/clock.ts';
import type { PartitionConfig } from './config.ts';
import { findReference } from './diverted-batch.ts';
import { InOrder } from './in-order.ts';
import { type Appended, ProduceJob } from './produce-job.ts';
import { acceptable, checkOptions, codecOf } from './produce-rules.ts';

/** The store that this broker's own payload belongs to; others come with store processes. */
const LOCAL_STORE_ID = 0;

/** What the pipeline tells its partition. */
export interface ProduceEvents {
  /** Records below `endOffset` are in the log; `bytes` is what the newest batch has for consumers. */
  written(endOffset: bigint, bytes: number): void;
  /** A batch went to the payload tier. */
  diverted(batch: DivertedEvent): void;
}

export interface DivertedEvent {
  baseOffset: bigint;
  records: number;
  /** Of its records section. */
  extentBytes: number;
  /** What the log got. */
  reference: Uint8Array;
}

interface Diverted {
  readonly reference: Uint8Array;
  readonly records: number;
  /** Of the pieces of the records section; null: it has none. */
  readonly pieceCrcs: Uint32Array | null;
  /** The header of the batch as it was produced. */
  readonly header: Uint8Array;
}

interface Stored {
  readonly diverted: Diverted;
  readonly extent: PendingExtent;
}

/**
 * The way of produced batches into one partition, in the order in which they came:
 *  1. checked, natively: as they arrived, or small ones now, or others on the pool, several at a time;
 *  2. if diverted, the records section written to the payload tier;
 *  3. appended to the log, which assigns offsets: a reference never precedes its payload;
 *  4. visible once written, and acknowledged then, or after the flush that acks=all asks for.
 */
export class ProducePipeline {
  readonly #log: PartitionLog;
  readonly #payloads: PartitionPayloads;
  readonly #clock: Clock;
  readonly #events: ProduceEvents;
  readonly #checked = new InOrder();
  readonly #stored = new InOrder();
  readonly #written = new InOrder();

  constructor(log: PartitionLog, payloads: PartitionPayloads, clock: Clock, events: ProduceEvents) {
    this.#log = log;
    this.#payloads = payloads;
    this.#clock = clock;
    this.#events = events;
  }

  /**
   * Appends one batch.
   * @param records the batch, a view into the request's frame
   * @param frame the frame's memory, or null if the view is valid only during the call
   * @param allReplicas acks=all: answer when the batch is durable, unless log.durability=os
   * @param inTransaction whether a transactional batch was found to belong to an open transaction
   * @param origin see `ClientOrigin`
   * @returns what is appended already, else a promise; that rejects with a ProduceError that holds Kafka's code
   */
  append(
    records: Uint8Array,
    frame: NativeMemory | null,
    config: PartitionConfig,
    allReplicas: boolean,
    inTransaction: boolean,
    origin: ClientOrigin,
  ): Appended | Promise<Appended> {
    const job = new ProduceJob(this.#hold(records, frame), {
      config,
      origin,
      allReplicas,
      inTransaction,
    });
    const check = this.#check(job);
    // Most batches need not wait for anything, and are spared what waiting takes; likewise in the next steps.
    if (!(check instanceof Promise) && this.#checked.size === 0) this.#store(job, check);
    else
      this.#checked.submit(
        check,
        (found) => this.#store(job, found),
        (error) => giveUp(job, error),
      );
    return job.outcome();
  }

  /** Appends a batch of a coordinator, which needs no validation; it queues behind what clients produce. */
  appendAsCoordinator(batch: Uint8Array, config: PartitionConfig): Promise<Appended> {
    const job = new ProduceJob(batch, {
      config,
      origin: 'coordinator',
      allReplicas: true,
      inTransaction: true,
    });
    this.#checked.submit(
      null,
      () => this.#appendPlain(job),
      (error) => giveUp(job, error),
    );
    return Promise.resolve(job.outcome());
  }

  /** Lets nothing through that comes from now on, until it is told to; resolves, with that, when all that came before is written. */
  hold(): Promise<() => void> {
    let letGo = () => {};
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const nothing = () => {};
    return new Promise((resolve) => {
      const written = () => this.#written.submit(null, () => resolve(letGo), nothing);
      this.#checked.submit(null, () => this.#stored.submit(null, written, nothing), nothing);
      this.#checked.submit(gate, nothing, nothing);
    });
  }

  #check(job: ProduceJob): BatchCheck | Promise<BatchCheck> {
    const { batch, config, inTransaction } = job;
    const nowMs = this.#clock.now();
    if (config.logAppendTime) job.logAppendTimeMs = BigInt(nowMs);
    const options = checkOptions(config, nowMs);
    const { byteLength } = batch;
    if (config.compression === null) {
      try {
        const checks = checkBatchesSoon(batch, options);
        if (Array.isArray(checks)) return acceptable(checks, byteLength, inTransaction);
        // The batch is appended after this call, when a view of the request may hold something else.
        if (batch instanceof Uint8Array) job.batch = Uint8Array.from(batch);
        return checks.then((found) => acceptable(found, byteLength, inTransaction));
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#checkAndRecompress(job, options, config.compression);
  }

  async #checkAndRecompress(job: ProduceJob, options: CheckOptions, codec: Codec): Promise<BatchCheck> {
    if (job.batch instanceof Uint8Array) job.batch = Uint8Array.from(job.batch);
    const { batch, inTransaction } = job;
    const found = await checkBatchesSoon(batch, options);
    const check = acceptable(found, batch.byteLength, inTransaction);
    if (codecOf(check.attributes) === codec) return check;
    const packed = await recompressBatch(batch, codec, check.uncompressedBytes);
    if (batch instanceof MemoryPiece) batch.memory.release();
    job.batch = packed;
    const unlimited = { ...options, maxBatchBytes: Number.POSITIVE_INFINITY };
    return acceptable(await checkBatchesSoon(packed, unlimited), packed.byteLength, inTransaction);
  }

  /** The batch in a form that outlives the call if it has to wait behind others. */
  #hold(records: Uint8Array, frame: NativeMemory | null): Uint8Array | MemoryPiece {
    if (frame !== null) {
      return new MemoryPiece(
        frame.retain(),
        records.byteOffset - frame.bytes().byteOffset,
        records.byteLength,
      );
    }
    return this.#checked.size > 0 || this.#stored.size > 0 ? Uint8Array.from(records) : records;
  }

  #store(job: ProduceJob, check: BatchCheck): void {
    try {
      storeTimestamps(job.batch, check);
      const { reference } = check;
      if (reference === null || findReference(reference) < 0) this.#appendPlain(job);
      else {
        const { recordCount: records, pieceCrcs } = check;
        this.#divert(job, { reference, records, pieceCrcs, header: headerOf(job.batch) });
      }
    } catch (error) {
      giveUp(job, error);
    }
  }

  /** Behind what is being diverted. */
  #appendPlain(job: ProduceJob): void {
    if (this.#stored.size === 0) this.#append(job, null);
    else
      this.#stored.submit(
        null,
        () => this.#append(job, null),
        (error) => giveUp(job, error),
      );
  }

  /** Writes the records section as an extent; the reference batch follows it into the log. */
  #divert(job: ProduceJob, diverted: Diverted): void {
    const section = sectionOf(job.batch);
    const extent = this.#payloads.append(section, job.config.ackFromMemory, diverted.pieceCrcs);
    this.#stored.submit(
      extent.written,
      () => this.#append(job, { diverted, extent }),
      (error) => {
        this.#giveBack(extent);
        giveUp(job, error);
      },
    );
  }

  #append(job: ProduceJob, stored: Stored | null): void {
    try {
      const bytes = stored === null ? job.batch : located(stored);
      const appended = this.#log.append(bytes, job.origin, job.config.ackFromMemory);
      const durable = job.flush ? this.#flush() : null;
      if (appended.written === null && this.#written.size === 0) this.#finish(job, stored, appended, durable);
      else
        this.#written.submit(
          appended.written,
          () => this.#finish(job, stored, appended, durable),
          (error) => {
            if (stored !== null) this.#giveBack(stored.extent);
            job.fail(error);
          },
        );
      job.releaseBatch();
    } catch (error) {
      stored?.extent.abandon();
      giveUp(job, error);
    }
  }

  #finish(
    job: ProduceJob,
    stored: Stored | null,
    appended: AppendResult,
    durable: Promise<unknown> | null,
  ): void {
    const { baseOffset, lastOffset, duplicate } = appended;
    if (duplicate) {
      stored?.extent.abandon();
    } else {
      if (stored !== null) this.#commit(stored, baseOffset, lastOffset);
      this.#events.written(lastOffset + 1n, job.batch.byteLength);
    }
    // Why a batch that comes again was not acknowledged at first may still be so.
    const done =
      duplicate && job.allReplicas
        ? Promise.resolve(durable).then(() => this.#payloads.assertEnoughCopies(baseOffset, lastOffset))
        : durable;
    if (done === null) job.succeed(baseOffset);
    else
      done.then(
        () => job.succeed(baseOffset),
        (error) => job.fail(error),
      );
  }

  #commit(
    { extent, diverted: { reference, records } }: Stored,
    baseOffset: bigint,
    lastOffset: bigint,
  ): void {
    extent.commit(baseOffset, lastOffset);
    this.#events.diverted({ baseOffset, records, extentBytes: extent.length, reference });
  }

  /**
   * The payload, or the reference to it, could not be written: the segment ends before it. So a full disk gets back what it holds, and what
   * else the segment holds can be flushed again.
   */
  #giveBack(extent: PendingExtent): void {
    extent.abandon();
    this.#payloads.endSegment();
  }

  /** Payload and log together, as the log does it: a batch behind another is durable only with what it stands on. */
  #flush(): Promise<unknown> {
    const flushed = this.#log.flush();
    // Whoever waits for it hears of a failure; it may come before anybody does.
    flushed.catch(() => undefined);
    return flushed;
  }
}

/** The header, still valid when the batch has been written. */
function headerOf(batch: Uint8Array | MemoryPiece): Uint8Array {
  return batch instanceof MemoryPiece ? batch.bytes() : Uint8Array.from(batch.subarray(0, BATCH_HEADER_SIZE));
}

function sectionOf(batch: Uint8Array | MemoryPiece): Uint8Array | MemoryPiece {
  if (!(batch instanceof MemoryPiece)) return batch.subarray(BATCH_HEADER_SIZE);
  return new MemoryPiece(
    batch.memory,
    batch.offset + BATCH_HEADER_SIZE,
    batch.byteLength - BATCH_HEADER_SIZE,
  );
}

function located({ diverted: { reference, header }, extent }: Stored): Uint8Array {
  const location = { storeId: LOCAL_STORE_ID, segmentId: extent.segmentId, extentPosition: extent.position };
  locateReferenceBatch(reference, header, location);
  return reference;
}

/** It does not get into the log. */
function giveUp(job: ProduceJob, error: unknown): void {
  job.releaseBatch();
  job.fail(error);
}
