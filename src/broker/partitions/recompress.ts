import { type BatchCheck, crc32c } from '../../native/batch.ts';
import { Codec, compressAsync, decompressAsync } from '../../native/codec.ts';
import { BATCH_HEADER_SIZE } from '../../protocol/records/batch-header.ts';

const COMPRESSION_MASK = 0x07;

/** The compression of a batch, from its attributes. */
export function codecOf(attributes: number): Codec {
  return (attributes & COMPRESSION_MASK) as Codec;
}

/** The same records with another compression (the topic's `compression.type`); the codecs run on the native pool. */
export async function recompress(batch: Uint8Array, check: BatchCheck, codec: Codec): Promise<Uint8Array> {
  const section = batch.subarray(BATCH_HEADER_SIZE);
  const from = codecOf(check.attributes);
  const plain = from === Codec.NONE ? section : await decompressAsync(from, section, check.uncompressedBytes);
  const packed = codec === Codec.NONE ? plain : await compressAsync(codec, plain);
  const result = Buffer.allocUnsafe(BATCH_HEADER_SIZE + packed.byteLength);
  result.set(batch.subarray(0, BATCH_HEADER_SIZE));
  result.set(packed, BATCH_HEADER_SIZE);
  result.writeInt32BE(result.byteLength - 12, 8);
  result.writeInt16BE((check.attributes & ~COMPRESSION_MASK) | codec, 21);
  result.writeUInt32BE(crc32c(result.subarray(21)), 17);
  return result;
}
