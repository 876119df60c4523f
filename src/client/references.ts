import { OF_SAME_BATCH_SIZE } from '../protocol/records/payload-reference.ts';

/** Of DirectGet: from this version on a reference of the batch of the one before is no more than what they differ in. */
const SHORT_REFERENCES = 1;

/** A value that is at a gateway. */
export interface Referenced {
  readonly node: number;
  /** Bytes of the value. */
  readonly size: number;
  /** CRC-32C of the value, which was made when it was produced. */
  readonly crc: number;
  readonly reference: Uint8Array;
  /** The same for references that have their claim in common. */
  readonly batch: object;
  /** Copies what of the reference others of its batch differ in: OF_SAME_BATCH_SIZE. */
  copyOfSameBatch(to: Uint8Array, at: number): void;
  /** What is done with it, for errors. */
  readonly doing: string;
  /** Fetches the record again, for a reference that is valid; false when it is gone. */
  renew(): Promise<boolean>;
}

/** The references of what is asked for in one DirectGet of this version, in order, as short as it takes them. */
export function referencesOf(
  items: readonly { readonly value: Referenced }[],
  version: number,
): Uint8Array[] {
  const takesShort = version >= SHORT_REFERENCES;
  const short = Buffer.allocUnsafe(takesShort ? items.length * OF_SAME_BATCH_SIZE : 0);
  let batch: object | null = null;
  return items.map(({ value }, i) => {
    const isSame = takesShort && value.batch === batch;
    batch = value.batch;
    if (!isSame) return value.reference;
    const at = i * OF_SAME_BATCH_SIZE;
    value.copyOfSameBatch(short, at);
    return short.subarray(at, at + OF_SAME_BATCH_SIZE);
  });
}
