import assert from 'node:assert/strict';
import { BATCH_HEADER_SIZE, HeaderField } from '../../../protocol/records/batch-header.ts';
import type { SeededRandom } from '../../../util/testing/seeded-random.ts';
import { isTransactional, RecordCursor, readBatchInfo, viewOf } from '../batch.ts';
import { largest, smallest } from '../offsets.ts';
import type { PartitionLog } from '../partition-log.ts';
import type { BatchInfo } from '../ports.ts';
import { ProducerStates } from '../producer-states.ts';
import type { AbortedTransaction } from '../transaction-index.ts';
import { readAll } from './log-fixture.ts';

interface ModelBatch {
  readonly info: BatchInfo;
  readonly bytes: Uint8Array;
}

/** What a log must hold: the batches that were appended, and how many of them may not be lost. */
export class LogModel {
  batches: ModelBatch[] = [];
  startOffset = 0n;
  /** Batches below it were acknowledged as durable. */
  durableOffset = 0n;

  get endOffset(): bigint {
    return this.batches.at(-1)?.info.lastOffset === undefined
      ? this.startOffset
      : this.batches.at(-1)!.info.lastOffset + 1n;
  }

  append(bytes: Uint8Array): void {
    this.batches.push({ info: readBatchInfo(viewOf(bytes), 0, 0), bytes });
  }

  /** Forgets the batches that hold `offset` or follow it. */
  truncateTo(offset: bigint): void {
    this.batches = this.batches.filter(({ info }) => info.lastOffset < offset);
  }

  /** Takes over where a log ended after a crash, having checked that it may end there. */
  adoptEnd(log: PartitionLog, least: bigint): void {
    const end = log.logEndOffset;
    assert.ok(end >= least, `the log ends at ${end}, ${least} is due`);
    assert.ok(
      end <= this.endOffset || this.batches.length === 0,
      `the log ends at ${end} after ${this.endOffset}`,
    );
    this.truncateTo(end);
    this.startOffset = smallest(this.startOffset, end);
    this.durableOffset = smallest(this.durableOffset, end);
    assert.equal(this.batches.length === 0 ? end : this.endOffset, end, 'the log ends within a batch');
  }

  /** Compares the whole log: batches byte for byte, lookups by offset and by time, producers. */
  async check(log: PartitionLog, random: SeededRandom): Promise<void> {
    assert.equal(log.logStartOffset, this.startOffset, 'log start offset');
    if (this.batches.length > 0) assert.equal(log.logEndOffset, this.endOffset, 'log end offset');
    const readable = this.batches.filter(({ info }) => info.lastOffset >= this.startOffset);
    const found = await readAll(log);
    assert.deepEqual(
      found.map((batch) => batch.baseOffset),
      readable.map(({ info }) => info.baseOffset),
    );
    found.forEach((batch, index) => {
      assert.ok(Buffer.from(batch.bytes).equals(readable[index]!.bytes), `batch ${batch.baseOffset} differs`);
    });
    for (let probe = 0; probe < 5 && readable.length > 0; probe++) {
      await this.#checkOffset(log, readable, random);
      await this.#checkTimestamp(log, readable, random);
    }
    this.#checkProducers(log);
    this.#checkTransactions(log, random);
  }

