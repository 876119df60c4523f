import { endTxnRequest } from '../protocol/generated/end-txn-request.ts';
import { endTxnResponse } from '../protocol/generated/end-txn-response.ts';
import { txnOffsetCommitRequest } from '../protocol/generated/txn-offset-commit-request.ts';
import { txnOffsetCommitResponse } from '../protocol/generated/txn-offset-commit-response.ts';
import { monotonicMs } from '../util/clock.ts';
import type { Cluster } from './cluster.ts';
import type { OffsetsToCommit } from './consumer.ts';
import { CoordinatorLink } from './coordinator-link.ts';
import type { Delivery } from './delivery.ts';
import { asDirectError, brokerError, DirectError } from './errors.ts';
import { errorsOfPartitions, offsetTopics, throwCommitErrors } from './group-offsets.ts';
import { type ProducerIdentity, transactionalIdentity } from './producer-identity.ts';
import { withRetries } from './retries.ts';

/** From these versions on the gateway adds partitions and groups to transactions by itself, and the epoch rises with each (KIP-890). */
const END_TXN_VERSION = 5;
const TXN_OFFSET_COMMIT_VERSION = 5;

export interface TransactionsOptions {
  readonly cluster: Cluster;
  readonly transactionalId: string;
  readonly transactionTimeoutMs: number;
  /** For each step, attempts included. */
  readonly timeoutMs: number;
  readonly delivery: Delivery;
}

/** The transactions of one producer, one after the other. Who begins under its id later fences it. */
export class Transactions {
  readonly #options: TransactionsOptions;
  readonly #coordinator: CoordinatorLink;
  #identity: ProducerIdentity | null = null;
  /** As whom it goes on where that is null; null: as nobody. */
  #before: ProducerIdentity | null = null;
  #state: 'none' | 'beginning' | 'open' | 'ending' = 'none';
  /** Which transaction it is, from 1. */
  #current = 0;
  /** Offsets were sent, so that the gateway may know of the transaction. */
  #hasOffsets = false;
  /** Why the open transaction cannot be committed. */
  #failure: DirectError | null = null;
  /** Why there can be no more. */
  #fatal: DirectError | null = null;

  constructor(options: TransactionsOptions) {
    this.#options = options;
    this.#coordinator = new CoordinatorLink(
      options.cluster,
      'transaction',
      options.transactionalId,
      'control',
    );
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Whether a transaction, by its number, has not ended. */
  isCurrent(transaction: number): boolean {
    return this.#state !== 'none' && transaction === this.#current;
  }

