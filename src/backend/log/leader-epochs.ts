/** From `startOffset` on, batches were written in `epoch`. */
export interface EpochEntry {
  readonly epoch: number;
  readonly startOffset: bigint;
}

const UNDEFINED_EPOCH = -1;
const UNDEFINED_EPOCH_OFFSET = -1n;

/** The leader epochs of a log, ascending by epoch and by start offset. */
export class LeaderEpochs {
  #entries: EpochEntry[] = [];
  readonly #changed: () => void;

  /** `changed` is called after every change, to write the checkpoint. */
  constructor(entries: readonly EpochEntry[], changed: () => void) {
    for (const entry of entries) this.#insert(entry);
    this.#changed = changed;
  }

  entries(): readonly EpochEntry[] {
    return this.#entries;
  }

  /** -1 without entries. */
  get latest(): number {
    return this.#entries.at(-1)?.epoch ?? UNDEFINED_EPOCH;
  }

  /** Begins an epoch at an offset; entries that contradict it go. */
  assign(epoch: number, startOffset: bigint): void {
    if (this.#insert({ epoch, startOffset })) this.#changed();
  }

  /** The epoch that the batch at `offset` was written in; -1 when not known. */
  epochFor(offset: bigint): number {
    return this.#entries.findLast((entry) => entry.startOffset <= offset)?.epoch ?? UNDEFINED_EPOCH;
  }

  /**
   * Where `epoch` ended (KIP-101, KIP-279): the largest known epoch up to it, and the start offset of the one after that. The latest
   * epoch ends at the log's end; an epoch above it is undefined.
   */
  endOffsetFor(epoch: number, logEndOffset: bigint): { leaderEpoch: number; endOffset: bigint } {
    const undefinedEnd = { leaderEpoch: UNDEFINED_EPOCH, endOffset: UNDEFINED_EPOCH_OFFSET };
    if (epoch === UNDEFINED_EPOCH) return undefinedEnd;
    if (epoch === this.latest) return { leaderEpoch: epoch, endOffset: logEndOffset };
    const higher = this.#entries.find((entry) => entry.epoch > epoch);
    if (!higher) return undefinedEnd;
    const floor = this.#entries.findLast((entry) => entry.epoch <= epoch);
    return { leaderEpoch: floor?.epoch ?? epoch, endOffset: higher.startOffset };
  }

  /** Drops the epochs that begin at or after a log's new end. */
  truncateFromEnd(endOffset: bigint): void {
    const kept = this.#entries.filter((entry) => entry.startOffset < endOffset);
    if (kept.length === this.#entries.length) return;
    this.#entries = kept;
    this.#changed();
  }

  /** Drops the epochs that end before a log's new start; the one that holds it begins there. */
  truncateFromStart(startOffset: bigint): void {
    const past = this.#entries.filter((entry) => entry.startOffset <= startOffset);
    const holder = past.at(-1);
    if (!holder || (past.length === 1 && holder.startOffset === startOffset)) return;
    this.#entries = [{ epoch: holder.epoch, startOffset }, ...this.#entries.slice(past.length)];
    this.#changed();
  }

  #insert(entry: EpochEntry): boolean {
    const last = this.#entries.at(-1);
    if (last && entry.epoch === last.epoch && entry.startOffset >= last.startOffset) return false;
    while (this.#entries.length > 0) {
      const end = this.#entries.at(-1)!;
      if (end.epoch < entry.epoch && end.startOffset < entry.startOffset) break;
      this.#entries.pop();
    }
    // Not `push`, which makes room for 17: a log has few.
    this.#entries = this.#entries.concat(entry);
    return true;
  }
}
