import { ApiError, ErrorCode } from '../../protocol/errors.ts';
import type { Logger } from '../../util/logger.ts';

export interface ProducerIdBlock {
  readonly first: bigint;
  readonly size: number;
}

/** Gives out producer ids, each once, from blocks that the cluster metadata assigns. */
export class ProducerIds {
  readonly #allocateBlock: () => Promise<ProducerIdBlock>;
  readonly #logger: Logger;
  #next = 0n;
  #end = 0n;
  /** A block on its way; whoever finds the current one used up waits for it. */
  #pending: Promise<void> | null = null;

  constructor(allocateBlock: () => Promise<ProducerIdBlock>, logger: Logger) {
    this.#allocateBlock = allocateBlock;
    this.#logger = logger;
  }

  /** @throws ApiError COORDINATOR_LOAD_IN_PROGRESS while no block can be had: Kafka says so, and clients try again */
  async next(): Promise<bigint> {
    while (this.#next >= this.#end) {
      this.#pending ??= this.#takeBlock();
      await this.#pending;
    }
    return this.#next++;
  }

  async #takeBlock(): Promise<void> {
    try {
      const { first, size } = await this.#allocateBlock();
      this.#next = first;
      this.#end = first + BigInt(size);
    } catch (error) {
      this.#logger.error({ err: error }, 'No block of producer ids could be had');
      throw new ApiError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, 'There are no producer ids for now.');
    } finally {
      this.#pending = null;
    }
  }
}
