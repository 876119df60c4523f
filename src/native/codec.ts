import { binding } from './addon.ts';
import { completion } from './completions.ts';

interface CodecBinding {
  codecRun(compressing: boolean, codec: number, maxUncompressedBytes: number, bytes: Uint8Array): Uint8Array;
  codecRunAsync(
    compressing: boolean,
    codec: number,
    maxUncompressedBytes: number,
    bytes: Uint8Array,
    id: number,
  ): void;
}

/** The codecs of record batches, with their numbers in a batch's attributes. */
export const Codec = { NONE: 0, GZIP: 1, SNAPPY: 2, LZ4: 3, ZSTD: 4 } as const;
export type Codec = (typeof Codec)[keyof typeof Codec];

const native = binding<CodecBinding>();

/** Compresses as Kafka's Java client does: gzip, snappy in xerial's framing, an LZ4 frame, a zstd frame. */
export function compress(codec: Codec, bytes: Uint8Array): Uint8Array {
  return native.codecRun(true, codec, 0, bytes);
}

/**
 * Throws when the bytes are corrupt or would become more than `maxUncompressedBytes` (at most 2^31 - 1); memory is
 * used in proportion to what is really produced, whatever the input declares.
 */
export function decompress(codec: Codec, bytes: Uint8Array, maxUncompressedBytes: number): Uint8Array {
  return native.codecRun(false, codec, maxUncompressedBytes, bytes);
}

/** As `compress`, on a worker thread; `bytes` is copied before this returns. */
export function compressAsync(codec: Codec, bytes: Uint8Array): Promise<Uint8Array> {
  return completion((id) => native.codecRunAsync(true, codec, 0, bytes, id));
}

/** As `decompress`, on a worker thread; `bytes` is copied before this returns. */
export function decompressAsync(
  codec: Codec,
  bytes: Uint8Array,
  maxUncompressedBytes: number,
): Promise<Uint8Array> {
  return completion((id) => native.codecRunAsync(false, codec, maxUncompressedBytes, bytes, id));
}
