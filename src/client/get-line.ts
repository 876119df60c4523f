import type { Referenced } from './references.ts';
import { type Range, selectedBytes } from './selection.ts';

const MAX_ITEMS = 256;
const REQUEST_BYTES = 16 << 20;
/** Requests to one gateway. */
export const MAX_IN_FLIGHT = 4;
/** Checking or copying so much takes many times as long as a request. */
const SHARE_BYTES = 2 << 20;

/** Who waits for data: told once, that it is there or why it cannot be had. */
export interface Awaiting {
  /** False: nobody waits any more; what is not asked for yet need not be. */
  readonly isWanted: boolean;
  /** @param crc CRC-32C of the data; null where it was not summed up, because it was there already */
  arrived(crc: number | null): void;
  failed(error: Error): void;
}

/** One value, or parts of it, on the way. Many are at the same time. */
export class Wanted {
  readonly value: Referenced;
  readonly ranges: readonly Required<Range>[];
  readonly target: Uint8Array;
  /** Of the target, which may be transferred meanwhile. */
  readonly bytes: number;
  readonly awaiting: Awaiting;
  /** By `monotonicMs`; 0 before it is asked for. */
  deadline = 0;
  attempts = 0;
  /** Has a request of its own: together with others it was too much. */
  isAlone = false;

  constructor(value: Referenced, ranges: readonly Required<Range>[], target: Uint8Array, awaiting: Awaiting) {
    this.value = value;
    this.ranges = ranges;
    this.target = target;
    this.bytes = selectedBytes(ranges);
    this.awaiting = awaiting;
  }

  get isGone(): boolean {
    return this.target.byteLength !== this.bytes;
  }
}

/** What is to be asked of one gateway, in order. */
export class GetLine {
  readonly items: Wanted[] = [];
  inFlight = 0;
  #bytes = 0;

  push(item: Wanted): void {
    this.items.push(item);
    this.#bytes += item.bytes;
  }

  /** Takes out what nobody waits for any more. */
  takeUnwanted(): Wanted[] {
    const unwanted: Wanted[] = [];
    for (const item of this.items.splice(0)) {
      if (item.awaiting.isWanted) {
        this.items.push(item);
      } else {
        this.#bytes -= item.bytes;
        unwanted.push(item);
      }
    }
    return unwanted;
  }

  /** Takes what goes into the next request. */
  next(): Wanted[] {
    const { items } = this;
    // What comes first is checked while the gateway copies the rest.
    const share = Math.ceil(this.#bytes / (MAX_IN_FLIGHT - this.inFlight));
    const most = Math.min(REQUEST_BYTES, Math.max(SHARE_BYTES, share));
    let bytes = 0;
    let count = 0;
    while (count < items.length && count < MAX_ITEMS) {
      const { bytes: more, isAlone } = items[count]!;
      if (count > 0 && (isAlone || bytes + more > most)) break;
      bytes += more;
      count++;
      if (isAlone) break;
    }
    this.#bytes -= bytes;
    return items.splice(0, count);
  }
}
