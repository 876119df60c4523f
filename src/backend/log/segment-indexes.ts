import { NO_TIMESTAMP } from '../../protocol/records/batch-header.ts';
import type { LogConfig } from './config.ts';
import { OffsetIndex } from './offset-index.ts';
import type { BatchInfo } from './ports.ts';
import { TimeIndex, type TimestampOffset } from './time-index.ts';

/** Both indexes of a segment, kept up as batches are added in order. */
export class SegmentIndexes {
  readonly offset: OffsetIndex;
  readonly time: TimeIndex;
  /** The largest timestamp and the last offset of the first batch that has it; timestamp -1 when there is none. */
  maxTimestamp: TimestampOffset;
  #bytesSinceEntry = 0;

  constructor(baseOffset: bigint, config: LogConfig, content?: { offset: Uint8Array; time: Uint8Array }) {
    this.offset = new OffsetIndex(baseOffset, config.segmentIndexBytes, content?.offset);
    this.time = new TimeIndex(baseOffset, config.segmentIndexBytes, content?.time);
    this.maxTimestamp = this.time.last;
  }

  get isFull(): boolean {
    return this.offset.isFull || this.time.isFull;
  }

  get byteLength(): number {
    return this.offset.content().length + this.time.content().length;
  }

  /** Takes in the batch that follows the last one. */
  add(batch: BatchInfo, indexIntervalBytes: number): void {
    this.observe(batch);
    if (this.#bytesSinceEntry > indexIntervalBytes) {
      this.offset.append(batch.lastOffset, batch.position);
      this.time.append(this.maxTimestamp.timestamp, this.maxTimestamp.offset);
      this.#bytesSinceEntry = 0;
    }
    this.#bytesSinceEntry += batch.sizeBytes;
  }

  /** Takes in the timestamp of a batch that is indexed already, or lies behind the last entry. */
  observe(batch: BatchInfo): void {
    if (batch.maxTimestamp > this.maxTimestamp.timestamp) {
      this.maxTimestamp = { timestamp: batch.maxTimestamp, offset: batch.lastOffset };
    }
  }

  /** Adds the entry that makes the time index's last timestamp the segment's largest. */
  close(): void {
    if (this.maxTimestamp.timestamp !== NO_TIMESTAMP) {
      this.time.append(this.maxTimestamp.timestamp, this.maxTimestamp.offset, true);
    }
  }

  /** Drops what lies at or above `offset`; the batches behind the last entry have to be observed again. */
  truncateTo(offset: bigint): void {
    this.offset.truncateTo(offset);
    this.time.truncateTo(offset);
    this.maxTimestamp = this.time.last;
    this.#bytesSinceEntry = 0;
  }

  isValid(segmentBytes: number): boolean {
    return this.offset.isValid(segmentBytes) && this.time.isValid();
  }
}
