import { MAX_TIMER_MS, monotonicMs } from '../util/clock.ts';
import type { BatchIdentity, BatchSender, SendableBatch } from './batch-sender.ts';
import { asDirectError, DirectError } from './errors.ts';
import { Batch, Lane, type PushResult } from './lane.ts';
import type { ProducerIdentity } from './producer-identity.ts';
import type { CheckedProducerOptions } from './producer-options.ts';
import type { PushedEvent } from './push-event.ts';

const RETRY_MS = 50;

export interface DeliveryOptions
  extends Pick<
    CheckedProducerOptions,
    'batchSize' | 'batchBytes' | 'lingerMs' | 'maxInFlight' | 'deliveryTimeoutMs'
  > {
  readonly sender: BatchSender;
  /** For people, in errors. */
  readonly doing: string;
  /** Under which id events are sent, in one attempt; null: under none, not idempotent. */
  readonly identify: (() => Promise<ProducerIdentity>) | null;
  /**
   * Transactions: an event was lost, and those behind it must not be sent. Null: an idempotent producer goes on under another id.
   */
  readonly onLost: ((error: DirectError) => void) | null;
  /** So many bytes are settled. */
  readonly onSettled: (bytes: number) => void;
  /** Whether others wait until events are settled: batches do not linger meanwhile. */
  readonly isWaitedFor: () => boolean;
}

