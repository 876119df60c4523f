import type { AppendOrigin } from '../../backend/log/producer-entry.ts';
import { MemoryPiece } from '../../native/pieces.ts';
import type { PartitionConfig } from './config.ts';
import { type ProduceError, toProduceError } from './produce-rules.ts';

/** Where an appended batch is. */
export interface Appended {
  baseOffset: bigint;
  /** Set for topics with message.timestamp.type=LogAppendTime, else -1. */
  logAppendTimeMs: bigint;
}

export interface ProduceJobOptions {
  readonly config: PartitionConfig;
  readonly origin: Exclude<AppendOrigin, 'replication'>;
  /** acks=all: as many stores as the topic asks for have it, also when it was appended before. */
  readonly allReplicas: boolean;
  readonly inTransaction: boolean;
}

/** One batch on its way into a partition, and what became of it. */
export class ProduceJob {
  readonly config: PartitionConfig;
  readonly origin: Exclude<AppendOrigin, 'replication'>;
  readonly allReplicas: boolean;
  /** Answer when it is durable. */
  readonly flush: boolean;
  readonly inTransaction: boolean;
  /** The batch as it was produced, or with the compression that the topic asks for. */
  batch: Uint8Array | MemoryPiece;
  logAppendTimeMs = -1n;
  #appended: Appended | null = null;
  #failure: ProduceError | null = null;
  #resolve: ((appended: Appended) => void) | null = null;
  #reject: ((failure: ProduceError) => void) | null = null;

  /** Takes over one reference of the batch's memory. */
  constructor(batch: Uint8Array | MemoryPiece, options: ProduceJobOptions) {
    this.batch = batch;
    this.config = options.config;
    this.origin = options.origin;
    this.allReplicas = options.allReplicas;
    this.flush = options.allReplicas && options.config.flushBeforeAck;
    this.inTransaction = options.inTransaction;
  }

  /** The batch is needed no longer: the log has it, or never will. */
  releaseBatch(): void {
    if (this.batch instanceof MemoryPiece) this.batch.memory.release();
  }

  succeed(baseOffset: bigint): void {
    this.#appended = { baseOffset, logAppendTimeMs: this.logAppendTimeMs };
    this.#resolve?.(this.#appended);
  }

  /** Once the batch is released. */
  fail(error: unknown): void {
    this.#failure = toProduceError(error);
    this.#reject?.(this.#failure);
  }

  /** What became of it: without a promise when it is appended already. To be called once; rejects with a ProduceError. */
  outcome(): Appended | Promise<Appended> {
    if (this.#appended !== null) return this.#appended;
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }
}
