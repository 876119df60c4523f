import { readFile } from 'node:fs/promises';
import { crc32c } from '../../native/batch.ts';
import { readAtMost, replaceFile } from './small-files.ts';

/** The records section of one diverted batch inside a payload segment, and the offsets of the batch. */
export interface Extent {
  baseOffset: bigint;
  lastOffset: bigint;
  position: number;
  length: number;
}

/** What is known of a sealed segment without its list of extents. */
export interface ExtentSummary {
  count: number;
  firstOffset: bigint;
  lastOffset: bigint;
  /** Logical size of the payload file. */
  bytes: number;
  /** Sum of the lengths of the extents; less than `bytes` if appends failed in between. */
  extentBytes: number;
  /** Bytes of the file that take no space any more. */
  freedBytes: number;
}

const MAGIC = 0x4b465058; // 'KFPX'
const VERSION = 1;
const HEADER_BYTES = 64;
const ENTRY_BYTES = 24;

export function summarize(extents: readonly Extent[], bytes: number, freedBytes = 0): ExtentSummary {
  let extentBytes = 0;
  for (const extent of extents) extentBytes += extent.length;
  return {
    count: extents.length,
    firstOffset: extents[0]?.baseOffset ?? -1n,
    lastOffset: extents[extents.length - 1]?.lastOffset ?? -1n,
    bytes,
    extentBytes,
    freedBytes,
  };
}

/**
 * Writes the list of a sealed segment's extents beside it, atomically and durably, so that a start needs neither the
 * payload nor the log to know what is live. Layout, big-endian: a header of 64 bytes (magic 'KFPX', version, count, first and
 * last offset, bytes, extent bytes, freed bytes, CRC-32C of the entries, CRC-32C of the header), then 24 bytes for each extent.
 */
export async function writeExtents(
  path: string,
  extents: readonly Extent[],
  bytes: number,
  freedBytes = 0,
): Promise<void> {
  const summary = summarize(extents, bytes, freedBytes);
  const buffer = Buffer.alloc(HEADER_BYTES + extents.length * ENTRY_BYTES);
  let at = HEADER_BYTES;
  for (const extent of extents) {
    buffer.writeBigInt64BE(extent.baseOffset, at);
    buffer.writeBigInt64BE(BigInt(extent.position), at + 8);
    buffer.writeUInt32BE(extent.length, at + 16);
    buffer.writeUInt32BE(Number(extent.lastOffset - extent.baseOffset), at + 20);
    at += ENTRY_BYTES;
  }
  buffer.writeUInt32BE(MAGIC, 0);
  buffer.writeUInt32BE(VERSION, 4);
  buffer.writeUInt32BE(summary.count, 8);
  buffer.writeBigInt64BE(summary.firstOffset, 12);
  buffer.writeBigInt64BE(summary.lastOffset, 20);
  buffer.writeBigInt64BE(BigInt(summary.bytes), 28);
  buffer.writeBigInt64BE(BigInt(summary.extentBytes), 36);
  buffer.writeBigInt64BE(BigInt(summary.freedBytes), 44);
  buffer.writeUInt32BE(crc32c(buffer.subarray(HEADER_BYTES)), 56);
  buffer.writeUInt32BE(crc32c(buffer.subarray(0, 60)), 60);
  await replaceFile(path, buffer);
}

/** The summary of a sidecar, or null if there is none or it is damaged. Reads 64 bytes. */
export async function readExtentSummary(path: string): Promise<ExtentSummary | null> {
  const header = await readAtMost(path, HEADER_BYTES);
  return header === null ? null : decodeHeader(header);
}

/** The extents of a sealed segment in the order of their offsets, or null if the sidecar is missing or damaged. */
export async function readExtents(path: string): Promise<Extent[] | null> {
  const bytes = await readFile(path).catch(() => null);
  const summary = bytes === null ? null : decodeHeader(bytes);
  if (bytes === null || summary === null) return null;
  const entries = bytes.subarray(HEADER_BYTES);
  if (entries.length !== summary.count * ENTRY_BYTES || bytes.readUInt32BE(56) !== crc32c(entries))
    return null;
  const extents: Extent[] = [];
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
    const baseOffset = entries.readBigInt64BE(at);
    extents.push({
      baseOffset,
      lastOffset: baseOffset + BigInt(entries.readUInt32BE(at + 20)),
      position: Number(entries.readBigInt64BE(at + 8)),
      length: entries.readUInt32BE(at + 16),
    });
  }
  return extents;
}

function decodeHeader(bytes: Buffer): ExtentSummary | null {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(0) !== MAGIC || bytes.readUInt32BE(4) !== VERSION)
    return null;
  if (bytes.readUInt32BE(60) !== crc32c(bytes.subarray(0, 60))) return null;
  return {
    count: bytes.readUInt32BE(8),
    firstOffset: bytes.readBigInt64BE(12),
    lastOffset: bytes.readBigInt64BE(20),
    bytes: Number(bytes.readBigInt64BE(28)),
    extentBytes: Number(bytes.readBigInt64BE(36)),
    freedBytes: Number(bytes.readBigInt64BE(44)),
  };
}
