import { crc32c } from '../native/batch.ts';
import { type Codec, decompress } from '../native/codec.ts';
import {
  BATCH_HEADER_SIZE,
  type BatchHeader,
  Compression,
  CRC_COVERS_FROM,
  splitBatches,
} from '../protocol/records/batch-header.ts';
import { DirectError } from './errors.ts';
import type { RecordSection } from './fetched-record.ts';

const MAX_UNCOMPRESSED_BYTES = 256 << 20;

export interface FetchedSections {
  readonly sections: RecordSection[];
  /** Where the next fetch goes on. */
  readonly nextOffset: bigint;
  /** Of the last batch before that; -1: there is none. */
  readonly leaderEpoch: number;
}

/**
 * The records sections of a fetched partition that have records from `offset` on, without those of control batches and of transactions that were
 * aborted. A batch that was cut off at the end is left for the next fetch, as is one that is damaged, unless it is the first.
 * @throws DirectError CHECKSUM, retriable, when a batch has arrived damaged
 */
export function readFetched(
  bytes: Uint8Array,
  offset: bigint,
  aborted: readonly { producerId: bigint; firstOffset: bigint }[],
): FetchedSections {
  const sections: RecordSection[] = [];
  const pending = [...aborted].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const ended = new Set<bigint>();
  let nextOffset = offset;
  let leaderEpoch = -1;
  let extent = -1;
  for (const { header, position } of splitBatches(bytes)) {
    const { lastOffset, producerId, isControl } = header;
    if (header.isReference) extent++;
    if (lastOffset < offset) continue;
    while (pending.length > 0 && pending[0]!.firstOffset <= lastOffset)
      ended.add(pending.shift()!.producerId);
    if (isControl) {
      ended.delete(producerId);
    } else if (!(header.isTransactional && ended.has(producerId))) {
      try {
        sections.push(sectionAt(bytes, position, header, extent));
      } catch (error) {
        // What precedes it is good.
        if (sections.length > 0) break;
        throw error;
      }
    }
    nextOffset = lastOffset + 1n;
    leaderEpoch = header.partitionLeaderEpoch;
  }
  return { sections, nextOffset, leaderEpoch };
}

function sectionAt(bytes: Uint8Array, position: number, header: BatchHeader, extent: number): RecordSection {
  const end = position + header.sizeInBytes;
  if (crc32c(bytes.subarray(position + CRC_COVERS_FROM, end)) !== header.crc)
    throw new DirectError('CHECKSUM', `the batch at ${header.baseOffset} arrived damaged`, {
      doing: 'fetch',
      retriable: true,
    });
  return sectionOf(header, bufferOf(bytes, position + BATCH_HEADER_SIZE, end), extent);
}

function sectionOf(header: BatchHeader, section: Buffer, extent: number): RecordSection {
  const { compression, baseOffset } = header;
  const fields = {
    bytes: section,
    storedBytes: section.byteLength,
    count: header.recordCount,
    baseOffset,
    baseTimestamp: Number(header.baseTimestamp),
    appendTime: header.isLogAppendTime ? Number(header.maxTimestamp) : null,
    references: header.isReference,
    extent,
    arriving: null,
  };
  return compression === Compression.none ? fields : expandedLater(fields, compression as Codec);
}

/** Of what is fetched ahead most waits, and may be many times as large when it is expanded. */
function expandedLater(section: RecordSection, codec: Codec): RecordSection {
  const { bytes: stored } = section;
  let expanded: Buffer | null = null;
  return Object.defineProperty(section, 'bytes', {
    get: () => {
      expanded ??= bufferOf(decompress(codec, stored, MAX_UNCOMPRESSED_BYTES));
      return expanded;
    },
  });
}

/** A Buffer at once: where events are one to a batch, each view of it costs as much as the rest. */
function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array, from = 0, end = byteLength): Buffer {
  return Buffer.from(buffer, byteOffset + from, end - from);
}
