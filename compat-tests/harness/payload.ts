import { createHash } from 'node:crypto';

/**
 * The content of test records, defined so that every client language makes it cheaply: a block of xorshift32 noise, from which
 * a value takes `period` bytes at a start that depends on its seed, and repeats them. Seeds with seed % 4 = 3 repeat 64 bytes
 * (highly compressible), the others a mebibyte.
 */
const blockBytes = 1 << 20;

let doubledNoise: Buffer | null = null;

function noise(): Buffer {
  if (doubledNoise) return doubledNoise;
  const words = new Uint32Array(blockBytes / 4);
  let state = 0x9e3779b9;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  const block = Buffer.from(words.buffer);
  doubledNoise = Buffer.concat([block, block]);
  return doubledNoise;
}

/** The value of `size` bytes for a seed below 2^20. */
export function makeValue(size: number, seed: number): Buffer {
  const period = seed % 4 === 3 ? 64 : blockBytes;
  const start = (seed * 4099) % blockBytes;
  const unit = noise().subarray(start, start + period);
  if (size <= period) return Buffer.from(unit.subarray(0, size));
  return Buffer.alloc(size, unit);
}

/** The first 16 hexadecimal digits of the SHA-256 of a value. */
export function digest(value: Uint8Array): string {
  return createHash('sha256').update(value).digest('hex').slice(0, 16);
}

/** A record to produce: `size` -1 is a null value. */
export interface PlannedRecord {
  key: string | null;
  size: number;
  seed: number;
  headers: [string, string][];
  /** Milliseconds; clients that cannot set it use the time of sending. */
  timestamp: number;
}

/** One of now, without headers. */
export function recordOf(key: string | null, size: number, seed: number): PlannedRecord {
  return { key, size, seed, headers: [], timestamp: Date.now() };
}

/** A record as a client consumed it: `size` -1 and digest '' for a null value. */
export interface SeenRecord {
  topic: string;
  partition: number;
  offset: number;
  key: string | null;
  size: number;
  digest: string;
  headers: [string, string][];
  timestamp: number;
}

export function plannedValue(record: PlannedRecord): Buffer | null {
  return record.size < 0 ? null : makeValue(record.size, record.seed);
}