  get #doing(): string {
    return `produce in a transaction of ${this.#options.transactionalId}`;
  }

  /** Begins one, and resolves to its number. Rejects with FENCED when another producer has begun under this id. */
  async begin(): Promise<number> {
    if (this.#fatal !== null) throw this.#fatal;
    if (this.#state !== 'none')
      throw new DirectError('INVALID_ARGUMENT', 'a transaction is open', {
        doing: this.#doing,
        todo: 'commit or abort it first',
      });
    this.#state = 'beginning';
    const number = ++this.#current;
    try {
      const { cluster, transactionalId, transactionTimeoutMs, timeoutMs, delivery } = this.#options;
      this.#identity ??= await transactionalIdentity(
        cluster,
        transactionalId,
        transactionTimeoutMs,
        timeoutMs,
        this.#before,
      );
      delivery.restart(this.#identity);
      // Of the one before, by a push that came too late for it.
      this.#failure = null;
      this.#state = 'open';
      return number;
    } catch (error) {
      this.#state = 'none';
      throw this.#noted(error);
    }
  }

  /** @throws DirectError when nothing can be part of a transaction now */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#state !== 'open')
      throw new DirectError('INVALID_ARGUMENT', 'no transaction is open', {
        doing: this.#doing,
        todo: 'push within `producer.transaction`, or after `beginTransaction`',
      });
  }

  /** The open transaction can only be aborted. */
  fail(error: DirectError): void {
    if (this.#state === 'none') return;
    this.#failure ??= error;
    this.#noted(error);
    this.#options.delivery.abandon(error);
  }

  /** Makes the offsets of a consumer part of the transaction. */
  async sendOffsets(consumer: { offsetsToCommit(): OffsetsToCommit }): Promise<void> {
    const identity = this.#identity;
    try {
      this.check();
      const sent = consumer.offsetsToCommit();
      if (sent.offsets.length > 0) await this.#sendOffsets(sent, identity);
      sent.handedOver();
    } catch (error) {
      if (this.#identity === identity) this.fail(asDirectError(error, this.#doing));
      throw error;
    }
  }

  async #sendOffsets(
    { identity: group, offsets }: OffsetsToCommit,
    identity: ProducerIdentity | null,
  ): Promise<void> {
    const { cluster, transactionalId, timeoutMs } = this.#options;
    const { groupId, memberId, generation: generationId } = group;
    const doing = `send offsets of group ${groupId}`;
    const coordinator = new CoordinatorLink(cluster, 'group', groupId, 'control');
    const topics = offsetTopics(offsets);
    this.#hasOffsets = true;
    await withRetries(monotonicMs() + timeoutMs, async () => {
      // Each has an identity of its own; who did not wait may have ended this one.
      if (this.#identity !== identity)
        throw new DirectError('INVALID_ARGUMENT', 'the transaction has ended', { doing });
      const answer = await coordinator.call(
        txnOffsetCommitRequest,
        txnOffsetCommitResponse,
        {
          transactionalId,
          groupId,
          memberId,
          generationId,
          groupInstanceId: null,
          topics,
          ...identity,
        },
        { version: TXN_OFFSET_COMMIT_VERSION, doing, errorsOf: errorsOfPartitions },
      );
      throwCommitErrors(errorsOfPartitions(answer), doing);
    });
  }

  /** Rejects, and leaves the transaction open to be aborted, when something of it failed. */
  async commit(): Promise<void> {
    this.#beginsToEnd();
    await this.#options.delivery.idle();
    if (this.#failure !== null) {
      this.#state = 'open';
      throw this.#failure;
    }
    try {
      await this.#end(true);
    } catch (error) {
      // It may still be aborted; what is worse makes every step fail from now on.
      this.#failure = asDirectError(error, this.#doing);
      this.#state = 'open';
      throw this.#failure;
    }
  }

  /** What was pushed will not be seen by consumers of committed events. */
  async abort(): Promise<void> {
    this.#beginsToEnd();
    const { delivery } = this.#options;
    delivery.abandon(new DirectError('ABORTED', 'the transaction was aborted', { doing: this.#doing }));
    await delivery.idle();
    try {
      await this.#end(false);
    } catch (error) {
      // The next one begins in a new epoch, which ends what is left of this one.
      this.#before = this.#identity;
      this.#identity = null;
      this.#hasOffsets = false;
      if (!isForgotten(error)) throw error;
    } finally {
      this.#state = 'none';
      this.#failure = null;
    }
  }

  #beginsToEnd(): void {
    if (this.#state !== 'open')
      throw new DirectError('INVALID_ARGUMENT', 'no transaction is open', { doing: this.#doing });
    this.#state = 'ending';
  }

  async #end(committed: boolean): Promise<void> {
    if (this.#fatal !== null) throw this.#fatal;
    const { delivery, transactionalId, timeoutMs } = this.#options;
    // One of which it knows nothing the gateway would refuse to commit.
    if (this.#hasOffsets || delivery.hasSent) {
      const doing = `${committed ? 'commit' : 'abort'} a transaction of ${transactionalId}`;
      try {
        this.#identity = await withRetries(monotonicMs() + timeoutMs, async () => {
          const { errorCode, producerId, producerEpoch } = await this.#coordinator.call(
            endTxnRequest,
            endTxnResponse,
            { transactionalId, committed, ...this.#identity },
            { version: END_TXN_VERSION, doing, errorsOf: (answer) => [answer.errorCode] },
          );
          if (errorCode !== 0) throw brokerError(errorCode, null, doing);
          return { producerId, producerEpoch };
        });
      } catch (error) {
        throw this.#noted(error, true);
      }
    }
    this.#hasOffsets = false;
    this.#state = 'none';
  }

  /** After some errors there can be no more transactions of this producer. */
  #noted(error: unknown, isEnding = false): DirectError {
    const known = asDirectError(error, this.#doing);
    const isFenced = known.code === 'FENCED' && known.broker !== null;
    if (isFenced || (isEnding && known.code !== 'ABORTABLE'))
      this.#fatal ??= new DirectError(known.code, known.message, {
        doing: this.#doing,
        todo: isFenced
          ? 'another producer has this transactional id'
          : 'make a new producer with this transactional id: the gateway ends the transaction as it was decided',
        ...(known.broker === null ? {} : { broker: known.broker }),
        cause: known,
      });
    return this.#fatal ?? known;
  }
}

/** The gateway does not know the id any more, which nobody has used for long: there is nothing to be aborted. */
function isForgotten(error: unknown): boolean {
  return error instanceof DirectError && error.broker === 'INVALID_PRODUCER_ID_MAPPING';
}
