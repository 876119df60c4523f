import { readFile } from 'node:fs/promises';
import { crc32c, EXTENT_PIECE_BYTES } from '../../native/batch.ts';
import { isTransient } from '../log/errors.ts';
import { readAtMost, replaceFile } from './small-files.ts';

/** The records section of one diverted batch inside a payload segment, and the offsets of the batch. */
export interface Extent {
  baseOffset: bigint;
  lastOffset: bigint;
  position: number;
  length: number;
  /** The CRC-32C of each EXTENT_PIECE_BYTES of it, and of what is left; null or absent: only the whole can be checked. */
  pieceCrcs?: Uint32Array | null;
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
/** Version 1 had entries of 24 bytes, and no checksums of pieces. */
const VERSIONS: readonly ListVersion[] = [
  { version: 1, entryBytes: 24 },
  { version: 2, entryBytes: 28 },
];
const HEADER_BYTES = 64;
const NO_PIECES = 0xffffffff;

interface ListVersion {
  readonly version: number;
  readonly entryBytes: number;
}

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
 * last offset, bytes, extent bytes, number of checksums, freed bytes, CRC-32C of what follows, CRC-32C of the header), then 28 bytes
 * for each extent (base offset, position, length, last offset delta, which checksum is its first), then the checksums of pieces.
 */
export async function writeExtents(
  path: string,
  extents: readonly Extent[],
  bytes: number,
  freedBytes = 0,
): Promise<void> {
  const summary = summarize(extents, bytes, freedBytes);
  const { version, entryBytes } = VERSIONS[VERSIONS.length - 1]!;
  let pieces = 0;
  for (const { pieceCrcs } of extents) pieces += pieceCrcs?.length ?? 0;
  const buffer = Buffer.alloc(HEADER_BYTES + extents.length * entryBytes + 4 * pieces);
  let at = HEADER_BYTES;
  let piece = 0;
  const firstPiece = HEADER_BYTES + extents.length * entryBytes;
  for (const { baseOffset, lastOffset, position, length, pieceCrcs } of extents) {
    buffer.writeBigInt64BE(baseOffset, at);
    buffer.writeBigInt64BE(BigInt(position), at + 8);
    buffer.writeUInt32BE(length, at + 16);
    buffer.writeUInt32BE(Number(lastOffset - baseOffset), at + 20);
    buffer.writeUInt32BE(pieceCrcs ? piece : NO_PIECES, at + 24);
    at += entryBytes;
    for (const crc of pieceCrcs ?? []) buffer.writeUInt32BE(crc, firstPiece + 4 * piece++);
  }
  buffer.writeUInt32BE(MAGIC, 0);
  buffer.writeUInt32BE(version, 4);
  buffer.writeUInt32BE(summary.count, 8);
  buffer.writeBigInt64BE(summary.firstOffset, 12);
  buffer.writeBigInt64BE(summary.lastOffset, 20);
  buffer.writeBigInt64BE(BigInt(summary.bytes), 28);
  buffer.writeBigInt64BE(BigInt(summary.extentBytes), 36);
  buffer.writeUInt32BE(pieces, 44);
  buffer.writeBigInt64BE(BigInt(summary.freedBytes), 48);
  buffer.writeUInt32BE(crc32c(buffer.subarray(HEADER_BYTES)), 56);
  buffer.writeUInt32BE(crc32c(buffer.subarray(0, 60)), 60);
  await replaceFile(path, buffer);
}

/** The summary of a sidecar, or null if there is none or it is damaged. Reads 64 bytes. */
export async function readExtentSummary(path: string): Promise<ExtentSummary | null> {
  const header = await readAtMost(path, HEADER_BYTES);
  return header === null || versionOf(header) === null ? null : decodeSummary(header);
}

/** The extents of a sealed segment in the order of their offsets; otherwise as `ExtentList.read`. */
export async function readExtents(path: string): Promise<Extent[] | null> {
  const list = await ExtentList.read(path);
  return list === null ? null : Array.from({ length: list.count }, (_, i) => list.at(i));
}