  async #checkOffset(
    log: PartitionLog,
    readable: readonly ModelBatch[],
    random: SeededRandom,
  ): Promise<void> {
    const span = Number(this.endOffset - this.startOffset);
    const offset = this.startOffset + BigInt(random.below(span));
    const expected = readable.find(({ info }) => info.lastOffset >= offset);
    const { batches } = await log.read(offset, 1);
    assert.equal(batches[0]?.baseOffset, expected?.info.baseOffset, `read of ${offset}`);
  }

  async #checkTimestamp(
    log: PartitionLog,
    readable: readonly ModelBatch[],
    random: SeededRandom,
  ): Promise<void> {
    const { maxTimestamp } = readable[random.below(readable.length)]!.info;
    const timestamp = maxTimestamp - 1n + BigInt(random.below(3));
    const expected = readable
      .flatMap(recordsOf)
      .find((record) => record.timestamp >= timestamp && record.offset >= this.startOffset);
    const found = await log.offsetForTimestamp(timestamp);
    assert.equal(found?.offset, expected?.offset, `timestamp ${timestamp}`);
    assert.equal(found?.timestamp, expected?.timestamp);
  }

  #checkProducers(log: PartitionLog): void {
    const states = new ProducerStates();
    for (const { info } of this.batches) states.replay(info);
    const known = new Map(log.activeProducers().map((entry) => [entry.producerId, entry]));
    for (const expected of states.entries()) {
      const entry = known.get(expected.producerId);
      // A producer all of whose batches were deleted may be forgotten, or known by a marker alone.
      const isGone = (expected.batches.at(-1)?.lastOffset ?? -1n) < this.startOffset;
      if (isGone && (entry?.batches.length ?? 0) === 0) continue;
      // A snapshot has one time for the last batch and the marker after it.
      const timeless = expected.coordinatorEpoch >= 0 ? { timestamp: 0n } : {};
      const [found, wanted] = [entry, expected].map((one) => {
        const last = one?.batches.at(-1);
        return last && { ...last, ...timeless };
      });
      assert.deepEqual(found, wanted, `producer ${expected.producerId}`);
    }
  }

  /** Whatever was deleted, what is left of a transaction must be told as aborted, or keep the log unstable. */
  #checkTransactions(log: PartitionLog, random: SeededRandom): void {
    const { ended, open } = transactionsOf(this.batches);
    log.highWatermark = log.logEndOffset;
    this.#checkUnstable(log.firstUnstableOffset, open);
    const aborted = ended.filter(({ marker }) => !marker.marker!.commit);
    for (let probe = 0; probe < 5; probe++) {
      const from = this.startOffset + BigInt(random.below(Number(this.endOffset - this.startOffset) + 1));
      const end = from + BigInt(random.below(Number(this.endOffset - from) + 1));
      checkAborted(log.abortedTransactions(from, end), aborted, { from, end });
    }
  }

  #checkUnstable(found: bigint | null, open: readonly ModelTransaction[]): void {
    if (open.length === 0) {
      assert.equal(found, null);
      return;
    }
    const first = open.map(({ data }) => data[0]!.baseOffset).reduce(smallest);
    const left = open.flatMap(({ data }) => data).filter(({ lastOffset }) => lastOffset >= this.startOffset);
    if (left.length === 0) return;
    const firstLeft = left.map(({ baseOffset }) => baseOffset).reduce(smallest);
    assert.ok(found !== null && found <= largest(firstLeft, this.startOffset), `unstable from ${found}`);
    assert.ok(found >= largest(first, this.startOffset), `unstable from ${found}, not ${first}`);
  }
}

interface ModelTransaction {
  readonly data: BatchInfo[];
}

interface EndedModelTransaction extends ModelTransaction {
  readonly marker: BatchInfo;
}

/** The transactions that are in the batches, found by looking at every one. */
function transactionsOf(batches: readonly ModelBatch[]): {
  ended: EndedModelTransaction[];
  open: ModelTransaction[];
} {
  const open = new Map<bigint, ModelTransaction>();
  const ended: EndedModelTransaction[] = [];
  for (const { info } of batches) {
    const current = open.get(info.producerId);
    if (info.marker !== null) {
      if (current) ended.push({ ...current, marker: info });
      open.delete(info.producerId);
    } else if (isTransactional(info)) {
      if (current) current.data.push(info);
      else open.set(info.producerId, { data: [info] });
    }
  }
  return { ended, open: [...open.values()] };
}

function checkAborted(
  told: readonly AbortedTransaction[],
  aborted: readonly EndedModelTransaction[],
  { from, end }: { from: bigint; end: bigint },
): void {
  const firsts = told.map(({ firstOffset }) => firstOffset);
  assert.deepEqual(
    firsts,
    [...firsts].sort((a, b) => Number(a - b)),
    'ascending',
  );
  const ends = new Set(told.map(({ lastOffset }) => lastOffset));
  for (const { data, marker } of aborted) {
    const isIn = data.some(({ baseOffset, lastOffset }) => baseOffset < end && lastOffset >= from);
    const isOut = data[0]!.baseOffset >= end || marker.baseOffset < from;
    if (isIn && end > from) assert.ok(ends.has(marker.baseOffset), `${marker.baseOffset} in ${from}-${end}`);
    if (isOut) assert.ok(!ends.has(marker.baseOffset), `no ${marker.baseOffset} in ${from}-${end}`);
  }
  const markers = new Set(aborted.map(({ marker }) => marker.baseOffset));
  for (const offset of ends) assert.ok(markers.has(offset), `nothing was aborted at ${offset}`);
}

function recordsOf({ info, bytes }: ModelBatch): { timestamp: bigint; offset: bigint }[] {
  const view = viewOf(bytes);
  const cursor = new RecordCursor(view, BATCH_HEADER_SIZE, bytes.length);
  return Array.from({ length: info.recordCount }, () => {
    const { offsetDelta, timestampDelta } = cursor.next();
    const timestamp = view.getBigInt64(HeaderField.baseTimestamp) + timestampDelta;
    return { timestamp, offset: info.baseOffset + BigInt(offsetDelta) };
  });
}
