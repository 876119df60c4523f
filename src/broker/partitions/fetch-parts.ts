import { LogError } from '../../backend/log/errors.ts';
import { PayloadError } from '../../backend/payload/checked-reads.ts';
import { restoreBatch } from '../../native/batch.ts';
import { isBytes, MemoryPiece, type Piece, releasePieces } from '../../native/pieces.ts';
import { ErrorCode } from '../../protocol/errors.ts';
import type { DivertedBatch } from './diverted-batch.ts';
import { isLogRange, type LogRange } from './fetch-plan.ts';
import type { Partition } from './partition.ts';

/** What a fetch sends: batches of the log as they are, or a diverted batch that is put back. */
type Part = LogRange | DivertedBatch;

/** Makes reference batches what direct clients get. */
export type SignReferences = (partition: Partition, batches: Uint8Array) => Uint8Array;
export type Signing = SignReferences | null;

/** The pieces of a part that are in memory as they are to be sent; null if it has to be read. */
export function findPart(partition: Partition, part: Part, sign: Signing): Piece[] | null {
  if (isLogRange(part)) {
    const pieces = part.file.find(part.position, part.byteLength);
    if (part.references === undefined || pieces === null) return pieces;
    // What is not in memory is a range of the file, which holds no reference.
    return pieces.every(isBytes) ? signPieces(partition, pieces, sign) : null;
  }
  if (part.partial !== null) return null;
  const extent = partition.payloads.find(part.segmentId, part.position, part.length);
  return extent && [part.header, extent];
}

/** Reference batches in the form in which direct clients get them; releases the pieces. */
function signPieces(
  partition: Partition,
  pieces: readonly (Uint8Array | MemoryPiece)[],
  sign: Signing,
): Piece[] {
  try {
    const parts = pieces.map((piece) => (piece instanceof MemoryPiece ? piece.bytes() : piece));
    return [sign!(partition, parts.length === 1 ? parts[0]! : Buffer.concat(parts))];
  } finally {
    releasePieces(pieces);
  }
}

/**
 * The pieces of all parts of one partition, in their order, or why a part could not be read. `found`: what was in memory; null: it is read. Extents are
 * read together.
 */
export async function readParts(
  partition: Partition,
  parts: readonly Part[],
  found: readonly (Piece[] | null)[],
  sign: Signing,
): Promise<(Piece[] | Error)[]> {
  const batches: DivertedBatch[] = [];
  const ranges: (Promise<Piece[] | Error> | Piece[] | null)[] = parts.map((part, i) => {
    if (found[i] !== null) return found[i]!;
    if (isLogRange(part)) return readLogRange(partition, part, sign).catch((error: Error) => error);
    batches.push(part);
    return null;
  });
  const extents = batches.length === 0 ? [] : await readExtents(partition, batches);
  let next = 0;
  return Promise.all(ranges.map((range) => range ?? extents[next++]!));
}

async function readLogRange(partition: Partition, part: LogRange, sign: Signing): Promise<Piece[]> {
  const pieces = await part.file.readPieces(part.position, part.byteLength);
  let missing = part.byteLength;
  for (const { byteLength } of pieces) missing -= byteLength;
  if (missing === 0) {
    return part.references ? signPieces(partition, pieces.filter(isBytes), sign) : pieces;
  }
  releasePieces(pieces);
  const where = `${part.file.path} at ${part.position}, ${part.byteLength} bytes`;
  throw new LogError(ErrorCode.KAFKA_STORAGE_ERROR, `Records are missing: ${where}`);
}

async function readExtents(
  partition: Partition,
  batches: readonly DivertedBatch[],
): Promise<(Piece[] | Error | Promise<Piece[] | Error>)[]> {
  const extents = await partition.payloads.readAll(batches);
  return batches.map((batch, i) => {
    const extent = extents[i]!;
    if (extent instanceof Error) return reported(partition, batch, extent);
    if (batch.partial === null) return [batch.header, extent];
    return restore(batch.partial, batch.segmentId, extent).then(
      (piece) => [piece],
      (error: Error) => reported(partition, batch, error),
    );
  });
}

function reported(partition: Partition, { baseOffset }: DivertedBatch, error: Error): Error {
  if (error instanceof PayloadError) partition.reportPayloadError(baseOffset, error);
  return error;
}

/** What compaction has left of a batch, made of its payload, which is given back. */
async function restore(reference: Uint8Array, segmentId: number, extent: MemoryPiece): Promise<Piece> {
  try {
    return await restoreBatch(reference, extent);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'EBADMSG') throw error;
    throw new PayloadError('damaged', segmentId, (error as Error).message);
  } finally {
    extent.memory.release();
  }
}

/** What of the arena a part takes that has to be read. */
export function bytesToRead(part: Part): number {
  if (isLogRange(part)) return part.byteLength;
  return part.partial === null ? part.length : part.length + part.sizeBytes;
}