/** The list of a sealed segment, as it is on disk: extents are decoded when they are asked for. */
export class ExtentList {
  readonly count: number;
  readonly #bytes: Buffer;
  readonly #entryBytes: number;

  private constructor(bytes: Buffer, { entryBytes }: ListVersion) {
    this.#bytes = bytes;
    this.#entryBytes = entryBytes;
    this.count = bytes.readUInt32BE(8);
  }

  /** Null if it is missing or damaged. Rejects when it cannot be read now, for want of file descriptors or memory. */
  static async read(path: string): Promise<ExtentList | null> {
    const bytes = await readFile(path).catch((error: unknown) => {
      if (isTransient(error)) throw error;
      return null;
    });
    const version = bytes === null ? null : versionOf(bytes);
    if (bytes === null || version === null) return null;
    const rest = bytes.subarray(HEADER_BYTES);
    const pieces = version.version === 1 ? 0 : bytes.readUInt32BE(44);
    const expected = bytes.readUInt32BE(8) * version.entryBytes + 4 * pieces;
    if (rest.length !== expected || bytes.readUInt32BE(56) !== crc32c(rest)) return null;
    return new ExtentList(bytes, version);
  }

  get byteLength(): number {
    return this.#bytes.byteLength;
  }

  at(index: number): Extent {
    const at = HEADER_BYTES + index * this.#entryBytes;
    const bytes = this.#bytes;
    const baseOffset = bytes.readBigInt64BE(at);
    const length = bytes.readUInt32BE(at + 16);
    return {
      baseOffset,
      lastOffset: baseOffset + BigInt(bytes.readUInt32BE(at + 20)),
      position: Number(bytes.readBigInt64BE(at + 8)),
      length,
      pieceCrcs: this.#pieceCrcs(at, length),
    };
  }

  /** The extent that begins at `position`; null when there is none. */
  find(position: number): Extent | null {
    const positionAt = (i: number) =>
      Number(this.#bytes.readBigInt64BE(HEADER_BYTES + i * this.#entryBytes + 8));
    const index = firstNotBelow(this.count, position, positionAt);
    return index < this.count && positionAt(index) === position ? this.at(index) : null;
  }

  #pieceCrcs(entry: number, length: number): Uint32Array | null {
    if (this.#entryBytes <= 24) return null;
    const first = this.#bytes.readUInt32BE(entry + 24);
    if (first === NO_PIECES) return null;
    const from = HEADER_BYTES + this.count * this.#entryBytes + 4 * first;
    const pieces = Math.ceil(length / EXTENT_PIECE_BYTES);
    if (from + 4 * pieces > this.#bytes.byteLength) return null;
    return Uint32Array.from({ length: pieces }, (_, i) => this.#bytes.readUInt32BE(from + 4 * i));
  }
}

/** The extent that begins at `position`, of some in the order of their positions; null when there is none. */
export function findExtent(extents: readonly Extent[], position: number): Extent | null {
  const index = firstNotBelow(extents.length, position, (i) => extents[i]!.position);
  return extents[index]?.position === position ? extents[index] : null;
}

function firstNotBelow(count: number, position: number, positionAt: (index: number) => number): number {
  let low = 0;
  for (let high = count; low < high; ) {
    const middle = (low + high) >>> 1;
    if (positionAt(middle) < position) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Null when the header is not one, or is damaged. */
function versionOf(bytes: Buffer): ListVersion | null {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(0) !== MAGIC) return null;
  if (bytes.readUInt32BE(60) !== crc32c(bytes.subarray(0, 60))) return null;
  return VERSIONS.find(({ version }) => version === bytes.readUInt32BE(4)) ?? null;
}

function decodeSummary(bytes: Buffer): ExtentSummary {
  return {
    count: bytes.readUInt32BE(8),
    firstOffset: bytes.readBigInt64BE(12),
    lastOffset: bytes.readBigInt64BE(20),
    bytes: Number(bytes.readBigInt64BE(28)),
    extentBytes: Number(bytes.readBigInt64BE(36)),
    freedBytes: bytes.readUInt32BE(4) === 1 ? 0 : Number(bytes.readBigInt64BE(48)),
  };
}
