import { randomBytes } from 'node:crypto';
import { type Uuid, ZERO_UUID } from '../../protocol/wire/types.ts';

/** The id of `__cluster_metadata`, which no topic may have. */
export const METADATA_TOPIC_ID: Uuid = 'AAAAAAAAAAAAAAAAAAAAAQ';

/**
 * A random (version 4) uuid in Kafka's text form. Kafka's reserved ids are left out, and those that begin with '-',
 * because command lines would take them for options.
 */
export function randomUuid(random: (size: number) => Uint8Array = randomBytes): Uuid {
  for (;;) {
    const bytes = Buffer.from(random(16));
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const text = bytes.toString('base64url');
    if (text !== ZERO_UUID && text !== METADATA_TOPIC_ID && !text.startsWith('-')) return text;
  }
}
