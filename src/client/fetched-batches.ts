import { type Codec, decompress } from '../native/codec.ts';
import { splitBatches } from '../protocol/records/batch-header.ts';
import { referencedValue } from '../protocol/records/payload-reference.ts';
import { type RecordView, readRecords } from '../protocol/records/reader.ts';
import { isSignedReference } from '../protocol/records/signed-reference.ts';

const REFERENCES = 0x4000;
const MAX_UNCOMPRESSED_BYTES = 256 << 20;

export interface FetchedRecord extends RecordView {
  /** Of the data; the value is a signed reference then. */
  readonly referenced: number | null;
}

export interface FetchedRecords {
  readonly records: FetchedRecord[];
  /** Where the next fetch goes on. */
  readonly nextOffset: bigint;
}

/**
 * The records of a fetched partition from `offset` on, without control records and those of transactions that were aborted. A batch that was cut
 * off at the end is left for the next fetch.
 */
export function readFetched(
  bytes: Uint8Array,
  offset: bigint,
  aborted: readonly { producerId: bigint; firstOffset: bigint }[],
): FetchedRecords {
  const records: FetchedRecord[] = [];
  const pending = [...aborted].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const ended = new Set<bigint>();
  let nextOffset = offset;
  for (const { header, bytes: batch } of splitBatches(bytes)) {
    const { lastOffset, producerId, isControl } = header;
    if (lastOffset < offset) continue;
    nextOffset = lastOffset + 1n;
    while (pending.length > 0 && pending[0]!.firstOffset <= lastOffset)
      ended.add(pending.shift()!.producerId);
    if (isControl) {
      ended.delete(producerId);
      continue;
    }
    if (header.isTransactional && ended.has(producerId)) continue;
    const references = (header.attributes & REFERENCES) !== 0;
    const decoded = readRecords(batch, (codec, section) =>
      decompress(codec as Codec, section, MAX_UNCOMPRESSED_BYTES),
    );
    for (const record of decoded) {
      if (record.offset < offset) continue;
      const { value } = record;
      const signed = references && isSignedReference(value);
      records.push({
        ...record,
        referenced: signed ? referencedValue(value).length : null,
      });
    }
  }
  return { records, nextOffset };
}