/**
 * Puts events into batches, and sends those of each partition in order: several at a time, and after a failure again, one at a time, in their order.
 */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #lanes = new Map<number, Lane>();
  #identity: ProducerIdentity | null = null;
  #identifying: Promise<void> | null = null;
  /** An event was lost: sequences begin anew, under another id, once nothing is under way. */
  #identityIsStale = false;
  /** Batches whose events wait for their results. */
  readonly #unsettled = new Set<Batch>();
  /** Those who wait for all that was added: batches do not linger meanwhile. */
  #flushes = 0;
  /** Nothing is sent any more, until `restart`. */
  #abandoned: DirectError | null = null;
  #onIdle: (() => void)[] = [];
  #hasSent = false;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Whether something was sent since `restart`, whatever has become of it. */
  get hasSent(): boolean {
    return this.#hasSent;
  }

  /**
   * Resolves when the event is acknowledged.
   * @param isWithdrawable whether `withdraw` may be asked to take it back
   */
  add(partition: number, event: PushedEvent, isWithdrawable = false): Promise<PushResult> {
    if (this.#abandoned !== null) {
      this.#options.onSettled(event.bytes);
      return Promise.reject(this.#abandoned);
    }
    let lane = this.#lanes.get(partition);
    if (lane === undefined) {
      lane = new Lane(partition);
      this.#lanes.set(partition, lane);
    }
    const { batchSize, batchBytes, sender } = this.#options;
    const isAlone = sender.isAlone(event);
    if (lane.open !== null && (isAlone || lane.open.bytes + event.bytes > batchBytes)) this.#seal(lane);
    const batch = lane.open ?? this.#openIn(lane);
    const added = batch.add(event);
    batch.isWithdrawable ||= isWithdrawable;
    if (isAlone || batch.count >= batchSize || batch.bytes >= batchBytes) this.#seal(lane);
    return added;
  }

  /** Others wait for the room of what was added: it lingers no longer. Adaptive batches wait for those on their way alone. */
  hurry(): void {
    if (this.#options.lingerMs !== 'adaptive') this.#sealAll();
  }

  /** Takes an event back that is not on its way yet, and does not settle it. False: it is, or was. */
  withdraw(partition: number, event: PushedEvent): boolean {
    const batch = this.#lanes.get(partition)?.withdraw(event) ?? null;
    if (batch === null) return false;
    this.#options.onSettled(event.bytes);
    if (batch.count === 0) {
      this.#settled(batch);
      this.#idle();
    }
    return true;
  }

  /**
   * Resolves when all that was added before is acknowledged, or has failed; what is added meanwhile is not waited for.
   * @param others settle when what they stand for was added and has its result
   */
  async flush(others: Iterable<Promise<unknown>> = []): Promise<void> {
    this.#flushes++;
    try {
      this.#sealAll();
      let left = [...this.#unsettled];
      while (left.length > 0) {
        await new Promise<void>((resolve) => this.#onIdle.push(resolve));
        left = left.filter(({ settled }) => !settled);
      }
      await Promise.allSettled(others);
    } finally {
      this.#flushes--;
    }
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    while ([...this.#lanes.values()].some((lane) => !lane.isIdle)) {
      this.#sealAll();
      await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    }
  }

  /** Rejects what is not on its way, and what follows; what is on its way ends without further attempts. */
  abandon(error: DirectError): void {
    this.#abandoned ??= error;
    for (const lane of this.#lanes.values())
      for (const batch of lane.takeWaiting()) this.#reject(batch, error);
    this.#idle();
  }

  /** Goes on under another identity, with sequences from 0; nothing may be under way. */
  restart(identity: ProducerIdentity): void {
    this.#identity = identity;
    this.#abandoned = null;
    this.#hasSent = false;
    for (const lane of this.#lanes.values()) lane.sequence = 0;
  }

  #openIn(lane: Lane): Batch {
    const { lingerMs, deliveryTimeoutMs } = this.#options;
    const batch = new Batch(lane.partition, monotonicMs() + deliveryTimeoutMs);
    this.#unsettled.add(batch);
    lane.open = batch;
    // Events that are pushed in one go are sent in one batch: when the application waits for something else, not a turn of the event loop later.
    if (lingerMs === 'adaptive') process.nextTick(() => lane.open === batch && this.#pump(lane));
    else if (this.#flushes > 0 || this.#options.isWaitedFor())
      process.nextTick(() => lane.open === batch && this.#seal(lane));
    else {
      const seal = () => lane.open === batch && this.#seal(lane);
      batch.timer = setTimeout(seal, Math.min(lingerMs, MAX_TIMER_MS));
    }
    return batch;
  }

  #sealAll(): void {
    for (const lane of this.#lanes.values()) this.#seal(lane);
  }

  #seal(lane: Lane): void {
    const { open } = lane;
    if (open === null) return;
    lane.seal();
    this.#pump(lane);
    if (lane.full.at(-1) === open && !open.isWithdrawable) this.#encodeAhead(open);
  }

  /** The batch waits; what its events were made of need not. */
  #encodeAhead(batch: Batch): void {
    try {
      this.#encode(batch);
    } catch {
      // Found again, and told, when it is sent.
    }
  }

  #encode(batch: Batch): SendableBatch {
    batch.encoded ??= this.#options.sender.encode(batch.events.filter((event) => event !== null));
    batch.events = [];
    return batch.encoded;
  }

  /** Sends what may be sent now. */
  #pump(lane: Lane): void {
    const { maxInFlight, identify, lingerMs } = this.#options;
    if (identify !== null && !this.#identify(identify)) return;
    if (lane.failed.length > 0) {
      // Order: what failed goes first, alone.
      if (lane.inFlight === 0 && !lane.isResting) void this.#send(lane, lane.failed[0]!);
      return;
    }
    while (lane.inFlight < maxInFlight) {
      if (lane.full.length === 0 && lingerMs === 'adaptive' && lane.inFlight === 0) lane.seal();
      const batch = lane.next();
      if (batch === undefined) return;
      void this.#send(lane, batch);
    }
  }

  /** Whether there is an id under which batches can be sent; asks for one, and goes on then. */
  #identify(identify: () => Promise<ProducerIdentity>): boolean {
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
    this.#identifying ??= identify()
      .then(
        (identity) => {
          this.#identity = identity;
        },
        (error: unknown) => this.#unidentified(asDirectError(error, this.#options.doing)),
      )
      .finally(() => {
        this.#identifying = null;
        // Without an id: what came while the others were rejected.
        for (const lane of this.#lanes.values()) if (!lane.isIdle) this.#pump(lane);
      });
    return false;
  }

  /** Under another id the gateway could not tell whether it has them. */
  #dropUncertain(lane: Lane): void {
    for (const batch of lane.failed.filter(({ uncertain }) => uncertain)) {
      lane.forget(batch);
      const error = new DirectError('CONNECTION', 'the answer was lost, and an event before it failed', {
        doing: this.#options.doing,
        retriable: false,
        todo: 'look whether the events are there',
      });
      this.#reject(batch, error);
    }
  }

  /** Without an id nothing can be sent: what has no time left is rejected, or all, where another attempt would not mend it. */
  async #unidentified(error: DirectError): Promise<void> {
    const now = monotonicMs();
    const isOver = ({ deadline }: Batch) => !error.retriable || deadline <= now;
    for (const lane of this.#lanes.values())
      for (const batch of lane.takeWaiting(isOver)) this.#reject(batch, error);
    this.#idle();
    if (error.retriable) await pause();
  }

  async #send(lane: Lane, batch: Batch): Promise<void> {
    lane.inFlight++;
    const failure = await this.#attempt(lane, batch);
    lane.inFlight--;
    if (failure === null) {
      lane.forget(batch);
    } else if (lane.failed.includes(batch)) {
      batch.uncertain ||= failure.code === 'CONNECTION' || failure.code === 'TIMEOUT';
      if (lane.inFlight === 0) await this.#rest(lane);
    } else {
      this.#reject(batch, failure);
      this.#lost(failure);
    }
    if (this.#identityIsStale) for (const other of this.#lanes.values()) this.#pump(other);
    else this.#pump(lane);
    this.#idle();
  }

  /** Whatever is added meanwhile: who cannot take it now cannot take it sooner for that. */
  async #rest(lane: Lane): Promise<void> {
    lane.isResting = true;
    await pause();
    lane.isResting = false;
  }

  /** Sends a batch in its turn; returns why it failed, and keeps it if it may be tried again. Null: it is acknowledged. */
  async #attempt(lane: Lane, batch: Batch): Promise<DirectError | null> {
    const { turn } = lane;
    let sent = () => {};
    lane.turn = new Promise<void>((resolve) => {
      // Once: V8 looks into who resolves a promise again.
      sent = () => {
        sent = () => {};
        resolve();
      };
    });
    try {
      await turn;
      // One before it could not be sent: it goes first.
      if (lane.failed.length > 0 && lane.failed[0] !== batch) throw overtaking(this.#options.doing);
      const { partition } = lane;
      const producer = this.#identity && identityOf(this.#identity, batch);
      const isRetry = batch.attempts++ > 0;
      const encoded = this.#encode(batch);
      this.#hasSent = true;
      const baseOffset = await this.#options.sender.send(partition, encoded, producer, isRetry, sent);
      if (this.#settled(batch)) batch.acknowledge(baseOffset);
      return null;
    } catch (error) {
      // What is not the gateway's answer is about the event: its data was transferred meanwhile, say.
      const failure = asDirectError(error, this.#options.doing, 'INVALID_ARGUMENT');
      const hasGap = isNext(lane, batch) && failure.broker === 'OUT_OF_ORDER_SEQUENCE_NUMBER';
      // Before the next one has its turn, which looks whether this one is to go first.
      if (this.#mayTryAgain(batch, failure) && !(hasGap && this.#options.onLost !== null)) lane.keep(batch);
      else lane.forget(batch);
      if (hasGap && this.#options.onLost === null) this.#beginAnew(lane);
      return failure;
    } finally {
      sent();
    }
  }

  /**
   * The gateway has lost what was sent before, by a loss of power say, and none of what is to be sent again in this lane. Of others it may have some: that
   * is found out first, under the id that there is.
   */
  #beginAnew(lane: Lane): void {
    for (const batch of lane.failed) batch.uncertain = false;
    const isUncertain = ({ failed }: Lane) => failed.some(({ uncertain }) => uncertain);
    this.#identityIsStale ||= ![...this.#lanes.values()].some(isUncertain);
  }

  #mayTryAgain(batch: Batch, { retriable, code }: DirectError): boolean {
    return retriable && this.#abandoned === null && monotonicMs() < batch.deadline && code !== 'CLOSED';
  }

  /** Those behind it would be out of sequence. */
  #lost(error: DirectError): void {
    const { onLost, identify } = this.#options;
    if (onLost !== null) onLost(error);
    else if (identify !== null) this.#identityIsStale = true;
  }

  #reject(batch: Batch, error: DirectError): void {
    if (this.#settled(batch)) batch.fail(error);
  }

  /** False: it was before. One that is tried again may be abandoned on its way. */
  #settled(batch: Batch): boolean {
    if (batch.settled) return false;
    batch.settled = true;
    this.#unsettled.delete(batch);
    this.#options.onSettled(batch.bytes);
    return true;
  }

  #idle(): void {
    for (const waiting of this.#onIdle.splice(0)) waiting();
  }
}

/** Whether all that was sent before it is settled. */
function isNext(lane: Lane, batch: Batch): boolean {
  return lane.failed[0] === batch && lane.inFlight === 1;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}

function identityOf({ producerId, producerEpoch }: ProducerIdentity, { sequence }: Batch): BatchIdentity {
  return { producerId, producerEpoch, baseSequence: sequence };
}

function overtaking(doing: string): DirectError {
  return new DirectError('BROKER', 'a batch before it goes first', { doing, retriable: true });
}
