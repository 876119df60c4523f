import type { Reference } from '../payload-recovery.ts';
import { StoreError } from './messages.ts';
import type { StorePeer } from './store-peer.ts';

/** Stores are asked for checksums of no more bytes at a time. */
const CHECK_BYTES = 16 << 20;

/** Called before bytes are read; may wait, or reject to end it. */
export type Pace = (bytes: number) => Promise<void>;

export const unpaced: Pace = async () => undefined;

/**
 * Whether a store's copy has an extent as it was produced, by the checksum in the log; the bytes stay where they are. False when the store says
 * that it has not, or cannot read it; rejects with a StoreError when it does not say.
 */
export async function hasExtent(
  peer: StorePeer,
  file: string,
  { position, length, headerCrc, batchCrc }: Reference,
  pace: Pace,
): Promise<boolean> {
  let crc = headerCrc;
  for (let done = 0; done < length; ) {
    const step = Math.min(CHECK_BYTES, length - done);
    await pace(step);
    try {
      const ask = { op: 'check', file, position: position + done, length: step, seed: crc } as const;
      const found = await peer.request(ask);
      if (found.length !== step) return false;
      crc = found.crc;
    } catch (error) {
      const { code } = error as StoreError;
      if (error instanceof StoreError && (code === 'ENOENT' || code === 'EIO')) return false;
      throw error;
    }
    done += step;
  }
  return crc === batchCrc;
}

/** Whether the copy has all of them. */
export async function hasAll(
  peer: StorePeer,
  file: string,
  references: readonly Reference[],
  pace: Pace,
): Promise<boolean> {
  for (const reference of references) if (!(await hasExtent(peer, file, reference, pace))) return false;
  return true;
}
