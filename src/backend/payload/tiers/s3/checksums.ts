import { crc32c, crc32cJoin } from '../../../../native/batch.ts';

/** A CRC-32C as object stores write it. */
export function encodeCrc32c(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
}

/**
 * Whether the checksum that an object store tells of an object is that of its parts: of all bytes, or, with a hyphen and the number of parts at its
 * end, of the checksums of the parts.
 */
export function isChecksumOf(
  told: string,
  parts: readonly { readonly crc32c: number; readonly bytes: number }[],
): boolean {
  const ofParts = Buffer.alloc(4 * parts.length);
  for (const [i, part] of parts.entries()) ofParts.writeUInt32BE(part.crc32c, 4 * i);
  const composite = `${encodeCrc32c(crc32c(ofParts))}-${parts.length}`;
  const whole = encodeCrc32c(parts.reduce((crc, part) => crc32cJoin(crc, part.crc32c, part.bytes), 0));
  return told === (told.includes('-') ? composite : whole);
}
